//! `duet serve`: the signaling server, and a live stream under a URL if one is asked for.

mod live;

use crate::args::Serve;
use crate::failure::Failure;
use crate::tell::{Tell, print};
use duet_peer::RTCIceServer;
use duet_signaling::{IceServer, Limits, ServeError, Server, ServerConfig, TlsConfig};
use live::LiveUrl;
use std::process::ExitCode;
use url::Url;

pub(crate) async fn run(options: Serve, tell: &Tell) -> Result<ExitCode, Failure> {
    let live = options.live.clone();
    let config = config(options)?;
    let server = Server::bind(config).await.map_err(|error| match error {
        // The address and the certificate were the caller's words.
        ServeError::Serve(_) => Failure::failed(error),
        _ => Failure::usage(error),
    })?;
    let live = LiveUrl::open(&live, &server.url(), tell)?;
    let end = asked_to_end();
    tell.say(format_args!(
        "listening on {}, serving {}",
        server.local_addr(),
        server.url()
    ));
    let Some(live) = live else {
        server.run_until(end).await.map_err(Failure::failed)?;
        return Ok(ExitCode::SUCCESS);
    };
    print(live.url())?;
    let server = server.with_routes(live.urls().router());
    // Whoever watches comes to an end first: a response that goes on would hold up the server's.
    let end = async {
        end.await;
        live.close();
    };
    server.run_until(end).await.map_err(Failure::failed)?;
    Ok(ExitCode::SUCCESS)
}

/// Ready when the program is asked to end: Ctrl-C, or a service manager's SIGTERM. It listens from this
/// call on, not from when it is first awaited: nothing that is said before then is missed.
#[cfg(unix)]
pub(crate) fn asked_to_end() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
    // A signal that the system does not let be caught ends the program by itself.
    let signals = kinds.map(|kind| signal(kind).ok());
    async {
        let [interrupt, terminate] = signals.map(async |signal| match signal {
            Some(mut signal) => drop(signal.recv().await),
            None => std::future::pending().await,
        });
        tokio::select! {
            () = interrupt => {}
            () = terminate => {}
        }
    }
}

/// Ready when the program is asked to end: Ctrl-C.
#[cfg(not(unix))]
pub(crate) async fn asked_to_end() {
    drop(tokio::signal::ctrl_c().await);
}

fn config(options: Serve) -> Result<ServerConfig, Failure> {
    let tls = match (options.tls_cert, options.tls_key) {
        (Some(cert), Some(key)) => TlsConfig::Files { cert, key },
        _ if options.tls_self_signed => TlsConfig::SelfSigned { names: Vec::new() },
        _ => TlsConfig::None,
    };
    for origin in &options.allow_origins {
        let whole =
            Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !whole {
            return Err(Failure::usage(format_args!(
                "--allow-origin {origin}: expected a scheme, a host and perhaps a port, such as https://example.org"
            )));
        }
    }
    Ok(ServerConfig {
        listen: options.listen,
        tls,
        ice_servers: options.ice_servers.into_iter().map(told).collect(),
        allowed_origins: options.allow_origins,
        limits: Limits {
            seats: options.room_size.into(),
            ..Limits::default()
        },
        ..ServerConfig::default()
    })
}

/// As clients are told of it.
fn told(server: RTCIceServer) -> IceServer {
    IceServer {
        urls: server.urls,
        username: server.username,
        credential: server.credential,
    }
}
