//! Certificates for HTTPS: given ones, or one made on the spot. Browsers give no camera to a page
//! that came over plain HTTP from anywhere but the machine itself.
//!
//! What this module deliberately is not: a certificate authority. A self-made certificate proves
//! nothing about who made it; a browser asks before it goes on, and a native client has to be told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Whether, and with what, the server speaks TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsConfig {
    /// Plain HTTP: for `localhost`, or behind a proxy that speaks TLS.
    #[default]
    None,
    /// A certificate chain and its key, each a PEM file. The server's own certificate comes first.
    Files {
        /// The chain.
        cert: PathBuf,
        /// The private key: PKCS #8, PKCS #1 or SEC1, without a password.
        key: PathBuf,
    },
    /// A certificate made at the start, for `localhost`, this machine's name, the loopback and
    /// listening addresses, and the names given here.
    SelfSigned {
        /// More names or addresses that clients will use.
        names: Vec<String>,
    },
}

/// There is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}, which should be a PEM file: {error}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate; expected PEM, with a block that begins with -----BEGIN CERTIFICATE-----", .0.display())]
    NoCertificate(PathBuf),
    /// The file holds no private key.
    #[error("{} holds no private key; expected PEM, with a block that begins with -----BEGIN PRIVATE KEY-----, and no password", .0.display())]
    NoKey(PathBuf),
    /// The two do not fit together, or are of a kind that TLS cannot use.
    #[error("the certificate in {} and the key in {} cannot be used: {error}", cert.display(), key.display())]
    Unusable {
        /// The chain's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What TLS says.
        error: rustls::Error,
    },
    /// A certificate for these names cannot be made.
    #[error(
        "cannot make a certificate for {names:?}, which should be host names or addresses: {error}"
    )]
    SelfSigned {
        /// The names that were asked for.
        names: Vec<String>,
        /// Why.
        error: rcgen::Error,
    },
}

impl TlsConfig {
    /// What rustls needs to serve on `listen`, or `None` for plain HTTP.
    ///
    /// # Errors
    /// [`TlsError`]; its text says what was expected.
    pub fn load(&self, listen: SocketAddr) -> Result<Option<Arc<rustls::ServerConfig>>, TlsError> {
        match self {
            TlsConfig::None => Ok(None),
            TlsConfig::Files { cert, key } => from_files(cert, key).map(Some),
            TlsConfig::SelfSigned { names } => self_signed(names, listen).map(Some),
        }
    }
}

fn from_files(cert: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| pem_error(cert, error, TlsError::NoCertificate))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate(cert.to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| pem_error(key, error, TlsError::NoKey))?;
    server_config(chain, secret).map_err(|error| TlsError::Unusable {
        cert: cert.to_owned(),
        key: key.to_owned(),
        error,
    })
}

fn pem_error(path: &Path, error: pem::Error, otherwise: fn(PathBuf) -> TlsError) -> TlsError {
    match error {
        pem::Error::Io(error) => TlsError::Unreadable {
            path: path.to_owned(),
            error,
        },
        _ => otherwise(path.to_owned()),
    }
}

fn self_signed(
    names: &[String],
    listen: SocketAddr,
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let names = subject_names(names, listen);
    let failed = |error| TlsError::SelfSigned {
        names: names.clone(),
        error,
    };
    let mut params = CertificateParams::new(names.clone()).map_err(failed)?;
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Duet, self-signed");
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    let secret = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = server_config(vec![certificate.der().clone()], secret);
    Ok(config.expect("the key was made for this certificate, of a kind that ring signs with"))
}

/// Every name under which somebody may reach a server that listens on `listen`.
fn subject_names(names: &[String], listen: SocketAddr) -> Vec<String> {
    let mut all = vec![
        "localhost".to_owned(),
        Ipv4Addr::LOCALHOST.to_string(),
        Ipv6Addr::LOCALHOST.to_string(),
    ];
    all.extend(
        gethostname::gethostname()
            .into_string()
            .ok()
            .filter(|name| !name.is_empty()),
    );
    if listen.ip().is_unspecified() {
        all.extend(outward_addresses().map(|address| address.to_string()));
    } else {
        all.push(listen.ip().to_string());
    }
    all.extend(names.iter().cloned());
    let mut seen = std::collections::HashSet::new();
    all.retain(|name| seen.insert(name.clone()));
    all
}

/// The addresses that this machine uses towards others. Connecting a UDP socket sends nothing; the
/// destinations are the ranges set aside for documentation.
fn outward_addresses() -> impl Iterator<Item = IpAddr> {
    [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")]
        .into_iter()
        .filter_map(|(from, to)| {
            let socket = UdpSocket::bind(from).ok()?;
            socket.connect(to).ok()?;
            Some(socket.local_addr().ok()?.ip())
        })
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // WebSockets are upgraded from HTTP/1.1, and a page of a few files gains nothing from HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
