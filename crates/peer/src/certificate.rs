//! [`RTCCertificate`]: what a connection shows of itself in the DTLS handshake.

use crate::{RTCError, RTCErrorKind};
use rtc::crypto::{self, SignatureScheme};
use rtc::peer_connection::certificate as substrate;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// So long a certificate is valid if nothing else is asked for.
const USUAL_LIFE: Duration = DAY.saturating_mul(30);
/// Whatever is asked for ([365 days](https://w3c.github.io/webrtc-pc/#dom-peerconnection-generatecertificate)).
const LONGEST_LIFE: Duration = DAY.saturating_mul(365);

/// Which key [`RTCCertificate::generate`] makes. RSA keys cannot be made here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RTCKeygenAlgorithm {
    /// ECDSA on P-256, as browsers do by default.
    #[default]
    EcdsaP256,
    /// Ed25519. Not every browser accepts it.
    Ed25519,
}

/// [`RTCDtlsFingerprint`](https://w3c.github.io/webrtc-pc/#rtcdtlsfingerprint).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RTCDtlsFingerprint {
    /// The hash, as in SDP: `sha-256`.
    pub algorithm: String,
    /// Octets in lower-case hexadecimal, with colons.
    pub value: String,
}

/// [`RTCCertificate`](https://w3c.github.io/webrtc-pc/#rtccertificate-interface) with its private
/// key. Clones are the same certificate.
#[derive(Clone)]
pub struct RTCCertificate(Arc<Made>);

struct Made {
    known: substrate::RTCCertificate,
    fingerprints: Vec<RTCDtlsFingerprint>,
    expires: SystemTime,
}

impl RTCCertificate {
    /// [`generateCertificate`](https://w3c.github.io/webrtc-pc/#dom-peerconnection-generatecertificate):
    /// valid for `life`, 365 days at most, or for 30 days.
    ///
    /// # Errors
    /// `OperationError` if the key cannot be made.
    pub fn generate(
        algorithm: RTCKeygenAlgorithm,
        life: Option<Duration>,
    ) -> Result<RTCCertificate, RTCError> {
        let failed = |why: &dyn fmt::Display| RTCError::operation(format!("certificate: {why}"));
        let scheme = match algorithm {
            RTCKeygenAlgorithm::EcdsaP256 => SignatureScheme::EcdsaP256Sha256,
            RTCKeygenAlgorithm::Ed25519 => SignatureScheme::Ed25519,
        };
        let expires = SystemTime::now() + life.unwrap_or(USUAL_LIFE).min(LONGEST_LIFE);
        let provider = crypto::default_provider().map_err(|error| failed(&error))?;
        let mut params =
            substrate::CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
        // A day's difference between two clocks is none of the handshake's business.
        params.not_before = (SystemTime::now() - DAY).into();
        params.not_after = expires.into();
        let crypto = provider.crypto();
        let known = substrate::RTCCertificate::generate(crypto, scheme, params)
            .map_err(|error| failed(&error))?;
        let fingerprints = known
            .get_fingerprints(crypto)
            .map_err(|error| failed(&error))?;
        let fingerprints = fingerprints.into_iter().map(|made| RTCDtlsFingerprint {
            algorithm: made.algorithm,
            value: made.value.to_ascii_lowercase(),
        });
        Ok(RTCCertificate(Arc::new(Made {
            fingerprints: fingerprints.collect(),
            known,
            expires,
        })))
    }

    /// When it stops being valid, in milliseconds since the Unix epoch.
    pub fn expires(&self) -> f64 {
        let since = self.0.expires.duration_since(UNIX_EPOCH);
        since.unwrap_or_default().as_millis() as f64
    }

    /// Its fingerprints, as descriptions have them but in lower case.
    pub fn get_fingerprints(&self) -> Vec<RTCDtlsFingerprint> {
        self.0.fingerprints.clone()
    }

    /// Refuses one that is not valid any more.
    pub(crate) fn check(&self) -> Result<(), RTCError> {
        if self.0.expires > SystemTime::now() {
            return Ok(());
        }
        let message = "a certificate that has expired";
        Err(RTCError::new(RTCErrorKind::InvalidAccess, message))
    }

    pub(crate) fn to_substrate(&self) -> substrate::RTCCertificate {
        self.0.known.clone()
    }
}

impl PartialEq for RTCCertificate {
    fn eq(&self, other: &Self) -> bool {
        self.0.fingerprints == other.0.fingerprints
    }
}

impl Eq for RTCCertificate {}

impl fmt::Debug for RTCCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RTCCertificate")
            .field("expires", &self.expires())
            .field("fingerprints", &self.0.fingerprints)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_has_a_fingerprint_and_an_end() {
        let one = RTCCertificate::generate(RTCKeygenAlgorithm::EcdsaP256, None).unwrap();
        let other = RTCCertificate::generate(RTCKeygenAlgorithm::Ed25519, None).unwrap();
        assert_ne!(one, other);
        assert_eq!(one, one.clone());
        let print = &one.get_fingerprints()[0];
        assert_eq!(print.algorithm, "sha-256");
        let octets: Vec<&str> = print.value.split(':').collect();
        assert_eq!(octets.len(), 32);
        assert!(octets.iter().all(|o| u8::from_str_radix(o, 16).is_ok()));
        assert_eq!(print.value, print.value.to_ascii_lowercase());
        assert!(one.check().is_ok());
    }

    #[test]
    fn it_lives_as_long_as_was_asked_for() {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let now = now.as_millis() as f64;
        let of =
            |life| RTCCertificate::generate(RTCKeygenAlgorithm::EcdsaP256, Some(life)).unwrap();
        let days = |made: &RTCCertificate| (made.expires() - now) / DAY.as_millis() as f64;
        assert!((days(&of(DAY * 2)) - 2.0).abs() < 0.01);
        assert!((days(&of(DAY * 1_000)) - 365.0).abs() < 0.01);
        let over = of(Duration::ZERO);
        assert_eq!(over.check().unwrap_err().kind, RTCErrorKind::InvalidAccess);
    }
}
