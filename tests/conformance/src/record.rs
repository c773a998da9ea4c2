//! The page's recorders: <https://w3c.github.io/mediacapture-record/>.
//!
//! Each is one of ours, whose tasks are the page's tasks: what changes by itself changes when the page's
//! event loop comes to it.

use crate::agenda::{Task, tell};
use crate::door::{Thrown, World, parse};
use duet_media::Subscription;
use duet_recorder::{
    BitrateMode, MediaRecorder, MediaRecorderError, MediaRecorderOptions, RecorderEvent,
    RecorderTask,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// A page's recorders by their ids.
#[derive(Default)]
pub(crate) struct Recorders(HashMap<u64, Recorder>);

struct Recorder {
    recorder: MediaRecorder,
    /// What a task that has been run fired.
    fired: Receiver<RecorderEvent>,
    _subscription: Subscription,
}

/// `MediaRecorderOptions`, converted from what a script passed.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Options {
    mime_type: String,
    audio_bits_per_second: Option<u32>,
    video_bits_per_second: Option<u32>,
    bits_per_second: Option<u32>,
    audio_bitrate_mode: Mode,
    video_key_frame_interval_duration: Option<f64>,
    video_key_frame_interval_count: Option<u32>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Constant,
    #[default]
    Variable,
}

impl From<Options> for MediaRecorderOptions {
    fn from(options: Options) -> Self {
        let millis = |millis: f64| {
            Duration::try_from_secs_f64((millis / 1e3).max(0.0)).unwrap_or(Duration::MAX)
        };
        MediaRecorderOptions {
            mime_type: options.mime_type,
            audio_bits_per_second: options.audio_bits_per_second,
            video_bits_per_second: options.video_bits_per_second,
            bits_per_second: options.bits_per_second,
            audio_bitrate_mode: match options.audio_bitrate_mode {
                Mode::Constant => BitrateMode::Constant,
                Mode::Variable => BitrateMode::Variable,
            },
            video_key_frame_interval_duration: options
                .video_key_frame_interval_duration
                .map(millis),
            video_key_frame_interval_count: options.video_key_frame_interval_count,
        }
    }
}

impl World {
    pub(crate) fn operate_recorder(
        &mut self,
        operation: &str,
        argument: &Value,
    ) -> Result<Value, Thrown> {
        match operation {
            "new" => return self.new_recorder(argument),
            "isTypeSupported" => {
                let mime_type: String = parse(argument.clone())?;
                return Ok(MediaRecorder::is_type_supported(&mime_type).into());
            }
            _ => {}
        }
        let recorder = self.recorder(&argument["id"])?.recorder.clone();
        let argument = &argument["argument"];
        Ok(match operation {
            "stream" => self.meet_stream(recorder.stream().clone()).into(),
            "mimeType" => recorder.mime_type().into(),
            "state" => recorder.state().as_str().into(),
            "videoBitsPerSecond" => recorder.video_bits_per_second().into(),
            "audioBitsPerSecond" => recorder.audio_bits_per_second().into(),
            "audioBitrateMode" => recorder.audio_bitrate_mode().as_str().into(),
            "start" => {
                recorder.start(argument.as_u64().map(Duration::from_millis))?;
                // Until it has stopped the page may hear of it at any time.
                self.agenda().hold();
                Value::Null
            }
            "stop" => {
                recorder.stop();
                Value::Null
            }
            "pause" => {
                recorder.pause()?;
                Value::Null
            }
            "resume" => {
                recorder.resume()?;
                Value::Null
            }
            "requestData" => {
                recorder.request_data()?;
                Value::Null
            }
            _ => return Err(Thrown::unknown(&format!("recorder.{operation}"))),
        })
    }

    fn new_recorder(&mut self, argument: &Value) -> Result<Value, Thrown> {
        let stream = self.stream(&argument["stream"])?;
        let options: Options = parse(argument["options"].clone())?;
        let id = self.made.recorders.0.len() as u64;
        let sender = self.agenda().sender();
        let queue = move |task| tell(&sender, Task::Recorder(id, task));
        let recorder = MediaRecorder::with_task_queue(&stream, options.into(), queue)?;
        let (fire, fired) = mpsc::channel();
        let subscription = recorder.subscribe(move |event| {
            // Whoever runs a task takes out what it fired.
            let _ = fire.send(event.clone());
        });
        self.made.recorders.0.insert(
            id,
            Recorder {
                recorder,
                fired,
                _subscription: subscription,
            },
        );
        Ok(id.into())
    }

    /// Runs a recorder's task; what it fires, as the glue is told it.
    pub(crate) fn run_recorder_task(&mut self, id: u64, task: RecorderTask) -> Vec<String> {
        task.run();
        let recorder = self.made.recorders.0.get(&id);
        let fired: Vec<_> = recorder.iter().flat_map(|r| r.fired.try_iter()).collect();
        let told = fired.into_iter().map(|event| {
            let told = match event {
                RecorderEvent::Start { .. } => json!({ "event": "start" }),
                RecorderEvent::Pause => json!({ "event": "pause" }),
                RecorderEvent::Resume => json!({ "event": "resume" }),
                RecorderEvent::DataAvailable { blob, timecode } => json!({
                    "event": "dataavailable",
                    "blob": self.made.blobs.meet(blob),
                    "timecode": timecode.as_secs_f64() * 1e3,
                }),
                RecorderEvent::Error(error) => {
                    json!({ "event": "error", "error": Thrown::from(error).to_json() })
                }
                RecorderEvent::Stop => {
                    self.agenda().release();
                    json!({ "event": "stop" })
                }
            };
            json!({ "task": "recorderEvent", "id": id, "fired": told }).to_string()
        });
        told.collect()
    }

    fn recorder(&self, id: &Value) -> Result<&Recorder, Thrown> {
        let found = id.as_u64().and_then(|id| self.made.recorders.0.get(&id));
        found.ok_or_else(|| Thrown::type_error(format!("no recorder {id}")))
    }
}

impl From<MediaRecorderError> for Thrown {
    fn from(error: MediaRecorderError) -> Self {
        Thrown::new(error.name(), error.message())
    }
}
