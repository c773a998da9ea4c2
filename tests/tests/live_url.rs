//! `duet serve` shows a camera and a microphone under a URL, and what anybody has opens it: a browser's
//! `<video>`, ffprobe and ffmpeg.

use duet_tests::{Browser, BrowserOptions, Clip, PATIENCE, Process, executable};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A server that shows something.
struct Show {
    process: Process,
    /// Of its page.
    page: String,
    /// Of the stream.
    url: String,
}

impl Show {
    fn start(words: &[&str]) -> Self {
        let mut command = Command::new(executable());
        command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(words)
            .stdin(Stdio::null());
        let mut process = Process::start("duet", &mut command);
        let output = process.take_output().expect("it is piped");
        let line = process.wait_for("listening on", PATIENCE);
        let page = line.split_once("serving ").expect("it says where").1.trim();
        let mut url = String::new();
        let read = BufReader::new(output).read_line(&mut url);
        read.expect("it prints a URL");
        Show {
            page: page.to_owned(),
            url: url.trim_end().to_owned(),
            process,
        }
    }

    fn finish(self) {
        self.process.signal(nix::sys::signal::Signal::SIGINT);
        let ended = self.process.finish(Duration::from_secs(10));
        assert_eq!(ended.status.code(), Some(0), "{}", ended.said);
    }
}

fn open(url: &str) -> (String, TcpStream) {
    let rest = url.strip_prefix("http://").expect("it is plain HTTP");
    let (host, path) = rest.split_at(rest.find('/').expect("it has a path"));
    let mut socket = TcpStream::connect(host).expect("somebody listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("it is a socket");
    write!(
        socket,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )
    .expect("it is read");
    let mut status = [0; 12];
    socket.read_exact(&mut status).expect("there is an answer");
    (String::from_utf8_lossy(&status).into_owned(), socket)
}

fn status(url: &str) -> String {
    open(url).0
}

#[test]
fn a_browsers_video_element_plays_it() {
    let show = Show::start(&[
        "--camera",
        "synthetic",
        "--microphone",
        "synthetic",
        "--size",
        "640x360",
    ]);
    assert!(
        show.url.starts_with(&format!("{}live/", show.page)),
        "{}",
        show.url
    );
    let browser = Browser::chromium(&BrowserOptions::default());
    let page = browser.open("page", &show.page);
    let element = format!(
        "document.body.innerHTML = '<video id=\"remote-video\" muted autoplay src=\"{}\"></video>'",
        show.url
    );
    page.eval(&element);
    page.wait_for_picture();
    let seen = page.watch(Duration::from_secs(5));
    assert_eq!(seen.size, (640, 360));
    assert!(seen.frames.len() > 60, "{} pictures", seen.frames.len());
    assert!(
        seen.frames.is_sorted_by_key(|(_, number, _)| *number),
        "pictures out of order"
    );
    assert!(seen.unreadable * 20 <= seen.frames.len() as u64);
    let oldest = seen.frames.iter().map(|(_, _, age)| *age).max();
    assert!(
        oldest.is_some_and(|age| (0..5_000).contains(&age)),
        "a picture was {oldest:?} ms old"
    );
    let heard = page.eval("document.querySelector('video').webkitAudioDecodedByteCount");
    assert!(heard.as_u64().is_some_and(|bytes| bytes > 1_000), "{heard}");
    show.finish();
}

#[test]
fn ffprobe_and_ffmpeg_open_it() {
    let show = Show::start(&[
        "--camera",
        "synthetic",
        "--microphone",
        "synthetic",
        "--size",
        "320x180",
    ]);
    let told = run(Command::new("ffprobe")
        .args(["-v", "warning", "-of", "compact", "-show_entries"])
        .args(["stream=codec_name,width,height", &show.url]));
    assert!(
        told.contains("codec_name=vp8|width=320|height=180") && told.contains("codec_name=opus"),
        "{told}"
    );
    let decoded = run(Command::new("ffmpeg")
        .args(["-v", "error", "-i", &show.url, "-t", "3"])
        .args(["-map", "0:v", "-f", "framemd5", "-"]));
    let pictures = decoded.lines().filter(|line| !line.starts_with('#'));
    assert!(pictures.count() > 60, "{decoded}");
    show.finish();
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("ffmpeg is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn it_opens_under_its_own_url_and_no_other_and_ends_with_the_server() {
    let show = Show::start(&["--camera", "synthetic", "--size", "320x180"]);
    let id = show.url.rsplit('/').next().expect("it has a path");
    assert!(
        id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{id} can be guessed"
    );
    for wrong in [
        format!("{}live/", show.page),
        format!("{}live/{}", show.page, "0".repeat(32)),
        format!("{}/more", show.url),
    ] {
        assert_eq!(status(&wrong), "HTTP/1.1 404", "{wrong}");
    }
    let (opened, mut reader) = open(&show.url);
    assert_eq!(opened, "HTTP/1.1 200");
    let mut some = [0; 10_000];
    reader.read_exact(&mut some).expect("it goes on");
    let rest = std::thread::spawn(move || {
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).map(|_| rest)
    });
    show.finish();
    let rest = rest.join().expect("it reads").expect("no reset");
    assert!(rest.ends_with(b"\r\n0\r\n\r\n"), "it was cut off");
}

#[test]
fn a_stream_that_has_ended_opens_no_more_and_the_server_goes_on() {
    let clip = Clip::new();
    let camera = format!("once:{}", clip.video().display());
    let mut show = Show::start(&["--camera", &camera]);
    show.process.wait_for("the live stream has ended", PATIENCE);
    assert_eq!(status(&show.url), "HTTP/1.1 404");
    assert_eq!(status(&show.page), "HTTP/1.1 200");
    show.finish();
}
