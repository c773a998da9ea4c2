//! The server as a browser and as whoever starts it meet it: pages, headers, TLS, start and stop.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

mod common;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use common::{Closed, RawClient, TestServer, soon};
use duet_signaling::{ServeError, Server, ServerConfig, TlsConfig, TlsError};

fn on_a_free_port() -> ServerConfig {
    ServerConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..ServerConfig::default()
    }
}

#[tokio::test]
async fn the_page_is_there_with_the_headers_that_protect_it() {
    let server = TestServer::start().await;
    let page = server.get("/?room=demo&join=1").await;
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-cache",
        "content-security-policy: default-src 'none'; script-src 'self'",
        "permissions-policy: camera=(self), microphone=(self)",
        "x-content-type-options: nosniff",
    ] {
        assert!(page.contains(header), "no {header} in {page}");
    }
    assert!(
        page.contains("<!doctype html>") || page.contains("<!DOCTYPE html>"),
        "{page}"
    );

    let etag = page
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let again = server
        .http(&format!(
            "GET / HTTP/1.1\r\nHost: x\r\nIf-None-Match: {etag}\r\nConnection: close\r\n\r\n"
        ))
        .await;
    assert!(again.starts_with("HTTP/1.1 304"), "{again}");
    server.stop().await;
}

#[tokio::test]
async fn everything_the_page_asks_for_is_there() {
    let server = TestServer::start().await;
    let page = server.get("/").await;
    let parts: Vec<_> = page
        .split(['"', '\''])
        .map(|part| {
            part.strip_prefix("./")
                .map_or(part.to_owned(), |part| format!("/{part}"))
        })
        .filter(|part| part.starts_with('/') && part.contains('.'))
        .collect();
    assert!(!parts.is_empty(), "a page has at least a style sheet");
    for part in parts {
        let response = server.get(&part).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{part}: {response}");
        assert!(
            !response.contains("application/octet-stream"),
            "{part} has a type of its own"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_in_a_sentence() {
    let server = TestServer::start().await;
    assert!(server.get("/healthz").await.ends_with("\r\n\r\nok\n"));
    for path in [
        "/nothing",
        "/../Cargo.toml",
        "/%2e%2e/Cargo.toml",
        "/index.html/",
        "//index.html",
        "/assets/",
    ] {
        assert!(server.get(path).await.starts_with("HTTP/1.1 404"), "{path}");
    }
    assert!(
        server.get("/ws").await.starts_with("HTTP/1.1 4"),
        "a plain request is no socket"
    );
    let post = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(server.http(post).await.starts_with("HTTP/1.1 405"));
    let head = server
        .http("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    server.stop().await;
}

#[tokio::test]
async fn stopping_tells_every_socket_to_come_back_later_and_frees_the_port() {
    let server = TestServer::start().await;
    let address = server.address;
    let (mut a, _) = server.joined("demo").await;
    let (mut b, _) = server.joined("demo").await;
    a.recv().await;
    let mut undecided = RawClient::connect(address).await.unwrap();
    let (stopped, ends) = tokio::join!(server.stop(), async {
        [
            a.drain().await.1,
            b.drain().await.1,
            undecided.drain().await.1,
        ]
    });
    let () = stopped;
    assert_eq!(ends, [Closed(1001), Closed(1001), Closed(1001)]);
    let again = Server::bind(ServerConfig {
        listen: address,
        ..ServerConfig::default()
    })
    .await;
    assert_eq!(again.unwrap().local_addr(), address);
}

#[tokio::test]
async fn a_client_that_ignores_the_end_does_not_hold_it_up() {
    let server = TestServer::start().await;
    let (_deaf, _) = server.joined("demo").await;
    let _idle = tokio::net::TcpStream::connect(server.address)
        .await
        .unwrap();
    tokio::time::timeout(Duration::from_secs(8), server.stop())
        .await
        .expect("bounded");
}

#[tokio::test]
async fn an_address_that_cannot_be_listened_on_is_explained() {
    let first = Server::bind(on_a_free_port()).await.unwrap();
    let taken = ServerConfig {
        listen: first.local_addr(),
        ..ServerConfig::default()
    };
    let error = Server::bind(taken).await.unwrap_err();
    assert!(matches!(error, ServeError::AddressInUse(_)), "{error:?}");
    assert!(error.to_string().contains("in use"), "{error}");

    let elsewhere = ServerConfig {
        listen: SocketAddr::from(([192, 0, 2, 1], 0)),
        ..ServerConfig::default()
    };
    let error = Server::bind(elsewhere).await.unwrap_err();
    assert!(
        matches!(error, ServeError::AddressNotAvailable(_)),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_bad_certificate_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(path("cert.pem"), made.cert.pem()).unwrap();
    fs::write(path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    fs::write(path("other.pem"), other.signing_key.serialize_pem()).unwrap();
    fs::write(path("text.pem"), "hello").unwrap();
    let torn = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(path("torn.pem"), torn).unwrap();
    let bind = async |cert: &str, key: &str| {
        let tls = TlsConfig::Files {
            cert: path(cert),
            key: path(key),
        };
        Server::bind(ServerConfig {
            tls,
            ..on_a_free_port()
        })
        .await
    };
    let tls_error = async |cert: &str, key: &str| match bind(cert, key).await {
        Err(ServeError::Tls(error)) => error,
        other => panic!("{other:?}"),
    };
    bind("cert.pem", "key.pem").await.expect("these fit");
    assert!(matches!(
        tls_error("none.pem", "key.pem").await,
        TlsError::Unreadable { .. }
    ));
    assert!(matches!(
        tls_error("text.pem", "key.pem").await,
        TlsError::NoCertificate(_)
    ));
    assert!(matches!(
        tls_error("key.pem", "key.pem").await,
        TlsError::NoCertificate(_)
    ));
    assert!(matches!(
        tls_error("cert.pem", "cert.pem").await,
        TlsError::NoKey(_)
    ));
    assert!(matches!(
        tls_error("cert.pem", "other.pem").await,
        TlsError::Unusable { .. }
    ));
    assert!(matches!(
        tls_error("torn.pem", "key.pem").await,
        TlsError::Unusable { .. }
    ));
    let sentence = tls_error("text.pem", "key.pem").await.to_string();
    assert!(
        sentence.contains("text.pem") && sentence.contains("expected PEM"),
        "{sentence}"
    );

    let tls = TlsConfig::SelfSigned {
        names: vec!["näh".into()],
    };
    let error = Server::bind(ServerConfig {
        tls,
        ..on_a_free_port()
    })
    .await
    .unwrap_err();
    assert!(
        matches!(error, ServeError::Tls(TlsError::SelfSigned { .. })),
        "{error}"
    );
}

#[tokio::test]
async fn plain_http_at_a_tls_port_is_turned_away_without_harm() {
    let server =
        TestServer::with(|config| config.tls = TlsConfig::SelfSigned { names: Vec::new() }).await;
    let answer = soon("the end", server.get("/")).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    server.stop().await;
}
