//! A live stream under a URL of the signaling server, put together from the facade crate alone.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use duet::devices::synthetic::{SyntheticCamera, SyntheticCameraConfig};
use duet::media::{MediaStream, MonotonicClock};
use duet::recorder::ObjectUrls;
use duet::signaling::{Server, ServerConfig};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

/// The beginning of a response: `least` bytes, or all.
async fn get(url: &str, least: usize) -> String {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut socket = TcpStream::connect(host).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while got.len() < least && socket.read_buf(&mut got).await.unwrap() > 0 {}
    String::from_utf8_lossy(&got).into_owned()
}

#[tokio::test]
async fn the_servers_own_port_shows_a_stream_until_its_url_is_taken_back() {
    let config = ServerConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..ServerConfig::default()
    };
    let server = Server::bind(config).await.unwrap();
    let base = server.url();
    let urls = ObjectUrls::new(&base);
    let camera = SyntheticCameraConfig {
        width: 320,
        height: 180,
        ..SyntheticCameraConfig::default()
    };
    let camera = SyntheticCamera::start(camera, Arc::new(MonotonicClock::new()));
    let stream = MediaStream::from_tracks([camera]);
    let url = urls.create_object_url(&stream);
    assert!(url.starts_with(&format!("{base}live/")), "{url}");
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(server.with_routes(urls.router()).run_until(async {
        let _ = ended.await;
    }));

    let shown = timeout(PATIENCE, get(&url, 20_000)).await.unwrap();
    assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
    assert!(shown.contains("content-type: video/webm;codecs=vp8\r\n"));
    assert!(
        shown.contains("cross-origin-resource-policy: cross-origin\r\n"),
        "a page of another origin may show it"
    );
    let wrong = url.replace("live/", "live/0");
    assert!(get(&wrong, 12).await.starts_with("HTTP/1.1 404"));
    // What the server has itself is there as ever.
    assert!(get(&format!("{base}healthz"), 12).await.contains("200"));
    let page = get(&base, 4_000).await;
    assert!(page.contains("content-security-policy: "), "{page}");

    let reader = tokio::spawn({
        let url = url.clone();
        async move { get(&url, usize::MAX).await }
    });
    tokio::time::timeout(PATIENCE, get(&url, 20_000))
        .await
        .unwrap();
    urls.revoke_object_url(&url);
    let all = timeout(PATIENCE, reader).await.unwrap().unwrap();
    // It is cut off nowhere: the last chunk is the empty one.
    let from = all.len().min(10);
    assert!(
        all.starts_with("HTTP/1.1 404") || all.ends_with("\r\n0\r\n\r\n"),
        "{:?}",
        &all[all.len() - from..]
    );
    assert!(get(&url, 12).await.starts_with("HTTP/1.1 404"));
    drop(end);
    timeout(PATIENCE, running).await.unwrap().unwrap().unwrap();
}
