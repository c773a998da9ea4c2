//! `script/demo` on a terminal of its own, ended as a person ends it.

use duet_tests::{PATIENCE, Process, executable, free_port};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// How long the README says that the end may take.
const BOUND: Duration = Duration::from_secs(10);
/// What every process of a demonstration has in its environment, with a value of the test's own.
const MARK: &str = "DUET_TEST_MARK";

/// The ids and names of the running processes that were started with a mark.
fn marked(mark: &str) -> Vec<String> {
    let wanted = format!("{MARK}={mark}");
    let processes = fs::read_dir("/proc").expect("this is Linux").flatten();
    let found = processes.filter(|process| {
        // One that ends meanwhile is not there.
        let environment = fs::read(process.path().join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0);
        variables.any(|variable| variable == wanted.as_bytes())
    });
    let names = found.map(|process| {
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        format!("{} {}", process.file_name().display(), name.trim())
    });
    names.collect()
}

#[test]
fn ctrl_c_ends_the_demonstration_and_leaves_nothing_behind() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let port = free_port().to_string();
    let mark = format!("{}-{port}", std::process::id());
    // `script` makes the terminal: what is written to it is typed there. It starts a shell, which is to become the
    // demonstration: one that stayed would be ended by the Ctrl-C itself, and its end told instead.
    let mut terminal = Process::start(
        "script",
        Command::new("script")
            .args([
                "--quiet",
                "--return",
                "--flush",
                "--command",
                "exec script/demo",
            ])
            .arg("/dev/null")
            .current_dir(&root)
            .env("DUET", executable())
            .env("PORT", &port)
            .env(MARK, &mark)
            .stdin(Stdio::piped()),
    );
    let mut keyboard = terminal.take_input().expect("it is piped");
    let screen = BufReader::new(terminal.take_output().expect("it is piped"));
    let (opened, open) = sync_channel(1);
    let reader = std::thread::spawn(move || {
        let mut shown = Vec::new();
        for line in screen.lines().map_while(Result::ok) {
            eprintln!("demo: {line}");
            if line.contains("Open http") {
                // It is said once.
                let _ = opened.try_send(());
            }
            shown.push(line);
        }
        shown.join("\n")
    });
    open.recv_timeout(PATIENCE).expect("a URL to open");
    assert!(marked(&mark).len() > 3, "{:?}", marked(&mark));

    let pressed = Instant::now();
    keyboard.write_all(b"\x03").expect("the terminal is open");
    let status = terminal.ended(BOUND).unwrap_or_else(|| {
        let left = marked(&mark);
        terminal.signal(Signal::SIGKILL);
        panic!("after {BOUND:?} there are {left:?}");
    });
    eprintln!("ended after {:?}", pressed.elapsed());
    assert_eq!(marked(&mark), Vec::<String>::new());
    let shown = reader.join().expect("it only reads");
    assert_eq!(status.code(), Some(0), "{shown}");
    drop(keyboard);
}
