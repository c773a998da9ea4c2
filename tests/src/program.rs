//! The program `duet` as a process.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

/// A port of the loopback interface that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A running `duet`. Ended with its handle.
pub struct Program {
    child: Child,
    lines: Receiver<String>,
    said: Arc<Mutex<Vec<String>>>,
    output: Option<std::thread::JoinHandle<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Program {
    /// Starts `duet` with the given words.
    pub fn start<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        let mut child = Command::new(executable())
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let (sender, lines) = channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().expect("it is piped"));
        let log = said.clone();
        let reader = std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                eprintln!("duet: {line}");
                log.lock().expect("no holder panics").push(line.clone());
                if sender.send(line).is_err() {
                    // Nobody waits for lines any more; they are still shown.
                }
            }
        });
        let mut stdout = child.stdout.take().expect("it is piped");
        let output = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = stdout.read_to_string(&mut text);
            text
        });
        Program {
            child,
            lines,
            said,
            output: Some(output),
            reader: Some(reader),
        }
    }

    /// Waits for a line on standard error that holds `words`.
    pub fn wait_for(&self, words: &str, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) if line.contains(words) => return line,
                Ok(_) => {}
                Err(_) => panic!(
                    "duet did not say {words:?} but:\n{}",
                    self.said().join("\n")
                ),
            }
        }
    }

    /// All lines of standard error so far.
    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no holder panics").clone()
    }

    /// The lines of standard error, now and as they come.
    pub fn log(&self) -> Arc<Mutex<Vec<String>>> {
        self.said.clone()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    /// Ends it at once, without a chance to say goodbye.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    /// Waits for its end; returns how it ended and what it wrote to standard output.
    pub fn finish(mut self, patience: Duration) -> (ExitStatus, String) {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                let output = self.output.take().expect("taken once");
                if let Some(reader) = self.reader.take() {
                    let _ = reader.join();
                }
                return (status, output.join().unwrap_or_default());
            }
            assert!(
                Instant::now() < until,
                "duet did not end within {patience:?}; it said:\n{}",
                self.said().join("\n")
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, signal: Signal) {
        // The child is not reaped before its handle goes, so the id is still its own.
        let pid = i32::try_from(self.child.id()).expect("ids fit");
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
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
        Self::on_port(free_port())
    }

    /// Starts one on a given port.
    pub fn on_port(port: u16) -> Self {
        let program = Program::start(["serve", "--listen", &format!("127.0.0.1:{port}")]);
        program.wait_for("listening", Duration::from_secs(20));
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

    /// The page that joins a room at once.
    pub fn page(&self, room: &str) -> String {
        format!("{}/?room={room}&join=1", self.url())
    }

    /// Ends it without a goodbye.
    pub fn kill(self) {
        self.program.kill();
        self.program.finish(Duration::from_secs(10));
    }
}

/// The program, built if its sources are newer.
fn executable() -> PathBuf {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        let status = Command::new(env!("CARGO"))
            .args([
                "build",
                "--quiet",
                "--bin",
                "duet",
                "--manifest-path",
                manifest,
            ])
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
