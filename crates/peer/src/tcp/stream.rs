//! One stream, opened or accepted, and the task that keeps it. It looks at what passes as `recovery/checks.rs` does
//! for sockets.

use super::IceTcp;
use super::framing::{self, HEADER, MAX_FRAME};
use crate::framed::{self, INBOX, OUTBOX};
use crate::recovery::{is_check, is_content, is_stun};
use bytes::{Bytes, BytesMut};
use duet_session::CheckPacer;
use parking_lot::Mutex;
use std::fmt;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use webrtc::runtime::AsyncTcpStream;

/// So long a stranger may take until a check of its is answered.
const STRANGER: Duration = Duration::from_secs(10);
/// For what is still to be said when nobody wants the stream any more: goodbye.
const FAREWELL: Duration = Duration::from_secs(1);
/// Read at once, at least.
const READ: usize = 4_096;

/// The near end of one. Dropped, it says what is in its outbox, and is closed.
pub(crate) struct Stream {
    local: SocketAddr,
    far: SocketAddr,
    outbox: mpsc::Sender<Bytes>,
    inbox: Mutex<Inbox>,
    pacer: Arc<Mutex<CheckPacer<()>>>,
    consent: Arc<AtomicBool>,
    shared: Arc<IceTcp>,
    standing: Arc<watch::Sender<Standing>>,
    _held: oneshot::Sender<()>,
}

struct Inbox {
    frames: mpsc::Receiver<Bytes>,
    /// What is left of the last one.
    rest: Bytes,
}

/// What the task has.
struct Carrier {
    shared: Arc<IceTcp>,
    stream: TcpStream,
    far: SocketAddr,
    outbox: mpsc::Receiver<Bytes>,
    inbox: mpsc::Sender<Bytes>,
    pacer: Arc<Mutex<CheckPacer<()>>>,
    let_go: oneshot::Receiver<()>,
    standing: Arc<watch::Sender<Standing>>,
    _room: OwnedSemaphorePermit,
}

/// What is known of who is at the other end. It only ever rises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// A stranger, who has said nothing.
    Silent,
    /// Its first word was a check.
    Asking,
    /// The agent has answered one of its checks: it knows the password. Or the stream is one of ours.
    Known,
    Gone,
}

impl Stream {
    /// One between us and `ends.1`, opened by us if that is `Known`.
    pub(super) fn start(
        shared: Arc<IceTcp>,
        stream: TcpStream,
        ends: (SocketAddr, SocketAddr),
        standing: Standing,
        room: OwnedSemaphorePermit,
    ) -> Stream {
        let (local, far) = ends;
        let (outbox, waiting) = mpsc::channel(OUTBOX);
        let (arriving, frames) = mpsc::channel(INBOX);
        let (_held, let_go) = oneshot::channel();
        let pacer = Arc::new(Mutex::new(CheckPacer::default()));
        let standing = Arc::new(watch::channel(standing).0);
        let carrier = Carrier {
            shared: shared.clone(),
            stream,
            far,
            outbox: waiting,
            inbox: arriving,
            pacer: pacer.clone(),
            let_go,
            standing: standing.clone(),
            _room: room,
        };
        tokio::spawn(carrier.run());
        Stream {
            local,
            far,
            outbox,
            inbox: Mutex::new(Inbox {
                frames,
                rest: Bytes::new(),
            }),
            pacer,
            consent: shared.recovery.consent(),
            shared,
            standing,
            _held,
        }
    }

    /// Whether it has not ended.
    pub(super) fn lives(&self) -> bool {
        *self.standing.borrow() < Standing::Gone
    }

    /// Waits until a stranger asks for something that the agent understands. False if it never will.
    pub(super) async fn asks(&self) -> bool {
        let mut standing = self.standing.subscribe();
        let changed = standing.wait_for(|standing| *standing > Standing::Silent);
        changed
            .await
            .is_ok_and(|standing| *standing < Standing::Gone)
    }

    /// Sends a datagram, or loses it.
    fn send(&self, frame: &[u8]) {
        let datagram = frame.get(HEADER..).unwrap_or_default();
        if is_check(datagram) {
            // As if it were lost: the agent's next one is not far.
            if !self.pacer.lock().allow((), self.shared.clock.now()) {
                return;
            }
        } else if is_content(datagram) && !self.consent.load(Ordering::Acquire) {
            return;
        }
        if is_success(datagram) {
            raise(&self.standing, Standing::Known);
        }
        // Full: lost, as on a network. Closed: who reads is told.
        let _ = self.outbox.try_send(Bytes::copy_from_slice(frame));
    }
}

fn raise(standing: &watch::Sender<Standing>, to: Standing) {
    standing.send_if_modified(|standing| {
        let rises = to > *standing;
        *standing = to.max(*standing);
        rises
    });
}

/// The agent's answer to a check by who knows the password.
fn is_success(datagram: &[u8]) -> bool {
    datagram.starts_with(&[1, 1]) && is_stun(datagram)
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Stream").field(&self.far).finish()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

impl AsyncTcpStream for Stream {
    /// Nothing at the stream's end.
    fn read<'a, 'b>(&'a self, buffer: &'b mut [u8]) -> Boxed<'b, usize>
    where
        'a: 'b,
    {
        Box::pin(poll_fn(move |cx| {
            let mut inbox = self.inbox.lock();
            if inbox.rest.is_empty() {
                match inbox.frames.poll_recv(cx) {
                    Poll::Ready(Some(frame)) => inbox.rest = frame,
                    Poll::Ready(None) => return Poll::Ready(Ok(0)),
                    Poll::Pending => return Poll::Pending,
                }
            }
            let len = inbox.rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&inbox.rest.split_to(len));
            Poll::Ready(Ok(len))
        }))
    }

    /// One frame. Never waits.
    fn write_all<'a, 'b>(&'a self, frame: &'b [u8]) -> Boxed<'b, ()>
    where
        'a: 'b,
    {
        self.send(frame);
        Box::pin(std::future::ready(Ok(())))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.far)
    }
}

/// Why one ended.
enum Ended {
    Unwanted,
    Refused,
    /// By itself.
    Broken(io::Error),
}

impl Carrier {
    async fn run(mut self) {
        let (mut reader, mut writer) = self.stream.split();
        let writing = framed::write_all_of(&mut self.outbox, &mut writer, |bytes, frame| {
            bytes.extend_from_slice(frame);
        });
        let (gate, pacer) = (&self.shared.gate, &self.pacer);
        let reading = async {
            let mut bytes = BytesMut::new();
            loop {
                while let Some(frame) = framing::take(&mut bytes) {
                    let datagram = &frame[HEADER..];
                    if *self.standing.borrow() == Standing::Silent {
                        if !is_check(datagram) {
                            return Ended::Refused;
                        }
                        raise(&self.standing, Standing::Asking);
                    }
                    if is_stun(datagram) {
                        pacer.lock().heard(&());
                    }
                    if gate.admits(datagram) && self.inbox.send(frame).await.is_err() {
                        // Nobody wants it. What was said last is still being written.
                        return pending().await;
                    }
                }
                // Less than one frame is left, so this is bounded.
                bytes.reserve(READ.min(MAX_FRAME));
                match reader.read_buf(&mut bytes).await {
                    Ok(0) => return Ended::Broken(io::ErrorKind::UnexpectedEof.into()),
                    Ok(_) => {}
                    Err(error) => return Ended::Broken(error),
                }
            }
        };
        let unwanted = async {
            let _ = (&mut self.let_go).await;
            tokio::time::sleep(FAREWELL).await;
        };
        let ended = tokio::select! {
            written = writing => match written {
                Ok(()) => Ended::Unwanted,
                Err(error) => Ended::Broken(error),
            },
            ended = reading => ended,
            () = unwanted => Ended::Unwanted,
            () = out_of_patience(&self.shared, self.standing.subscribe()) => Ended::Refused,
        };
        let was = *self.standing.borrow();
        raise(&self.standing, Standing::Gone);
        match ended {
            // It may be closed already.
            Ended::Unwanted => drop(writer.shutdown().await),
            Ended::Refused => self.shared.refuse(),
            Ended::Broken(error) => {
                tracing::debug!(far = %self.far, %error, "a stream of a candidate's ended");
                // No way led through a stranger's: who comes and goes wakes nobody.
                if was == Standing::Known {
                    self.shared.recovery.on_stream_lost(self.far);
                }
            }
        }
    }
}

/// Waits until a stranger must go; for ever if it is none, or is none any more.
async fn out_of_patience(shared: &IceTcp, mut standing: watch::Receiver<Standing>) {
    let vetted = async {
        // Who says nothing makes room for others of the kind, and takes none from those who ask.
        let stages = [
            (Standing::Silent, &shared.silent),
            (Standing::Asking, &shared.asking),
        ];
        for (stage, strangers) in stages {
            if *standing.borrow() > stage {
                continue;
            }
            let visit = strangers.enter();
            tokio::select! {
                _ = standing.wait_for(|standing| *standing > stage) => {}
                () = visit.must_go() => return false,
            }
        }
        true
    };
    if tokio::time::timeout(STRANGER, vetted).await == Ok(true) {
        pending().await
    }
}
