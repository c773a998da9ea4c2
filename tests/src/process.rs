//! A process of a test's own: what it says, as it says it, and its end. It is ended with its handle,
//! by its id.

use nix::sys::signal::Signal;
use shared_child::SharedChild;
use shared_child::unix::SharedChildExt;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::{Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running process.
pub struct Process {
    child: SharedChild,
    name: &'static str,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    output: Option<JoinHandle<String>>,
    /// The first line of the log that [`Process::wait_for`] has not looked at.
    read: u64,
}

/// How a process ended.
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output, if nobody took that.
    pub output: String,
    /// What it wrote to standard error.
    pub said: String,
}

/// The last [`Log::LINES`] lines of standard error. Older ones are dropped, and counted: a process that
/// talks without end fills no memory, and whoever waits for a line looks at it as it comes.
#[derive(Default)]
struct Log {
    kept: Mutex<Kept>,
    changed: Condvar,
}

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    dropped: u64,
    ended: bool,
}

impl Process {
    /// Starts a command. Its standard error is shown in the test's, under `name`.
    pub fn start(name: &'static str, command: &mut Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = SharedChild::spawn(command)
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stderr = BufReader::new(child.take_stderr().expect("it is piped"));
        let log = Arc::new(Log::default());
        let reader = std::thread::spawn({
            let log = log.clone();
            move || {
                for line in stderr.lines().map_while(Result::ok) {
                    eprintln!("{name}: {line}");
                    log.push(line);
                }
                log.end();
            }
        });
        Process {
            child,
            name,
            log,
            reader: Some(reader),
            output: None,
            read: 0,
        }
    }

    /// Its standard input, if the command has it piped. Whoever takes it closes it.
    pub fn take_input(&mut self) -> Option<ChildStdin> {
        self.child.take_stdin()
    }

    /// Its standard output, unless it was taken before.
    pub fn take_output(&mut self) -> Option<ChildStdout> {
        self.child.take_stdout()
    }

    /// Reads standard output until its end, for [`Process::finish`].
    pub fn collect_output(&mut self) {
        let Some(mut stdout) = self.take_output() else {
            return;
        };
        self.output = Some(std::thread::spawn(move || {
            let mut bytes = Vec::new();
            let _ = stdout.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        }));
    }

    /// Waits for a line on standard error that holds `words`, after the one that was waited for last.
    pub fn wait_for(&mut self, words: &str, patience: Duration) -> String {
        let until = Instant::now() + patience;
        loop {
            match self.log.line(self.read, until) {
                Some((at, line)) => {
                    self.read = at + 1;
                    if line.contains(words) {
                        return line;
                    }
                }
                None => panic!("{} did not say {words:?} but:\n{}", self.name, self.said()),
            }
        }
    }

    /// What it wrote to standard error so far.
    pub fn said(&self) -> String {
        self.log.text()
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal; nothing if it has ended.
    pub fn signal(&self, signal: Signal) {
        self.child
            .send_signal(signal as i32)
            .expect("it is our child");
    }

    /// Waits for its end; `None` if it does not come within `patience`.
    pub fn ended(&self, patience: Duration) -> Option<ExitStatus> {
        self.child.wait_timeout(patience).expect("it is our child")
    }

    /// Waits for its end, and for all that it said.
    pub fn finish(mut self, patience: Duration) -> Ended {
        let Some(status) = self.ended(patience) else {
            panic!(
                "{} did not end within {patience:?}; it said:\n{}",
                self.name,
                self.said()
            );
        };
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        let output = self.output.take().map(JoinHandle::join);
        Ended {
            status,
            output: output.and_then(Result::ok).unwrap_or_default(),
            said: self.said(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    const LINES: usize = 10_000;

    fn push(&self, line: String) {
        let mut kept = self.kept.lock().expect("no holder panics");
        if kept.lines.len() == Self::LINES {
            kept.lines.pop_front();
            kept.dropped += 1;
        }
        kept.lines.push_back(line);
        self.changed.notify_all();
    }

    fn end(&self) {
        self.kept.lock().expect("no holder panics").ended = true;
        self.changed.notify_all();
    }

    /// The first line that is kept from number `from` on, with its number. `None` if none comes until
    /// then, or ever.
    fn line(&self, from: u64, until: Instant) -> Option<(u64, String)> {
        let left = until.saturating_duration_since(Instant::now());
        let kept = self.kept.lock().expect("no holder panics");
        let none = |kept: &mut Kept| !kept.ended && kept.dropped + kept.lines.len() as u64 <= from;
        let (kept, _) = self
            .changed
            .wait_timeout_while(kept, left, none)
            .expect("no holder panics");
        let at = from.max(kept.dropped);
        let line = kept.lines.get(usize::try_from(at - kept.dropped).ok()?)?;
        Some((at, line.clone()))
    }

    fn text(&self) -> String {
        let kept = self.kept.lock().expect("no holder panics");
        let mut text = String::new();
        if kept.dropped > 0 {
            text = format!("({} lines before these)\n", kept.dropped);
        }
        text + &Vec::from_iter(kept.lines.iter().map(String::as_str)).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut process = Process::start("sh", Command::new("sh").args(["-c", script]));
        process.collect_output();
        process
    }

    #[test]
    fn lines_are_waited_for_in_order_and_the_end_is_an_event() {
        let mut process = shell("echo one >&2; echo two >&2; echo out; read line; exit 7");
        let patience = Duration::from_secs(10);
        assert_eq!(process.wait_for("o", patience), "one");
        assert_eq!(process.wait_for("o", patience), "two");
        let ended = process.finish(patience);
        assert_eq!(ended.status.code(), Some(7));
        assert_eq!((&*ended.output, &*ended.said), ("out\n", "one\ntwo"));
    }

    #[test]
    fn who_does_not_end_is_not_waited_for_longer() {
        let process = shell("exec sleep 60");
        assert!(process.ended(Duration::from_millis(50)).is_none());
        assert!(process.is_running());
        process.signal(Signal::SIGTERM);
        let status = process.ended(Duration::from_secs(10));
        assert!(status.is_some_and(|status| status.code().is_none()));
    }

    #[test]
    fn a_flood_of_lines_loses_the_oldest_and_says_how_many() {
        let log = Log::default();
        for number in 0..Log::LINES + 5 {
            log.push(format!("line {number}"));
        }
        let now = Instant::now();
        assert_eq!(log.line(0, now), Some((5, "line 5".to_owned())));
        assert!(log.text().starts_with("(5 lines before these)\nline 5\n"));
        assert_eq!(log.line(Log::LINES as u64 + 5, now), None);
    }

    #[test]
    #[should_panic(expected = "did not say \"more\"")]
    fn a_process_that_ended_says_no_more() {
        shell("echo less >&2").wait_for("more", Duration::from_secs(60));
    }
}
