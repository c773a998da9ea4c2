//! A live stream under a URL, read by HTTP clients.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]
#![cfg(feature = "object-url")]

mod common;

use common::{LIMIT, Seen, ffmpeg, synthetic};
use duet_media::MediaStream;
use duet_recorder::ObjectUrls;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A server on a port of its own, for as long as the test runs.
fn serve() -> ObjectUrls {
    let (ready, urls) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let urls = ObjectUrls::new(&base);
            ready.send(urls.clone()).unwrap();
            axum::serve(listener, urls.router()).await.unwrap();
        });
    });
    urls.recv_timeout(LIMIT).unwrap()
}

/// A response as it comes in.
struct Response {
    status: u16,
    content_type: String,
    body: BufReader<TcpStream>,
}

fn get(url: &str) -> Response {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let mut connection = TcpStream::connect(host).unwrap();
    connection.set_read_timeout(Some(LIMIT)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").unwrap();
    let mut body = BufReader::new(connection);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        body.read_line(&mut line).unwrap();
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |name: &str| {
        let found = lines.iter().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().to_owned()
    };
    Response {
        status: lines[0].split(' ').nth(1).unwrap().parse().unwrap(),
        content_type: header("content-type: "),
        body,
    }
}

impl Response {
    /// The next chunk of the body; `None` once it has come to its proper end.
    fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = String::new();
        self.body.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
        let mut chunk = vec![0; size + 2];
        self.body.read_exact(&mut chunk)?;
        chunk.truncate(size);
        Ok((size > 0).then_some(chunk))
    }

    /// At least so many bytes more, or what there is.
    fn read(&mut self, least: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < least
            && let Some(chunk) = self.chunk().unwrap()
        {
            bytes.extend(chunk);
        }
        bytes
    }
}

fn watch(bytes: &[u8]) -> Seen {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    common::watch(file.path())
}

#[test]
fn readers_come_and_go_and_each_begins_with_a_key_frame_at_zero() {
    let urls = serve();
    let stream = synthetic(320, 180);
    let url = urls.create_object_url(&stream);
    let mut first = get(&url);
    assert_eq!(first.status, 200);
    assert_eq!(first.content_type, "video/webm;codecs=vp8,opus");
    let beginning = first.read(200_000);
    let mut second = get(&url);
    let late = second.read(400_000);
    drop(second);
    let rest = first.read(800_000);
    let all = watch(&[beginning, rest].concat());
    all.assert_none_lost();
    let late = watch(&late);
    late.assert_none_lost();
    assert!(late.pictures.len() > 10 && all.pictures.len() > late.pictures.len());
    assert!(late.pictures[0].0 > all.pictures[0].0 + 2, "it came later");
    for off in all.lip_sync() {
        assert!(off.abs() < 45.0, "{off} ms");
    }
}

#[test]
fn a_url_opens_until_it_is_revoked_or_its_tracks_end() {
    let urls = serve();
    let stream = synthetic(160, 90);
    let url = urls.create_object_url(&stream);
    let other = urls.create_object_url(&stream);
    assert_ne!(url, other);
    let id = url.rsplit('/').next().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    for wrong in [
        url.replace(id, "00000000000000000000000000000000"),
        url.replace(id, "nonsense"),
        format!("{url}/more"),
    ] {
        assert_eq!(get(&wrong).status, 404, "{wrong}");
    }
    let mut reader = get(&url);
    let begun = reader.read(10_000).len();
    assert!(begun >= 10_000);
    urls.revoke_object_url("http://elsewhere/live/x");
    urls.revoke_object_url(&url);
    // It comes to a proper end.
    reader.read(usize::MAX);
    assert_eq!(get(&url).status, 404);

    let mut reader = get(&other);
    assert_eq!(reader.status, 200);
    reader.read(10_000);
    stream.get_tracks().iter().for_each(|track| track.stop());
    reader.read(usize::MAX);
    assert_eq!(get(&other).status, 404);
    assert_eq!(
        get(&urls.create_object_url(&MediaStream::new())).status,
        404
    );
}

#[test]
fn a_stream_that_changes_ends_its_readers_and_opens_anew() {
    let urls = serve();
    let stream = synthetic(160, 90);
    let url = urls.create_object_url(&stream);
    let mut reader = get(&url);
    reader.read(5_000);
    stream.remove_track(&stream.get_audio_tracks()[0]);
    reader.read(usize::MAX);
    let mut again = get(&url);
    assert_eq!(again.content_type, "video/webm;codecs=vp8");
    again.read(5_000);
}

#[test]
fn ffprobe_and_ffmpeg_open_it() {
    let urls = serve();
    let stream = synthetic(320, 180);
    let url = urls.create_object_url(&stream);
    let probe = [
        "-v",
        "warning",
        "-show_entries",
        "stream=codec_name,width,height",
        "-of",
        "compact",
        &url,
    ];
    let Some(told) = ffmpeg("ffprobe", &probe) else {
        return;
    };
    let told = String::from_utf8(told).unwrap();
    assert!(
        told.contains("codec_name=vp8|width=320|height=180"),
        "{told}"
    );
    assert!(told.contains("codec_name=opus"), "{told}");
    let copy = tempfile::Builder::new().suffix(".webm").tempfile().unwrap();
    let to = copy.path().to_str().unwrap();
    let take = ["-v", "error", "-y", "-i", &url, "-t", "3", "-c", "copy", to];
    ffmpeg("ffmpeg", &take).unwrap();
    let seen = common::watch(copy.path());
    seen.assert_none_lost();
    assert!(seen.pictures.len() > 60, "{}", seen.pictures.len());
    let lip_sync = seen.lip_sync();
    assert!(
        !lip_sync.is_empty() && lip_sync.iter().all(|off| off.abs() < 45.0),
        "{lip_sync:?}"
    );
}
