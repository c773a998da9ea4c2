//! A sound server without a sound card: Firefox's `AudioContext` starts only where sound can be played.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// PulseAudio with a sink that leads nowhere. Ended with its handle.
pub struct SoundServer {
    server: Child,
    folder: TempDir,
}

impl SoundServer {
    /// Starts one, and waits until it answers. Programs find it by [`SoundServer::runtime_dir`].
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let script = folder.path().join("script.pa");
        let socket = folder.path().join("pulse/native");
        std::fs::create_dir(folder.path().join("pulse")).expect("the folder is new");
        let mut file = std::fs::File::create(&script).expect("the folder is ours");
        writeln!(
            file,
            "load-module module-null-sink sink_name=nowhere\n\
             load-module module-native-protocol-unix auth-anonymous=1 socket={}",
            socket.display()
        )
        .expect("it fits on the disk");
        let server = Command::new("pulseaudio")
            .args([
                "-n",
                "--daemonize=no",
                "--exit-idle-time=-1",
                "--use-pid-file=no",
                "-F",
            ])
            .arg(&script)
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("HOME", folder.path())
            .env_remove("PULSE_RUNTIME_PATH")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("pulseaudio is installed");
        let sound_server = SoundServer { server, folder };
        let until = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < until, "pulseaudio did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        sound_server
    }

    /// What `XDG_RUNTIME_DIR` must be for a program that is to use it.
    pub fn runtime_dir(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
