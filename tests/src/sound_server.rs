//! A sound server without a sound card. Firefox's `AudioContext` starts only where sound can be played,
//! and the program's own microphone and speaker are as real here as with a card.

use crate::Process;
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// PulseAudio with the devices that a test needs. Ended with its handle.
pub struct SoundServer {
    /// Before the folder that its socket is in.
    server: Process,
    folder: TempDir,
}

impl SoundServer {
    /// Starts one with a speaker that leads nowhere, and waits until it serves.
    pub fn start() -> Self {
        Self::with_devices(&["load-module module-null-sink sink_name=nowhere"])
    }

    /// Starts one that runs these lines of its own
    /// [script language](https://www.freedesktop.org/wiki/Software/PulseAudio/Documentation/User/CLI/)
    /// first, and waits until it serves.
    pub fn with_devices(lines: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        std::fs::create_dir(folder.path().join("pulse")).expect("the folder is new");
        let server = start(folder.path(), lines);
        SoundServer { server, folder }
    }

    /// Kills it and starts it anew at the same place, with other devices.
    pub fn restart(&mut self, lines: &[&str]) {
        self.server.signal(Signal::SIGKILL);
        let ended = self.server.ended(Duration::from_secs(10));
        assert!(ended.is_some(), "the server outlives SIGKILL");
        self.server = start(self.folder.path(), lines);
    }

    /// Tells a command where to find it.
    pub fn introduce<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        introduce(self.folder.path(), command)
    }
}

fn start(folder: &Path, lines: &[&str]) -> Process {
    let script = folder.join("script.pa");
    let socket = format!(
        "load-module module-native-protocol-unix auth-anonymous=1 socket={}",
        folder.join("pulse/native").display()
    );
    std::fs::write(&script, format!("{}\n{socket}\n", lines.join("\n")))
        .expect("it fits on the disk");
    let mut command = Command::new("pulseaudio");
    command
        .args([
            "-n",
            "--daemonize=no",
            "--exit-idle-time=-1",
            "--use-pid-file=no",
            "--log-target=stderr",
            "--log-level=info",
            "-F",
        ])
        .arg(&script)
        // Its sentences are waited for, in the words that they have in no translation.
        .env("LC_ALL", "C")
        .env("HOME", folder)
        .stdin(Stdio::null());
    let mut server = Process::start("pulseaudio", introduce(folder, &mut command));
    server.wait_for("startup complete", Duration::from_secs(20));
    server
}

fn introduce<'a>(folder: &Path, command: &'a mut Command) -> &'a mut Command {
    command
        .env("XDG_RUNTIME_DIR", folder)
        .env_remove("PULSE_RUNTIME_PATH")
        .env_remove("PULSE_SERVER")
}
