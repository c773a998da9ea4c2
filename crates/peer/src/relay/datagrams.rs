//! A second socket to a TURN server that is reached over UDP: an allocation belongs to one pair of addresses,
//! and the agent's own has one already.
//!
//! It carries datagrams as they are. That the server is silent means nothing; only where nothing ever came does
//! an error of the machine's end it.

use super::stream::{Dial, Ended};
use bytes::Bytes;
use std::future::poll_fn;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use webrtc::runtime::{AsyncUdpSocket, RecvMeta};

/// Makes the machine's socket one of the connection's.
pub(crate) type Opener =
    Arc<dyn Fn(UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> + Send + Sync>;

/// What the kernel may have joined.
const RECEIVED_AT_ONCE: usize = 0xFFFF;

/// Carries datagrams both ways until nobody wants it.
pub(super) async fn carry(dial: &Dial, outbox: mpsc::Receiver<Bytes>) -> Ended {
    match carry_on(dial, outbox).await {
        Ok(()) => Ended::Unwanted,
        Err(error) => Ended::without_way(dial.from, error),
    }
}

async fn carry_on(dial: &Dial, mut outbox: mpsc::Receiver<Bytes>) -> io::Result<()> {
    let to = dial.lookup().await?.next();
    let to = to.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = UdpSocket::bind(SocketAddr::new(dial.from, 0))?;
    socket.set_nonblocking(true)?;
    let socket = (dial.open)(socket)?;
    let answered = AtomicBool::new(false);
    let writing = async {
        while let Some(datagram) = outbox.recv().await {
            let sent = socket.send_to(&datagram, to).await;
            // Later it is lost, as it would be on the network: most outages end by themselves.
            if let Err(error) = sent
                && !answered.load(Ordering::Relaxed)
            {
                return Err(error);
            }
        }
        Ok(())
    };
    let reading = async {
        let mut buffer = vec![0; RECEIVED_AT_ONCE];
        loop {
            let mut meta = [RecvMeta::default()];
            let received = poll_fn(|cx| {
                let mut buffers = [IoSliceMut::new(&mut buffer)];
                socket.poll_recv(cx, &mut buffers, &mut meta)
            });
            let filled = received.await?;
            let from = meta[0].addr;
            if filled == 0 || (from.ip(), from.port()) != (to.ip(), to.port()) {
                continue;
            }
            answered.store(true, Ordering::Relaxed);
            let joined = buffer.get(..meta[0].len).unwrap_or_default();
            for datagram in joined.chunks(meta[0].stride.max(1)) {
                let arrived = (Bytes::copy_from_slice(datagram), dial.stand_in);
                if dial.inbox.send(arrived).await.is_err() {
                    // The socket is gone. What it said last is still being sent.
                    return std::future::pending::<io::Result<()>>().await;
                }
            }
        }
    };
    tokio::select! {
        written = writing => written,
        read = reading => read,
    }
}
