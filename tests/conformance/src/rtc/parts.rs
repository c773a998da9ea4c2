//! Transceivers with their senders and receivers.

use super::Outside;
use crate::door::{Thrown, parse};
use duet_media::MediaStream;
use duet_peer::RTCRtpTransceiver;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Objects by numbers: the same object, the same number.
pub(crate) struct Numbered<T>(Mutex<Vec<T>>);

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Numbered(Mutex::new(Vec::new()))
    }
}

impl<T: Clone + PartialEq> Numbered<T> {
    /// An object's number, perhaps a new one; and whether it is new.
    pub(crate) fn number(&self, object: &T) -> (usize, bool) {
        let mut objects = self.objects();
        match objects.iter().position(|known| known == object) {
            Some(at) => (at, false),
            None => {
                objects.push(object.clone());
                (objects.len() - 1, true)
            }
        }
    }

    pub(crate) fn find(&self, number: &Value) -> Result<T, Thrown> {
        let objects = self.objects();
        let found = number.as_u64().and_then(|at| objects.get(at as usize));
        let found = found.ok_or_else(|| Thrown::type_error(format!("no object {number}")))?;
        Ok(found.clone())
    }

    pub(crate) fn clear(&self) {
        self.objects().clear();
    }

    fn objects(&self) -> MutexGuard<'_, Vec<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outside {
    /// A transceiver as the glue is told of it.
    pub(crate) fn describe_transceiver(&self, transceiver: &RTCRtpTransceiver) -> Value {
        let (number, _) = self.transceivers.number(transceiver);
        let current = transceiver.current_direction();
        let sent = transceiver.sender().track();
        json!({
            "transceiver": number,
            "mid": transceiver.mid(),
            "direction": transceiver.direction().to_string(),
            "currentDirection": current.map(|direction| direction.to_string()),
            "sent": sent.map(|track| self.registry.meet_track(track)),
            "received": self.registry.meet_track(transceiver.receiver().track()),
        })
    }

    pub(crate) fn streams(&self, ids: &Value) -> Result<Vec<MediaStream>, Thrown> {
        let ids: Vec<Value> = parse(ids.clone())?;
        ids.iter().map(|id| self.registry.stream(id)).collect()
    }

    pub(crate) fn operate_transceiver(
        &self,
        operation: &str,
        argument: &Value,
    ) -> Result<Value, Thrown> {
        let transceiver = self.transceivers.find(&argument["transceiver"])?;
        let argument = &argument["argument"];
        match operation {
            "direction" => return Ok(transceiver.direction().to_string().into()),
            "stopped" => return Ok(transceiver.stopped().into()),
            "setDirection" => transceiver.set_direction(parse(argument.clone())?)?,
            "stop" => transceiver.stop(),
            "replaceTrack" => match argument {
                Value::Null => transceiver.sender().replace_track(None)?,
                id => {
                    let track = self.registry.track(id)?;
                    transceiver.sender().replace_track(Some(&track))?;
                }
            },
            "setStreams" => transceiver.sender().set_streams(&self.streams(argument)?),
            _ => return Err(Thrown::type_error(format!("transceiver.{operation}?"))),
        }
        Ok(Value::Null)
    }
}
