//! The one way between the page's glue and our objects: an operation's name, and JSON either way.

use crate::agenda::{Agenda, Answer, Task, tell};
use crate::checkout::{Checkout, TestFile};
use crate::dictionaries::{self, StreamConstraints, TrackConstraints};
use crate::harness::{Done, HarnessStatus, Outcome, TestResult};
use crate::made::Made;
use crate::registry::Registry;
use crate::rtc::Rtc;
use crate::user::{Device, User};
use duet_devices::{GetUserMediaError, MediaDevices};
use duet_media::{
    Clock, ContentHint, MediaStream, MediaStreamConstraints, MediaStreamTrack, MonotonicClock,
    OverconstrainedError, Subscription, TrackState,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An exception, as it goes to the page.
#[derive(Debug)]
pub(crate) struct Thrown {
    pub(crate) name: &'static str,
    pub(crate) message: String,
    pub(crate) constraint: Option<String>,
}

/// Our side of a page: its objects by their ids, and what it is yet to be told.
pub(crate) struct World {
    url: String,
    secure: bool,
    checkout: Checkout,
    agenda: Agenda,
    clock: Arc<dyn Clock>,
    devices: MediaDevices,
    registry: Registry,
    rtc: Rtc,
    pub(crate) made: Made,
    tests: Vec<TestResult>,
    outcome: Option<Outcome>,
    _watching_devices: Subscription,
}

impl World {
    pub(crate) fn new(file: &TestFile, checkout: Checkout, user: &User) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(MonotonicClock::new());
        let forbidden = file.forbidden.iter();
        let forbidden = forbidden.filter_map(|f| Device::of_feature(f)).collect();
        let devices = MediaDevices::new(clock.clone())
            .without_hardware()
            .with_synthetic();
        let devices = user.guard(devices, forbidden);
        let agenda = Agenda::new();
        let registry = Registry::new(agenda.sender());
        let sender = agenda.sender();
        let watching = devices.subscribe(move |change| {
            // The page may be gone; then nobody minds.
            let _ = sender.send(Task::Devices(change.devices.clone()));
        });
        let secure = file.is_secure();
        let scheme = if secure { "https" } else { "http" };
        let origin = format!("{scheme}://web-platform.test");
        World {
            url: format!("{origin}/{}", file.path),
            secure,
            checkout,
            rtc: Rtc::new(clock.clone(), registry.clone(), agenda.sender()),
            agenda,
            clock,
            devices,
            registry,
            made: Made::by(file, &origin),
            tests: Vec::new(),
            outcome: None,
            _watching_devices: watching,
        }
    }

    pub(crate) fn agenda(&mut self) -> &mut Agenda {
        &mut self.agenda
    }

    pub(crate) fn devices(&self) -> MediaDevices {
        self.devices.clone()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    pub(crate) fn send_load(&self) {
        tell(&self.agenda.sender(), Task::Load);
    }

    pub(crate) fn is_done(&self) -> bool {
        self.outcome.is_some()
    }

    /// Ends the page before its harness is done; what it said so far counts.
    pub(crate) fn give_up(&mut self, status: HarnessStatus) {
        self.outcome.get_or_insert(Outcome {
            status,
            message: None,
            tests: std::mem::take(&mut self.tests),
        });
    }

    pub(crate) fn outcome(&self) -> Outcome {
        let unheard = Outcome {
            status: HarnessStatus::Error,
            message: Some("the harness said nothing".into()),
            tests: Vec::new(),
        };
        self.outcome.clone().unwrap_or(unheard)
    }

    /// A task as the glue is told it.
    pub(crate) fn told(&mut self, task: Task) -> String {
        let told = match task {
            Task::Load => json!({ "task": "load" }),
            Task::Timer(id) => json!({ "task": "timer", "id": id }),
            Task::Track(id, event) => {
                self.registry.told(&id, event);
                json!({ "task": "trackEvent", "id": id, "event": event })
            }
            Task::Told(event) => event,
            Task::Stream(id, event, track) => {
                let track = self.meet_track(track);
                json!({ "task": "streamEvent", "id": id, "event": event, "track": track })
            }
            Task::Devices(devices) => {
                let devices: Vec<_> = devices.iter().map(dictionaries::device).collect();
                json!({ "task": "deviceChange", "devices": devices })
            }
            Task::Recorder(id, task) => {
                self.made.rest = self.run_recorder_task(id, task).into();
                return self.told_besides().unwrap_or_else(|| NOTHING.into());
            }
            Task::Settled(request, Err(thrown)) => {
                json!({ "task": "settled", "request": request, "error": thrown.to_json() })
            }
            Task::Settled(request, Ok(answer)) => {
                let value = match answer {
                    Answer::Nothing => Value::Null,
                    Answer::Stream(stream) => self.meet_stream(stream).into(),
                    Answer::Devices(devices) => devices.iter().map(dictionaries::device).collect(),
                    Answer::Json(value) => value,
                };
                json!({ "task": "settled", "request": request, "value": value })
            }
        };
        told.to_string()
    }

    /// Does what the glue asks for.
    pub(crate) fn answer(&mut self, operation: &str, argument: &str) -> String {
        let done = match serde_json::from_str(argument) {
            Ok(argument) => self.operate(operation, argument),
            Err(error) => Err(Thrown::type_error(error)),
        };
        match done {
            Ok(value) => json!({ "value": value }),
            Err(thrown) => json!({ "error": thrown.to_json() }),
        }
        .to_string()
    }

    fn operate(&mut self, operation: &str, argument: Value) -> Result<Value, Thrown> {
        if let Some(operation) = operation.strip_prefix("track.") {
            return self.operate_track(operation, &argument["id"], argument["argument"].clone());
        }
        if let Some(operation) = operation.strip_prefix("stream.") {
            return self.operate_stream(operation, &argument);
        }
        if let Some(operation) = operation.strip_prefix("rtc.") {
            return self.rtc.operate(operation, argument, &mut self.agenda);
        }
        Ok(match operation {
            "page" => json!({
                "url": self.url,
                "secure": self.secure,
                "draws": self.made.draws,
                "timeOrigin": self.time_origin(),
            }),
            "now" => json!(self.clock.now().as_secs_f64() * 1e3),
            "timer" => {
                let delay = argument["delay"].as_f64().unwrap_or(0.0);
                // What no timer could wait for is as good as a day.
                let delay = Duration::from_secs_f64((delay / 1e3).clamp(0.0, 86_400.0));
                json!(self.agenda.start_timer(delay, argument["id"].as_u64()))
            }
            "file" => json!(argument.as_str().and_then(|url| self.checkout.fetch(url))),
            "log" => {
                let words: Vec<String> = parse(argument)?;
                eprintln!("{}: {}", self.url, words.join(" "));
                Value::Null
            }
            "test" => {
                let test: TestResult = parse(argument)?;
                match self.tests.iter_mut().find(|other| other.name == test.name) {
                    Some(known) => *known = test,
                    None => self.tests.push(test),
                }
                Value::Null
            }
            "done" => {
                self.outcome = Some(parse::<Done>(argument)?.into());
                Value::Null
            }
            "devices.supported" => {
                dictionaries::supported(MediaStreamTrack::get_supported_constraints())
            }
            "devices.enumerate" => {
                let devices = self.devices.clone();
                self.in_parallel(move || Ok(Answer::Devices(devices.enumerate_devices())))
            }
            "devices.getUserMedia" => {
                let constraints: MediaStreamConstraints =
                    parse::<StreamConstraints>(argument)?.into();
                let request = self.devices.request_user_media(&constraints)?;
                self.in_parallel(move || Ok(Answer::Stream(request.run()?)))
            }
            _ => return self.operate_made(operation, argument),
        })
    }

    /// When the page's clock stood at zero, in milliseconds since the Unix epoch.
    fn time_origin(&self) -> f64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        (since.unwrap_or_default().as_secs_f64() - self.clock.now().as_secs_f64()) * 1e3
    }

    fn operate_track(
        &mut self,
        operation: &str,
        id: &Value,
        argument: Value,
    ) -> Result<Value, Thrown> {
        let track = self.track(id)?;
        Ok(match operation {
            "kind" => track.kind().as_str().into(),
            "label" => track.label().into(),
            "enabled" => track.enabled().into(),
            "setEnabled" => {
                track.set_enabled(parse(argument)?);
                Value::Null
            }
            "contentHint" => track.content_hint().as_str().into(),
            "setContentHint" => {
                let name: String = parse(argument)?;
                let hint = ContentHint::ALL.into_iter().find(|h| h.as_str() == name);
                // What is no hint changes nothing.
                hint.into_iter()
                    .for_each(|hint| track.set_content_hint(hint));
                Value::Null
            }
            "muted" => self.registry.muted(&track).into(),
            "readyState" => match track.ready_state() {
                TrackState::Live => "live".into(),
                TrackState::Ended => "ended".into(),
            },
            "clone" => self.meet_track(track.clone_track()).into(),
            "stop" => {
                track.stop();
                Value::Null
            }
            "getCapabilities" => {
                dictionaries::capabilities(track.kind(), &track.get_capabilities())
            }
            "getSettings" => dictionaries::settings(&track.get_settings()),
            "getConstraints" => {
                let constraints = TrackConstraints::from(track.get_constraints());
                serde_json::to_value(constraints).map_err(Thrown::type_error)?
            }
            "applyConstraints" => {
                let constraints = parse::<TrackConstraints>(argument)?.into();
                // On this thread, and so in the order of the calls.
                let applied = track.apply_constraints(constraints);
                let settled = applied.map(|()| Answer::Nothing).map_err(Thrown::from);
                self.settle(settled)
            }
            _ => return Err(Thrown::unknown(&format!("track.{operation}"))),
        })
    }

    fn operate_stream(&mut self, operation: &str, argument: &Value) -> Result<Value, Thrown> {
        if operation == "new" {
            let stream = match (&argument["stream"], &argument["tracks"]) {
                (Value::Null, Value::Null) => MediaStream::new(),
                (Value::Null, tracks) => {
                    let ids: Vec<Value> = parse(tracks.clone())?;
                    let tracks: Result<Vec<_>, _> = ids.iter().map(|id| self.track(id)).collect();
                    MediaStream::from_tracks(tracks?)
                }
                (stream, _) => MediaStream::from_stream(&self.stream(stream)?),
            };
            return Ok(self.meet_stream(stream).into());
        }
        let stream = self.stream(&argument["id"])?;
        let argument = &argument["argument"];
        Ok(match operation {
            "active" => stream.active().into(),
            "tracks" => {
                let tracks = match argument.as_str() {
                    Some("audio") => stream.get_audio_tracks(),
                    Some("video") => stream.get_video_tracks(),
                    _ => stream.get_tracks(),
                };
                let ids = tracks.into_iter().map(|track| self.meet_track(track));
                ids.collect::<Vec<_>>().into()
            }
            "trackById" => {
                let found = argument.as_str().and_then(|id| stream.get_track_by_id(id));
                found.map(|track| self.meet_track(track)).into()
            }
            "addTrack" => {
                stream.add_track(self.track(argument)?);
                Value::Null
            }
            "removeTrack" => {
                stream.remove_track(&self.track(argument)?);
                Value::Null
            }
            "clone" => self.meet_stream(stream.clone_stream()).into(),
            _ => return Err(Thrown::unknown(&format!("stream.{operation}"))),
        })
    }

    fn track(&self, id: &Value) -> Result<MediaStreamTrack, Thrown> {
        self.registry.track(id)
    }

    pub(crate) fn stream(&self, id: &Value) -> Result<MediaStream, Thrown> {
        self.registry.stream(id)
    }

    pub(crate) fn meet_track(&self, track: MediaStreamTrack) -> String {
        self.registry.meet_track(track)
    }

    pub(crate) fn meet_stream(&self, stream: MediaStream) -> String {
        self.registry.meet_stream(stream)
    }

    /// Does something on a thread of its own; returns the request's id.
    fn in_parallel(
        &mut self,
        work: impl FnOnce() -> Result<Answer, Thrown> + Send + 'static,
    ) -> Value {
        let (request, sender) = (self.agenda.start_request(), self.agenda.sender());
        std::thread::spawn(move || tell(&sender, Task::Settled(request, work())));
        request.into()
    }

    /// A request that is done already; the page learns of it in its turn.
    fn settle(&mut self, result: Result<Answer, Thrown>) -> Value {
        let (request, sender) = (self.agenda.start_request(), self.agenda.sender());
        tell(&sender, Task::Settled(request, result));
        request.into()
    }
}

/// A task of which the page has nothing to hear.
const NOTHING: &str = r#"{"task":"nothing"}"#;

pub(crate) fn parse<T: DeserializeOwned>(argument: Value) -> Result<T, Thrown> {
    serde_json::from_value(argument).map_err(Thrown::type_error)
}

impl Thrown {
    /// The glue and this side disagree: our own mistake, told where a test will show it.
    pub(crate) fn type_error(message: impl std::fmt::Display) -> Self {
        Self::new("TypeError", message)
    }

    /// The glue asks for something that there is not.
    pub(crate) fn unknown(operation: &str) -> Self {
        Self::type_error(format!("{operation} is not known here"))
    }

    pub(crate) fn new(name: &'static str, message: impl std::fmt::Display) -> Self {
        Thrown {
            name,
            message: message.to_string(),
            constraint: None,
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        match &self.constraint {
            Some(constraint) => {
                json!({ "name": self.name, "message": self.message, "constraint": constraint })
            }
            None => json!({ "name": self.name, "message": self.message }),
        }
    }
}

impl From<GetUserMediaError> for Thrown {
    fn from(error: GetUserMediaError) -> Self {
        let name = error.name();
        let message = error.message().to_string();
        let constraint = match error {
            GetUserMediaError::Overconstrained { constraint, .. } => Some(constraint),
            _ => None,
        };
        Thrown {
            name,
            message,
            constraint,
        }
    }
}

impl From<OverconstrainedError> for Thrown {
    fn from(error: OverconstrainedError) -> Self {
        Thrown {
            name: "OverconstrainedError",
            message: error.message,
            constraint: Some(error.constraint),
        }
    }
}
