//! One connection to a monitor: what has arrived and is not whole, what is on its way and does not fit.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg};

use super::Source;
use crate::containers::wire::{self, HEADER_BYTES, Kind, Reply, Streams};

/// With more than this on its way a client is behind: what it reads from is not read on until it catches up.
const OUTBOX_BYTES_MAX: usize = 1 << 20;
/// Bytes that are received at once.
const RECEIVE_BYTES: usize = 64 << 10;

/// A client.
pub(super) struct Client {
    socket: OwnedFd,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    is_gone: bool,
    /// Whether it has asked for nothing, or has the last word on it.
    is_told: bool,
    /// The command with whose streams it is connected, or which it has started.
    pub(super) source: Option<Source>,
    pub(super) streams: Streams,
    /// Whether it wants to know when the command ends.
    pub(super) waits: bool,
}

impl Client {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&socket, true)?;
        Ok(Self {
            socket,
            inbox: Vec::new(),
            outbox: Vec::new(),
            is_gone: false,
            is_told: true,
            source: None,
            streams: Streams::default(),
            waits: false,
        })
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    pub(super) fn is_told(&self) -> bool {
        self.is_told
    }

    /// It has asked for something that will be answered later.
    pub(super) fn expects_more(&mut self) {
        self.is_told = false;
    }

    /// Whether something is on its way.
    pub(super) fn has_more(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn is_behind(&self) -> bool {
        self.outbox.len() > OUTBOX_BYTES_MAX
    }

    /// What to wait for. While the command does not take what was typed, nothing more of it is read.
    pub(super) fn interest(&self, accepts: bool) -> PollFlags {
        let input = if accepts { PollFlags::IN } else { PollFlags::empty() };
        if self.outbox.is_empty() { input } else { input | PollFlags::OUT }
    }

    /// Sends as much as fits, and keeps the rest.
    pub(super) fn send(&mut self, kind: Kind, content: &[u8]) {
        wire::put_frame(&mut self.outbox, kind, content);
        self.flush();
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        self.is_told = !matches!(reply, Reply::Started { .. });
        let bytes = wire::message(Kind::Reply, reply);
        self.outbox.extend(bytes);
        self.flush();
    }

    /// The same with a descriptor, for a client that has asked for nothing else.
    pub(super) fn reply_with(&mut self, reply: &Reply, descriptor: impl AsFd) {
        self.is_told = true;
        let bytes = wire::message(Kind::Reply, reply);
        let descriptors = [descriptor.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let has_room = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        match sendmsg(&self.socket, &[IoSlice::new(&bytes)], &mut ancillary, flags) {
            Ok(sent) if has_room && self.outbox.is_empty() => self.outbox.extend(&bytes[sent..]),
            // It reads nothing of what it has been told.
            _ => self.is_gone = true,
        }
    }

    /// Sends what is kept.
    pub(super) fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.outbox.len() {
            match send(&self.socket, &self.outbox[sent..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => sent += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.is_gone = true;
                    self.outbox.clear();
                    return;
                }
            }
        }
        self.outbox.drain(..sent);
    }

    /// Receives what has arrived: whole frames, in order.
    pub(super) fn receive(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let mut buffer = vec![0; RECEIVE_BYTES];
        match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => self.is_gone = true,
            Ok((count, _)) => self.inbox.extend_from_slice(&buffer[..count]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.is_gone = true,
        }
        self.frames()
    }

    fn frames(&mut self) -> Vec<(Kind, Vec<u8>)> {
        let mut frames = Vec::new();
        let mut taken = 0;
        loop {
            let rest = &self.inbox[taken..];
            match wire::header(rest) {
                Ok(Some((kind, length))) if rest.len() >= HEADER_BYTES + length => {
                    frames.push((kind, rest[HEADER_BYTES..HEADER_BYTES + length].to_vec()));
                    taken += HEADER_BYTES + length;
                }
                Ok(_) => break,
                Err(_) => {
                    // Whoever sends this is no client of ours.
                    self.is_gone = true;
                    break;
                }
            }
        }
        self.inbox.drain(..taken);
        frames
    }
}
