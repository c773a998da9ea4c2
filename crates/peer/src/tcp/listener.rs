//! Where others connect to, for each address one; and what stands for it where nobody may.

use super::IceTcp;
use super::stream::{Standing, Stream};
use crate::framed;
use parking_lot::Mutex;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use webrtc::runtime::{AsyncTcpListener, AsyncTcpStream};

/// Streams that wait for the agent.
const WAITING: usize = 16;
/// Where the machine has no more descriptors, say: so long nobody is let in.
const PAUSE: Duration = Duration::from_millis(100);

/// One of them.
pub(crate) struct Listener {
    local: SocketAddr,
    arrived: Mutex<mpsc::Receiver<Arc<Stream>>>,
    /// Without it nobody listens.
    accepting: Option<JoinHandle<()>>,
    /// So that it does not end where nobody listens.
    _open: mpsc::Sender<Arc<Stream>>,
}

impl Listener {
    /// Lets others connect to `bound`, if passive candidates are offered: otherwise its port is given back.
    ///
    /// # Errors
    /// The machine's.
    pub(crate) fn new(shared: Arc<IceTcp>, bound: std::net::TcpListener) -> io::Result<Self> {
        let local = bound.local_addr()?;
        let (open, arrived) = mpsc::channel(WAITING);
        let accepting = if shared.listens() {
            let listener = TcpListener::from_std(bound)?;
            Some(tokio::spawn(accept(shared, listener, open.clone())))
        } else {
            None
        };
        Ok(Listener {
            local,
            arrived: Mutex::new(arrived),
            accepting,
            _open: open,
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listener").field(&self.local).finish()
    }
}

/// Hands over who asks what the agent understands.
async fn accept(shared: Arc<IceTcp>, listener: TcpListener, open: mpsc::Sender<Arc<Stream>>) {
    loop {
        let (stream, far) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "nobody can connect");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let room = shared.room();
        let Some(room) = room.ok().filter(|_| shared.listens()) else {
            shared.refuse();
            continue;
        };
        let Ok(local) = framed::hurry(&stream).and_then(|()| stream.local_addr()) else {
            continue;
        };
        let ends = (local, far);
        let stream = Stream::start(shared.clone(), stream, ends, Standing::Silent, room);
        let open = open.clone();
        tokio::spawn(async move {
            if stream.asks().await {
                // Too many wait already: it is closed.
                let _ = open.try_send(Arc::new(stream));
            }
        });
    }
}

type Accepted = io::Result<(Arc<dyn AsyncTcpStream>, SocketAddr)>;

impl AsyncTcpListener for Listener {
    fn accept<'a>(&'a self) -> Pin<Box<dyn Future<Output = Accepted> + Send + 'a>> {
        Box::pin(poll_fn(|cx| {
            // Never the end: a sender of ours is open.
            let Poll::Ready(Some(stream)) = self.arrived.lock().poll_recv(cx) else {
                return Poll::Pending;
            };
            let far = stream.peer_addr()?;
            let stream: Arc<dyn AsyncTcpStream> = stream;
            Poll::Ready(Ok((stream, far)))
        }))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }
}
