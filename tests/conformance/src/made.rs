//! What a page makes itself: blobs, recordings, pictures and sound.

use crate::blob::Blobs;
use crate::canvas::Canvases;
use crate::checkout::TestFile;
use crate::door::{Thrown, World};
use crate::record::Recorders;
use crate::sound::Destinations;
use serde_json::Value;
use std::collections::VecDeque;

/// A page's own objects, by what they are.
#[derive(Default)]
pub(crate) struct Made {
    /// Whether its scripts capture from a canvas.
    pub(crate) draws: bool,
    pub(crate) blobs: Blobs,
    pub(crate) recorders: Recorders,
    pub(crate) canvases: Canvases,
    pub(crate) destinations: Destinations,
    /// What the task that runs has to tell besides.
    pub(crate) rest: VecDeque<String>,
}

impl Made {
    /// Nothing yet, by the page of that file and origin.
    pub(crate) fn by(file: &TestFile, origin: &str) -> Self {
        Made {
            draws: file.draws(),
            blobs: Blobs::of(origin),
            ..Made::default()
        }
    }
}

impl World {
    pub(crate) fn operate_made(
        &mut self,
        operation: &str,
        argument: Value,
    ) -> Result<Value, Thrown> {
        match operation.split_once('.') {
            Some(("blob", operation)) => self.made.blobs.operate(operation, argument),
            Some(("recorder", operation)) => self.operate_recorder(operation, &argument),
            Some(("canvas", operation)) => self.operate_canvas(operation, argument),
            Some(("sound", operation)) => self.operate_sound(operation, argument),
            _ => Err(Thrown::unknown(operation)),
        }
    }

    /// What else the task that was told last has to tell, one after the other.
    pub(crate) fn told_besides(&mut self) -> Option<String> {
        self.made.rest.pop_front()
    }
}
