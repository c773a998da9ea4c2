//! The server: its routes ([`app`]), and the listening socket around them ([`Server`]).
//!
//! What this module deliberately is not: it knows no rooms; each WebSocket is handed to a
//! connection of its own, and those meet in the hub.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State, WebSocketUpgrade};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST, ORIGIN, RETRY_AFTER};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use axum::{Extension, Router};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tracing::{debug, info};

use crate::assets;
use crate::connection::Connection;
use crate::gate::Gate;
use crate::hub::Hub;
use crate::limits::{Limits, Turned};
use crate::message::IceServer;
use crate::tls::{TlsConfig, TlsError};

/// What a server is to be like.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen. Port 0 takes a free one; see [`Server::local_addr`].
    pub listen: SocketAddr,
    /// HTTP or HTTPS.
    pub tls: TlsConfig,
    /// STUN and TURN servers that clients are told to use.
    pub ice_servers: Vec<IceServer>,
    /// Pages from elsewhere that may connect, as `scheme://host[:port]`. The server's own pages
    /// always may, and so may programs that send no `Origin`.
    pub allowed_origins: Vec<String>,
    /// How often the server pings. A client from which nothing came for twice as long is dropped.
    pub heartbeat: Duration,
    /// What one client, and all together, may use.
    pub limits: Limits,
}

impl Default for ServerConfig {
    /// Plain HTTP on port 8080 of this machine only.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: TlsConfig::None,
            ice_servers: Vec::new(),
            allowed_origins: Vec::new(),
            heartbeat: Duration::from_secs(10),
            limits: Limits::default(),
        }
    }
}

/// The server cannot start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another program listens there. Stop it, or listen on another port (0 takes a free one).
    #[error("{0} is in use by another program; choose another port, or 0 for any free one")]
    AddressInUse(SocketAddr),
    /// This machine has no such address.
    #[error("{0} is not an address of this machine; 0.0.0.0 listens on all it has")]
    AddressNotAvailable(SocketAddr),
    /// Ports below 1024 are for privileged programs.
    #[error("this program may not listen on {0}; ports below 1024 need a privilege, others do not")]
    NotPermitted(SocketAddr),
    /// Listening failed in some other way.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// There is no certificate to serve with.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The listening socket broke while serving.
    #[error("the server stopped: {0}")]
    Serve(io::Error),
}

/// The routes of a server, for a test or a program that brings its own listener. `listen` and `tls`
/// of the configuration are not used. Addresses are limited if requests carry a
/// [`ConnectInfo<SocketAddr>`].
pub fn app(config: ServerConfig) -> Router {
    router(Hub::new(config))
}

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    hub: Arc<Hub>,
    more: Router,
}

impl Server {
    /// How long requests may still take once the server is to stop.
    const GRACE: Duration = Duration::from_secs(3);

    /// Reads the certificate and takes the port.
    ///
    /// # Errors
    /// [`ServeError`]; its text is one sentence for whoever started the program.
    pub async fn bind(config: ServerConfig) -> Result<Self, ServeError> {
        let listen = config.listen;
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::AddrInUse => ServeError::AddressInUse(listen),
            io::ErrorKind::AddrNotAvailable => ServeError::AddressNotAvailable(listen),
            io::ErrorKind::PermissionDenied => ServeError::NotPermitted(listen),
            _ => ServeError::Listen {
                address: listen,
                error,
            },
        };
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .and_then(tokio::net::TcpListener::into_std)
            .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let tls = config.tls.load(address)?;
        Ok(Self {
            listener,
            address,
            tls,
            hub: Hub::new(config),
            more: Router::new(),
        })
    }

    /// Serves these routes too, such as those of a live stream under a URL. Their responses get none of
    /// the headers that keep a page in its place.
    ///
    /// # Panics
    /// If a route is there already (`/ws`, `/healthz`, `/metrics`), or they come with a fallback.
    #[must_use]
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.more = self.more.merge(routes);
        self
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where it is reached from this machine: `http://…` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let host = match self.address.ip() {
            ip if ip.is_unspecified() || ip.is_loopback() => "localhost".to_owned(),
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        };
        format!("{scheme}://{host}:{}/", self.address.port())
    }

    /// Serves until `shutdown` is ready, then closes every socket with 1001 and returns.
    ///
    /// # Errors
    /// [`ServeError::Serve`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self {
            listener,
            address,
            tls,
            hub,
            more,
        } = self;
        info!(%address, tls = tls.is_some(), "serving");
        let handle = Handle::new();
        let gate = Gate::new(&hub.config.limits);
        let routes = router(hub.clone()).merge(more);
        let service = routes.into_make_service_with_connect_info::<SocketAddr>();
        let mut server = axum_server::from_tcp(listener)
            .map_err(ServeError::Serve)?
            .handle(handle.clone());
        let mut http =
            hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http1_only();
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(hub.config.limits.patience);
        *server.http_builder() = http;
        let serving = async {
            match tls {
                None => server.acceptor(gate).serve(service).await,
                Some(tls) => {
                    let tls = RustlsAcceptor::new(RustlsConfig::from_config(tls))
                        .handshake_timeout(hub.config.limits.patience)
                        .acceptor(gate);
                    server.acceptor(tls).serve(service).await
                }
            }
        };
        tokio::pin!(serving);
        tokio::select! {
            stopped = &mut serving => return stopped.map_err(ServeError::Serve),
            () = shutdown => {}
        }
        info!("shutting down");
        handle.graceful_shutdown(Some(Self::GRACE));
        let goodbyes = tokio::time::timeout(Self::GRACE, hub.shut_down());
        let (stopped, goodbyes) = tokio::join!(serving, goodbyes);
        if goodbyes.is_err() {
            debug!("some sockets did not close in time");
        }
        stopped.map_err(ServeError::Serve)
    }
}

fn router(hub: Arc<Hub>) -> Router {
    Router::new()
        .route("/ws", any(open_socket))
        .route(
            "/healthz",
            get(async || ([(CACHE_CONTROL, "no-store")], "ok\n")),
        )
        .route("/metrics", get(metrics))
        .fallback(async |request: Request| {
            assets::respond(request.method(), request.uri(), request.headers())
        })
        .layer(map_response(async |mut response: Response| {
            assets::secure(&mut response);
            response
        }))
        .with_state(hub)
}

async fn metrics(State(hub): State<Arc<Hub>>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, hub.metrics_page()).into_response()
}

async fn open_socket(
    State(hub): State<Arc<Hub>>,
    address: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !origin_is_welcome(&headers, &hub.config.allowed_origins) {
        hub.metrics.foreign_origins.add(1);
        let sentence = "pages of another origin may not connect unless the server is configured to allow them\n";
        return (StatusCode::FORBIDDEN, sentence).into_response();
    }
    let address = address.map(|Extension(ConnectInfo(address))| address);
    let (ticket, welcome) = match address.map(|address| hub.admit(address.ip(), Instant::now())) {
        None => (None, true),
        Some(Ok((ticket, welcome))) => (Some(ticket), welcome),
        Some(Err(turned)) => return turn_away(turned),
    };
    let longest = hub.config.limits.message_bytes;
    upgrade
        .max_message_size(longest)
        .max_frame_size(longest)
        // Buffers are allocated per socket, and most messages are small.
        .read_buffer_size(8 * 1024)
        .write_buffer_size(8 * 1024)
        .on_upgrade(move |socket| {
            let connection = Connection::new(address, hub, ticket);
            async move {
                if welcome {
                    connection.run(socket).await;
                } else {
                    connection.turn_away(socket).await;
                }
            }
        })
}

fn turn_away(turned: Turned) -> Response {
    let (status, sentence) = match turned {
        Turned::Address => (
            StatusCode::TOO_MANY_REQUESTS,
            "too many sockets from this address\n",
        ),
        Turned::Full => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this server has as many sockets as it takes\n",
        ),
    };
    (status, [(RETRY_AFTER, "5")], sentence).into_response()
}

/// Browsers say which page opens a socket; only our own may, lest any page on the Web could speak
/// to a server that its visitor can reach.
fn origin_is_welcome(headers: &HeaderMap, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return true;
    };
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    if allowed
        .iter()
        .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin))
    {
        return true;
    }
    let Ok(origin) = origin.parse::<Uri>() else {
        return false;
    };
    let default_port = match origin.scheme_str() {
        Some("https") => 443,
        Some("http") => 80,
        _ => return false,
    };
    let Some(host) = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok()?.parse::<Authority>().ok())
    else {
        return false;
    };
    origin.authority().is_some_and(|origin| {
        origin.host().eq_ignore_ascii_case(host.host())
            && origin.port_u16().unwrap_or(default_port) == host.port_u16().unwrap_or(default_port)
    })
}
