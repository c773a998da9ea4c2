//! Clips whose content a far end can check: the synthetic camera's picture as Y4M, a tone as WAV.

use duet_devices::synthetic::Painter;
use duet_media::I420Buffer;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// The tone's pitch.
pub const TONE_HZ: f64 = 523.25;
const RATE: u32 = 48_000;
const FPS: u32 = 30;

/// Files for a browser's fake camera and microphone. Removed with their handle.
pub struct Clip {
    folder: TempDir,
}

impl Clip {
    /// Six seconds of picture, numbered from 0, and a steady tone.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let clip = Clip { folder };
        clip.write_video(640, 360, 6 * FPS)
            .expect("the clip is written");
        clip.write_audio(6 * RATE).expect("the clip is written");
        clip
    }

    /// The picture.
    pub fn video(&self) -> PathBuf {
        self.folder.path().join("clip.y4m")
    }

    /// The sound.
    pub fn audio(&self) -> PathBuf {
        self.folder.path().join("clip.wav")
    }

    fn write_video(&self, width: u32, height: u32, frames: u32) -> std::io::Result<()> {
        let mut file = create(&self.video())?;
        writeln!(
            file,
            "YUV4MPEG2 W{width} H{height} F{FPS}:1 Ip A1:1 C420jpeg"
        )?;
        let painter = Painter::new(width, height);
        let mut picture = I420Buffer::default();
        for number in 0..frames {
            let at = Duration::from_secs_f64(f64::from(number) / f64::from(FPS));
            painter.paint(number, at, number % FPS == 0, &mut picture);
            file.write_all(b"FRAME\n")?;
            file.write_all(picture.as_bytes())?;
        }
        file.flush()
    }

    fn write_audio(&self, samples: u32) -> std::io::Result<()> {
        let mut file = create(&self.audio())?;
        let bytes = samples * 2;
        file.write_all(b"RIFF")?;
        file.write_all(&(36 + bytes).to_le_bytes())?;
        file.write_all(b"WAVEfmt ")?;
        file.write_all(&16u32.to_le_bytes())?;
        file.write_all(&1u16.to_le_bytes())?;
        file.write_all(&1u16.to_le_bytes())?;
        file.write_all(&RATE.to_le_bytes())?;
        file.write_all(&(RATE * 2).to_le_bytes())?;
        file.write_all(&2u16.to_le_bytes())?;
        file.write_all(&16u16.to_le_bytes())?;
        file.write_all(b"data")?;
        file.write_all(&bytes.to_le_bytes())?;
        for n in 0..samples {
            let phase = f64::from(n) * TONE_HZ / f64::from(RATE) * std::f64::consts::TAU;
            file.write_all(&((phase.sin() * 9_000.0) as i16).to_le_bytes())?;
        }
        file.flush()
    }
}

impl Default for Clip {
    fn default() -> Self {
        Self::new()
    }
}

fn create(path: &Path) -> std::io::Result<BufWriter<File>> {
    File::create(path).map(BufWriter::new)
}
