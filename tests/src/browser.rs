//! Headless browsers, through the driver in `tests/browser`.

use crate::{PATIENCE, Process, SoundServer};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

/// What a browser is given.
#[derive(Clone, Default)]
pub struct BrowserOptions<'a> {
    /// A Y4M file for its camera (Chromium only; Firefox has a picture of its own).
    pub video: Option<&'a Path>,
    /// A WAV file for its microphone (Chromium only).
    pub audio: Option<&'a Path>,
    /// Whether it has no devices at all (Chromium only).
    pub no_devices: bool,
    /// Whether permission is refused (Chromium only).
    pub deny: bool,
    /// The sound server that it is to play to.
    pub sound: Option<&'a SoundServer>,
}

/// A running browser. Ended with its handle.
pub struct Browser {
    driver: Process,
    link: Arc<Mutex<Link>>,
    name: &'static str,
}

struct Link {
    input: Option<ChildStdin>,
    next_id: u64,
    /// Each is sent one answer, and has room for it.
    waiting: Arc<Mutex<HashMap<u64, SyncSender<Value>>>>,
}

/// An open page.
pub struct Page {
    link: Arc<Mutex<Link>>,
    name: String,
}

/// What a page saw and heard of the other side in a while.
#[derive(Debug, Clone)]
pub struct Watched {
    /// Arrival in ms of the wall clock, frame number, age in ms, of every picture that could be read.
    pub frames: Vec<(f64, u32, i32)>,
    /// Pictures that could not be read.
    pub unreadable: u64,
    /// Size of the picture.
    pub size: (u32, u32),
    /// The strongest frequency, in Hz, ten times a second where there was a sound.
    pub hz: Vec<f64>,
}

/// What a page saw and heard of a recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// In seconds; `None` if the browser knew of no end when it began.
    pub duration: Option<f64>,
    /// Size of the picture.
    pub size: (u32, u32),
    /// Of every picture that could be read: when it is to be shown, its number, and what the wall clock
    /// read within its second when it was taken. In seconds.
    pub frames: Vec<(f64, u32, f64)>,
    /// Pictures that could not be read.
    pub unreadable: u64,
    /// Where it ended, in seconds.
    pub end: f64,
    /// Time and number of the picture that was sought, if one was.
    pub sought: Option<(f64, u32)>,
    /// How long the sound is, in seconds.
    pub sound: f64,
    /// When beeps begin in it, in seconds.
    pub beeps: Vec<f64>,
}

impl Browser {
    /// Starts Debian's Chromium.
    pub fn chromium(options: &BrowserOptions<'_>) -> Self {
        Self::start("chromium", options)
    }

    /// Starts Debian's Firefox.
    pub fn firefox(options: &BrowserOptions<'_>) -> Self {
        Self::start("firefox", options)
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Opens a page at a URL.
    pub fn open(&self, page: &str, url: &str) -> Page {
        let page = Page {
            link: self.link.clone(),
            name: page.to_owned(),
        };
        page.ask("open", json!({ "url": url }));
        page
    }

    fn start(name: &'static str, options: &BrowserOptions<'_>) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("browser");
        install(&folder);
        let mut command = Command::new("node");
        command
            .arg("driver.mjs")
            .current_dir(&folder)
            .stdin(Stdio::piped());
        if let Some(sound) = options.sound {
            sound.introduce(&mut command);
        }
        let mut driver = Process::start(name, &mut command);
        let input = driver.take_input().expect("it is piped");
        let output = BufReader::new(driver.take_output().expect("it is piped"));
        let waiting = Arc::new(Mutex::new(HashMap::<u64, SyncSender<Value>>::new()));
        let answers = waiting.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let Ok(answer) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                let id = answer["id"].as_u64().unwrap_or(0);
                if let Some(waiter) = answers.lock().expect("no holder panics").remove(&id) {
                    // Whoever asked may have stopped waiting.
                    let _ = waiter.try_send(answer);
                }
            }
            // Whoever still waits hears that the driver is gone.
            answers.lock().expect("no holder panics").clear();
        });
        let link = Link {
            input: Some(input),
            next_id: 1,
            waiting,
        };
        let browser = Browser {
            driver,
            link: Arc::new(Mutex::new(link)),
            name,
        };
        let launched = browser.link.lock().expect("no holder panics").send(json!({
            "do": "launch",
            "name": name,
            "video": options.video,
            "audio": options.audio,
            "devices": !options.no_devices,
            "permission": if options.deny { "deny" } else { "grant" },
        }));
        answer("launch", &launched, PATIENCE);
        browser
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser when its input ends.
        if let Ok(mut link) = self.link.lock() {
            link.input = None;
        }
        // What has not ended by then is ended with its handle.
        self.driver.ended(Duration::from_secs(10));
    }
}

impl Link {
    fn send(&mut self, mut command: Value) -> Receiver<Value> {
        let (sender, receiver) = sync_channel(1);
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = id.into();
        self.waiting
            .lock()
            .expect("no holder panics")
            .insert(id, sender);
        if let Some(input) = &mut self.input {
            let _ = writeln!(input, "{command}");
        }
        receiver
    }
}

fn answer(action: &str, receiver: &Receiver<Value>, patience: Duration) -> Value {
    let mut answer = receiver
        .recv_timeout(patience + Duration::from_secs(15))
        .unwrap_or_else(|_| panic!("the browser did not answer '{action}'"));
    if let Some(error) = answer.get("error") {
        panic!("{action}: {}", error.as_str().unwrap_or_default());
    }
    answer["ok"].take()
}

impl Page {
    /// Waits until the call is in one of the states of `data-call-state`; returns it.
    pub fn wait_for_state(&self, states: &[&str]) -> String {
        let ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        let state = self.ask("state", json!({ "states": states, "ms": ms }));
        state.as_str().unwrap_or_default().to_owned()
    }

    /// Waits for the first remote picture.
    pub fn wait_for_picture(&self) {
        self.wait_for_picture_in("#remote-video");
    }

    /// Waits for the first picture of the page's own camera.
    pub fn wait_for_own_picture(&self) {
        self.wait_for_picture_in("#local-video");
    }

    fn wait_for_picture_in(&self, selector: &str) {
        let ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
        self.ask("picture", json!({ "selector": selector, "ms": ms }));
    }

    /// Reads the remote picture and sound for a while.
    pub fn watch(&self, time: Duration) -> Watched {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let seen = self.ask("watch", json!({ "ms": ms }));
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let frames = list(&seen["frames"]).into_iter().map(|frame| {
            let (arrival, unix_ms) = (number(&frame[0]), number(&frame[2]));
            let age = (arrival as u64 as u32).wrapping_sub(unix_ms as u32) as i32;
            (arrival, number(&frame[1]) as u32, age)
        });
        Watched {
            frames: frames.collect(),
            unreadable: seen["unreadable"].as_u64().unwrap_or(0),
            size: (
                number(&seen["width"]) as u32,
                number(&seen["height"]) as u32,
            ),
            hz: list(&seen["hz"]).iter().map(number).collect(),
        }
    }

    /// Plays a recording to its end, and then shows the picture at `seek` seconds.
    pub fn watch_recording(&self, path: &Path, seek: Option<f64>) -> Recorded {
        let seen = self.ask(
            "recording",
            json!({ "path": path, "type": "video/webm", "seek": seek }),
        );
        let number = |value: &Value| value.as_f64().unwrap_or(f64::NAN);
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let frame = |frame: &Value| {
            (
                number(&frame[0]),
                number(&frame[1]) as u32,
                number(&frame[2]),
            )
        };
        let sought = Some(&seen["sought"]).filter(|sought| sought.is_array());
        Recorded {
            duration: seen["duration"].as_f64(),
            size: (
                number(&seen["width"]) as u32,
                number(&seen["height"]) as u32,
            ),
            frames: list(&seen["frames"]).iter().map(frame).collect(),
            unreadable: seen["unreadable"].as_u64().unwrap_or(u64::MAX),
            end: number(&seen["end"]),
            sought: sought.map(frame).map(|(time, number, _)| (time, number)),
            sound: number(&seen["sound"]["duration"]),
            beeps: list(&seen["sound"]["beeps"]).iter().map(number).collect(),
        }
    }

    /// Evaluates a JavaScript expression.
    pub fn eval(&self, code: &str) -> Value {
        self.ask("eval", json!({ "code": code }))
    }

    /// Clicks on what a CSS selector finds.
    pub fn click(&self, selector: &str) {
        self.ask("click", json!({ "selector": selector }));
    }

    /// Loads the page anew.
    pub fn reload(&self) {
        self.ask("reload", json!({}));
    }

    /// Closes the page.
    pub fn shut(self) {
        self.ask("shut", json!({}));
    }

    /// Writes a picture of the page to a file.
    pub fn screenshot(&self, path: &Path) {
        self.ask("screenshot", json!({ "path": path }));
    }

    fn ask(&self, action: &str, mut options: Value) -> Value {
        options["do"] = action.into();
        options["page"] = self.name.as_str().into();
        let receiver = self.link.lock().expect("no holder panics").send(options);
        answer(action, &receiver, PATIENCE)
    }
}

/// Fetches the driver's packages if they are not there.
fn install(folder: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if folder.join("node_modules/puppeteer-core").exists() {
            return;
        }
        let status = Command::new("npm")
            .args(["ci", "--no-audit", "--no-fund", "--loglevel=error"])
            .current_dir(folder)
            .status()
            .expect("npm is installed");
        assert!(status.success(), "npm ci failed in {}", folder.display());
    });
}
