//! Packets between a connection and a thread that may block. They travel together where several are there: to wake a thread
//! costs more than a packet.

use std::io;

use futures_util::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc::{Receiver, Sender};
use tonic::{Status, Streaming};

use super::output::receiving;
use crate::proto::Packet;

/// Packets that travel together.
pub(crate) type Packets = Vec<Packet>;

/// How many.
const TOGETHER_MAX: usize = 64;
/// Their content, in bytes: what is sent waits no longer than that.
const TOGETHER_BYTES_MAX: usize = 128 << 10;
/// How many such groups wait for a disk that is slower than the line, or the other way round.
pub(crate) const WAITING_MAX: usize = 4;

/// Passes on what arrives until there is no more, or nobody listens.
pub(crate) async fn pass_on(arriving: &mut Streaming<Packet>, bring: Sender<Packets>) -> Result<(), Status> {
    let mut arriving = arriving.ready_chunks(TOGETHER_MAX);
    while let Some(arrived) = arriving.next().await {
        let mut packets = Packets::with_capacity(arrived.len());
        let mut ended = Ok(());
        for packet in arrived {
            match packet {
                Ok(packet) => packets.push(packet),
                Err(status) => ended = Err(status),
            }
        }
        if !packets.is_empty() && bring.send(packets).await.is_err() {
            return Ok(());
        }
        ended?;
    }
    Ok(())
}

/// What leaves, one by one.
pub(crate) fn leaving(sent: Receiver<Packets>) -> impl Stream<Item = Packet> + Send + 'static {
    receiving(sent).flat_map(stream::iter)
}

/// Sends from a thread that may block.
pub(crate) struct Sending<'a> {
    to: &'a Sender<Packets>,
    together: Packets,
    bytes: usize,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(to: &'a Sender<Packets>) -> Self {
        Self { to, together: Packets::new(), bytes: 0 }
    }

    /// Sends a packet, at the latest with the next [`Sending::flush`].
    pub(crate) fn send(&mut self, packet: Packet) -> io::Result<()> {
        self.bytes += packet.data.len();
        self.together.push(packet);
        match self.together.len() >= TOGETHER_MAX || self.bytes >= TOGETHER_BYTES_MAX {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// Sends what waits: to be done before one waits for an answer.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.together.is_empty() {
            return Ok(());
        }
        self.bytes = 0;
        let packets = std::mem::take(&mut self.together);
        self.to.blocking_send(packets).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
