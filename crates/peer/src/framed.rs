//! What every stream of a connection has in common: datagrams that go through TCP, and are none of its patience.
//!
//! A datagram that would wait for too long is lost, as it would be on a full link, so that congestion control sees
//! what it knows: delay and loss.

use bytes::Bytes;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// Datagrams that wait to be written: a quarter of a second of 4 Mbit/s. What is above is lost, as it would be
/// on the network. What waits longer in a stream than that is no use to a call.
pub(crate) const OUTBOX: usize = 128;
/// Datagrams that wait to be read. Then the other end must wait.
pub(crate) const INBOX: usize = 64;
/// Written at once.
const BATCH: usize = 32;
/// What the kernel may take and not have sent: beyond, a datagram waits where it can still be lost.
#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 16 * 1024;

/// Has a stream send what it is given at once, and take no more than it can send soon.
///
/// # Errors
/// The kernel's.
pub(crate) fn hurry(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT)?;
    Ok(())
}

/// Writes what comes out of `outbox`, as `put` frames it, until nobody is left who puts something in.
///
/// # Errors
/// The stream's.
pub(crate) async fn write_all_of(
    outbox: &mut mpsc::Receiver<Bytes>,
    writer: &mut (impl AsyncWrite + Unpin),
    put: impl Fn(&mut Vec<u8>, &[u8]),
) -> io::Result<()> {
    let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), Vec::new());
    while outbox.recv_many(&mut batch, BATCH).await > 0 {
        bytes.clear();
        for datagram in batch.drain(..) {
            put(&mut bytes, &datagram);
        }
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
    Ok(())
}
