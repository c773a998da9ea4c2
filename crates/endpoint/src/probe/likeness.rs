//! How like its original a decoded picture is. The original is painted anew from the marks.

use duet_devices::synthetic::{Marks, Painter};
use duet_media::I420Buffer;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Compares pictures on a thread of its own, so that the decoder does not wait.
///
/// Capacity: two pictures wait. When there is no room a picture goes uncompared, which a median of
/// samples can bear.
pub(super) struct Likeness {
    thread: Mutex<Option<(SyncSender<Job>, JoinHandle<()>)>>,
    found: Arc<Mutex<Vec<f64>>>,
}

struct Job {
    picture: Arc<I420Buffer>,
    marks: Marks,
    captured: Duration,
}

/// Where originals are had from.
pub(crate) enum Original {
    /// Painted anew: the camera was the synthetic one.
    Painted,
    /// Kept when they were sent.
    Kept(Arc<Kept>),
}

/// Every so many pictures one is compared with its original.
pub(super) const COMPARED: u32 = 29;

/// The last few originals that will be compared.
#[derive(Default)]
pub(crate) struct Kept(Mutex<VecDeque<(u32, Arc<I420Buffer>)>>);

impl Kept {
    /// A comparison is due within these many compared pictures, or will never be.
    const CAPACITY: usize = 4;

    /// Keeps the picture if it is one to be compared.
    pub(crate) fn keep(&self, number: u32, picture: &Arc<I420Buffer>) {
        if number.is_multiple_of(COMPARED) {
            let mut kept = self.0.lock();
            kept.truncate(Self::CAPACITY - 1);
            kept.push_front((number, picture.clone()));
        }
    }

    fn find(&self, number: u32) -> Option<Arc<I420Buffer>> {
        let kept = self.0.lock();
        let (_, picture) = kept.iter().find(|(other, _)| *other == number)?;
        Some(picture.clone())
    }
}

impl Likeness {
    pub(super) fn start(original: Original) -> Self {
        let (jobs, todo) = sync_channel::<Job>(2);
        let found = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::Builder::new().name("duet-likeness".into());
        let handle = thread.spawn({
            let found = found.clone();
            move || match original {
                Original::Painted => compare_painted(&todo, &found),
                Original::Kept(kept) => {
                    for job in todo {
                        let same_size = |o: &Arc<I420Buffer>| o.y().len() == job.picture.y().len();
                        if let Some(original) = kept.find(job.marks.frame_number).filter(same_size)
                        {
                            found.lock().push(psnr(original.y(), job.picture.y()));
                        }
                    }
                }
            }
        });
        Likeness {
            // Without the thread nothing is compared, and the report says so by having no figure.
            thread: Mutex::new(handle.ok().map(|handle| (jobs, handle))),
            found,
        }
    }

    pub(super) fn compare(&self, picture: Arc<I420Buffer>, marks: Marks, captured: Duration) {
        if let Some((jobs, _)) = &*self.thread.lock() {
            let _ = jobs.try_send(Job {
                picture,
                marks,
                captured,
            });
        }
    }

    /// The median in dB, after all that waits has been compared. Nothing is compared any more then.
    pub(super) fn median(&self) -> Option<f64> {
        if let Some((jobs, handle)) = self.thread.lock().take() {
            drop(jobs);
            let _ = handle.join();
        }
        let mut found = self.found.lock().clone();
        found.sort_by(f64::total_cmp);
        found.get(found.len() / 2).copied()
    }
}

fn compare_painted(todo: &Receiver<Job>, found: &Mutex<Vec<f64>>) {
    let mut painter = Painter::new(0, 0);
    let mut original = I420Buffer::default();
    for job in todo {
        let (width, height) = (job.picture.width(), job.picture.height());
        if (painter.width(), painter.height()) != (width, height) {
            painter = Painter::new(width, height);
        }
        let Marks {
            frame_number,
            flash,
            ..
        } = job.marks;
        painter.paint(frame_number, job.captured, flash, &mut original);
        found.lock().push(psnr(original.y(), job.picture.y()));
    }
}

/// Peak signal-to-noise ratio of two planes of one size, in dB; 100 for equal ones.
fn psnr(original: &[u8], other: &[u8]) -> f64 {
    let squares: u64 = original
        .iter()
        .zip(other)
        .map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2))
        .sum();
    if squares == 0 {
        return 100.0;
    }
    10.0 * (255.0 * 255.0 * original.len() as f64 / squares as f64).log10()
}
