//! PulseAudio's own events, which PipeWire gives as well: a sink or a source came, went, or became the
//! default.
//!
//! A connection of its own, since cpal's does not subscribe.

use pulseaudio::protocol::{
    AuthParams, AuthReply, Command, MAX_VERSION, Prop, Props, ProtocolError, SetClientNameReply,
    SubscriptionEventFacility, SubscriptionEventType, SubscriptionMask, read_ack_message,
    read_command_message, read_reply_message, write_command_message,
};
use std::io::BufReader;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A server that stops in the middle of a message is given up after this.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) struct SoundServer {
    stream: BufReader<UnixStream>,
    version: u16,
}

/// Where the server listens, if it were there.
pub(super) fn socket() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let named = std::env::var("PULSE_SERVER").ok();
    match named.as_deref().map(|named| named.strip_prefix("unix:")) {
        Some(Some(path)) => return Some(path.into()),
        // On another machine, which is not watched.
        Some(None) => return None,
        None => {}
    }
    let directory = variable("PULSE_RUNTIME_PATH").or_else(|| variable("XDG_RUNTIME_DIR"))?;
    Some(directory.join("pulse/native"))
}

impl SoundServer {
    /// `None` if no server is there, or none that lets us in.
    pub(super) fn connect() -> Option<Self> {
        let socket = pulseaudio::socket_path_from_env()?;
        let stream = UnixStream::connect(socket).ok()?;
        match Self::subscribe(stream) {
            Ok(server) => Some(server),
            Err(error) => {
                tracing::debug!(%error, "the sound server tells of no changes");
                None
            }
        }
    }

    fn subscribe(stream: UnixStream) -> Result<Self, ProtocolError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let cookie = pulseaudio::cookie_path_from_env().and_then(|path| std::fs::read(path).ok());
        let auth = Command::Auth(AuthParams {
            version: MAX_VERSION,
            supports_shm: false,
            supports_memfd: false,
            cookie: cookie.unwrap_or_default(),
        });
        write_command_message(stream.get_mut(), 0, &auth, MAX_VERSION)?;
        let (_, reply) = read_reply_message::<AuthReply>(&mut stream, MAX_VERSION)?;
        let version = reply.version.min(MAX_VERSION);

        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"Duet");
        let name = Command::SetClientName(props);
        write_command_message(stream.get_mut(), 1, &name, version)?;
        read_reply_message::<SetClientNameReply>(&mut stream, version)?;

        let wanted = SubscriptionMask::SINK | SubscriptionMask::SOURCE | SubscriptionMask::SERVER;
        let subscribe = Command::Subscribe(wanted);
        write_command_message(stream.get_mut(), 2, &subscribe, version)?;
        read_ack_message(&mut stream)?;
        Ok(SoundServer { stream, version })
    }

    /// Takes out what came: whether devices may have changed. An error if the server is gone.
    pub(super) fn read(&mut self) -> Result<bool, ProtocolError> {
        let mut news = false;
        loop {
            let (_, command) = read_command_message(&mut self.stream, self.version)?;
            if let Command::SubscribeEvent(event) = command {
                // A volume that was turned changes a sink, but no device.
                news |= event.event_type != SubscriptionEventType::Changed
                    || event.event_facility == SubscriptionEventFacility::Server;
            }
            if self.stream.buffer().is_empty() {
                return Ok(news);
            }
        }
    }
}

impl AsFd for SoundServer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.get_ref().as_fd()
    }
}
