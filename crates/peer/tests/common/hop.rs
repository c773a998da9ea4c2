//! A hop between two ends, for streams: what an end listens on has another address here.

use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What passes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Passes {
    All,
    /// Nothing, and nothing is read.
    Nothing,
}

/// Dropped, it closes all that leads through it.
pub(crate) struct Hop {
    passes: watch::Sender<Passes>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    streams: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Hop {
    pub(crate) fn new() -> Hop {
        Hop {
            passes: watch::channel(Passes::All).0,
            tasks: Arc::default(),
            streams: Arc::default(),
        }
    }

    /// The address here of who listens `there`.
    pub(crate) async fn to(&self, there: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let here = listener.local_addr().expect("its address");
        let (passes, streams) = (self.passes.subscribe(), self.streams.clone());
        self.tasks.lock().push(tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(there).await else {
                    continue;
                };
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                let ways = [(from_near, to_far), (from_far, to_near)];
                let tasks = ways.map(|(from, to)| tokio::spawn(pass(from, to, passes.clone())));
                streams.lock().extend(tasks);
            }
        }));
        here
    }

    /// Stops reading, or goes on.
    pub(crate) fn stall(&self, stalled: bool) {
        let passes = if stalled {
            Passes::Nothing
        } else {
            Passes::All
        };
        self.passes.send_replace(passes);
    }

    /// Cuts off what leads through it at present.
    pub(crate) fn cut(&self) {
        self.streams.lock().drain(..).for_each(|task| task.abort());
    }
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.cut();
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passes: watch::Receiver<Passes>,
) {
    let mut bytes = vec![0; 16 * 1_024];
    while passes
        .wait_for(|passes| *passes == Passes::All)
        .await
        .is_ok()
    {
        let len = match from.read(&mut bytes).await {
            Ok(len) if len > 0 => len,
            _ => return,
        };
        if to.write_all(&bytes[..len]).await.is_err() {
            return;
        }
    }
}
