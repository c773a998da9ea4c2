//! The program `duet` as a process.

use crate::{Ended, Process, Screen, SoundServer};
use nix::sys::signal::Signal;
use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Once;
use std::time::Duration;

/// The room that everybody meets in.
pub const ROOM: &str = "test";

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A running `duet`. Ended with its handle.
pub struct Program(Process);

/// `duet call`: with the synthetic pair, and nobody to listen, unless it is told otherwise.
pub struct Call<'a> {
    url: String,
    camera: &'a str,
    microphone: &'a str,
    speaker: &'a str,
    words: Vec<String>,
    sound: Option<&'a SoundServer>,
    screen: Option<&'a Screen>,
}

impl Program {
    /// Starts `duet` with the given words.
    pub fn start<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        Self::run(Command::new(executable()).args(words))
    }

    /// The same at a screen, or where there is none.
    pub fn start_at<S: AsRef<OsStr>>(
        screen: Option<&Screen>,
        words: impl IntoIterator<Item = S>,
    ) -> Self {
        let mut command = Command::new(executable());
        match screen {
            Some(screen) => command.env("DISPLAY", screen.display()),
            None => command.env_remove("DISPLAY"),
        };
        Self::run(command.args(words))
    }

    fn run(command: &mut Command) -> Self {
        let mut process = Process::start("duet", command.stdin(Stdio::null()));
        process.collect_output();
        Program(process)
    }

    /// Waits for a line on standard error that holds `words`.
    pub fn wait_for(&mut self, words: &str, patience: Duration) -> String {
        self.0.wait_for(words, patience)
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.0.said()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.0.is_running()
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.0.signal(Signal::SIGINT);
    }

    /// Ends it at once, without a chance to say goodbye.
    pub fn kill(&self) {
        self.0.signal(Signal::SIGKILL);
    }

    /// Waits for its end, and for all that it said.
    pub fn finish(self, patience: Duration) -> Ended {
        self.0.finish(patience)
    }
}

impl<'a> Call<'a> {
    /// A call in the room [`ROOM`] of the server at `url`.
    pub fn to(url: impl Into<String>) -> Self {
        Call {
            url: url.into(),
            camera: "synthetic",
            microphone: "synthetic",
            speaker: "none",
            words: Vec::new(),
            sound: None,
            screen: None,
        }
    }

    /// What is seen.
    pub fn camera(self, camera: &'a str) -> Self {
        Call { camera, ..self }
    }

    /// What is heard.
    pub fn microphone(self, microphone: &'a str) -> Self {
        Call { microphone, ..self }
    }

    /// Where the other side is played.
    pub fn speaker(self, speaker: &'a str) -> Self {
        Call { speaker, ..self }
    }

    /// Takes a sound server's devices for the machine's.
    pub fn sound(self, sound: &'a SoundServer) -> Self {
        let sound = Some(sound);
        Call { sound, ..self }
    }

    /// Takes a screen for the machine's.
    pub fn screen(self, screen: &'a Screen) -> Self {
        let screen = Some(screen);
        Call { screen, ..self }
    }

    /// More words.
    pub fn with<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let words = words.into_iter().map(|word| word.as_ref().to_owned());
        self.words.extend(words);
        self
    }

    /// Starts it.
    pub fn start(self) -> Program {
        let mut command = Command::new(executable());
        command
            .args(["call", ROOM, "--server", &self.url])
            .args(["--camera", self.camera, "--microphone", self.microphone])
            .args(["--speaker", self.speaker])
            .args(&self.words);
        if let Some(sound) = self.sound {
            sound.introduce(&mut command);
        }
        if let Some(screen) = self.screen {
            command.env("DISPLAY", screen.display());
        }
        Program::run(&mut command)
    }
}

/// A running `duet serve`.
pub struct Server {
    program: Program,
    port: u16,
}

impl Server {
    /// Starts one on a free port of the loopback interface, and waits until it listens.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one on a free port, with more words.
    pub fn start_with(words: &[&str]) -> Self {
        Self::listen(0, words)
    }

    /// Starts one on a given port.
    pub fn on_port(port: u16) -> Self {
        Self::listen(port, &[])
    }

    fn listen(port: u16, words: &[&str]) -> Self {
        let address = format!("127.0.0.1:{port}");
        let serve = ["serve", "--listen", &address];
        let mut program = Program::start(serve.iter().chain(words));
        let line = program.wait_for("listening on", Duration::from_secs(20));
        let port = line
            .split_once("127.0.0.1:")
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{line:?} names no port"));
        Server { program, port }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL that `duet call --server` takes.
    pub fn url(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// The same for a server that was started with a certificate.
    pub fn secure_url(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// The page that joins the room [`ROOM`] at once.
    pub fn page(&self) -> String {
        format!("{}/?room={ROOM}&join=1", self.url())
    }

    /// Ends it without a goodbye.
    pub fn kill(self) {
        self.program.kill();
        self.program.finish(Duration::from_secs(10));
    }
}

/// The program, built if its sources are newer.
pub fn executable() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let mut cargo = Command::new(env!("CARGO"));
        // What Cargo tells this test of its own package would look like news to build scripts, and have
        // half of the dependencies compiled again.
        for (name, _) in std::env::vars_os() {
            let told = [
                "CARGO_PKG_",
                "CARGO_MANIFEST_",
                "CARGO_CRATE_",
                "CARGO_BIN_",
            ];
            if told
                .iter()
                .any(|told| name.as_encoded_bytes().starts_with(told.as_bytes()))
            {
                cargo.env_remove(name);
            }
        }
        let status = cargo
            .args(["build", "--quiet", "--bin", "duet"])
            .args(["--manifest-path", manifest])
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the program does not build");
    });
    let test = std::env::current_exe().expect("a test knows where it is");
    let profile = test
        .ancestors()
        .nth(2)
        .expect("it lies in target/PROFILE/deps");
    profile.join("duet")
}
