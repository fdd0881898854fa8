//! Messages to the kernel's netlink families and their answers, see netlink(7).

use std::cell::Cell;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Largest answer: the kernel fills datagrams of a dump up to 32 KiB.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Length of `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;

/// Names, values and nested attributes are padded to this.
const ALIGNMENT: usize = 4;

/// Says that the value of an attribute is attributes.
const NESTED: u16 = libc::NLA_F_NESTED as u16;

/// A list of attributes, each a kind and a value.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attributes(Vec<u8>);

impl Attributes {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A list that follows a structure inside of an attribute.
    pub(crate) fn after(header: Vec<u8>) -> Self {
        Self(header)
    }

    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).expect("no attribute of ours is longer than 64 KiB");
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGNMENT), 0);
        self
    }

    pub(crate) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    /// A number as the families of netfilter write it.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn nested(self, kind: u16, inner: &Self) -> Self {
        self.bytes(kind | NESTED, &inner.0)
    }
}

/// The attributes in an answer: kind without flags, and value.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(bytes.get(2..4)?.try_into().ok()?);
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some((kind & !(NESTED | libc::NLA_F_NET_BYTEORDER as u16), value))
    })
}

/// The value of the first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A number in host byte order.
pub(crate) fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

/// A text without its final NUL.
pub(crate) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value.strip_suffix(b"\0").unwrap_or(value)).into_owned()
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) kind: u16,
    /// `NLM_F_*`, without `REQUEST`.
    pub(crate) flags: i32,
    /// The structure of the family, for instance a `struct ifinfomsg`.
    pub(crate) header: Vec<u8>,
    pub(crate) attributes: Attributes,
}

impl Message {
    fn encode(&self, sequence: u32) -> Vec<u8> {
        let length = HEADER_BYTES + self.header.len().next_multiple_of(ALIGNMENT) + self.attributes.0.len();
        let mut bytes = Vec::with_capacity(length);
        bytes.extend((length as u32).to_ne_bytes());
        bytes.extend(self.kind.to_ne_bytes());
        bytes.extend(((self.flags | libc::NLM_F_REQUEST) as u16).to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(&self.header);
        bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
        bytes.extend(&self.attributes.0);
        bytes
    }
}

/// An answer: its kind, its sequence number and what follows the header.
struct Answer<'a> {
    kind: u16,
    sequence: u32,
    body: &'a [u8],
}

/// A socket of one family, in the network namespace in which it was opened, whoever holds it later.
#[derive(Debug)]
pub(crate) struct Netlink {
    pub(crate) socket: OwnedFd,
    sequence: Cell<u32>,
}

/// `NETLINK_ROUTE`, whose number is 0.
pub(crate) const ROUTE: Option<Protocol> = None;

impl Netlink {
    pub(crate) fn open(family: Option<Protocol>) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, family)?;
        Ok(Self::from(socket))
    }

    /// Sends all messages at once; the kernel handles them in order. The first error is the result.
    pub(crate) fn request(&self, messages: &[Message]) -> Result<(), Errno> {
        let first = self.send(messages)?;
        let mut waiting = messages.iter().filter(|message| message.flags & libc::NLM_F_ACK != 0).count();
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        while waiting > 0 {
            let length = self.receive(&mut buffer)?;
            for answer in answers(&buffer[..length]) {
                // Older ones belong to a request that has failed already.
                if i32::from(answer.kind) == libc::NLMSG_ERROR
                    && answer.sequence.wrapping_sub(first) < u32::MAX / 2
                {
                    error_of(answer.body)?;
                    waiting = waiting.saturating_sub(1);
                }
            }
        }
        Ok(())
    }

    /// Everything that the kernel lists, as what follows the header of each answer.
    pub(crate) fn dump(&self, message: &Message) -> Result<Vec<Vec<u8>>, Errno> {
        let message = Message { flags: message.flags | libc::NLM_F_DUMP, ..message.clone() };
        let first = self.send(std::slice::from_ref(&message))?;
        let (mut list, mut buffer) = (Vec::new(), vec![0; ANSWER_BYTES_MAX]);
        loop {
            let length = self.receive(&mut buffer)?;
            for answer in answers(&buffer[..length]).filter(|answer| answer.sequence == first) {
                match i32::from(answer.kind) {
                    libc::NLMSG_DONE => return Ok(list),
                    libc::NLMSG_ERROR => {
                        error_of(answer.body)?;
                        return Ok(list);
                    }
                    _ => list.push(answer.body.to_vec()),
                }
            }
        }
    }

    /// Returns the sequence number of the first message.
    fn send(&self, messages: &[Message]) -> Result<u32, Errno> {
        let first = self.sequence.get();
        let mut bytes = Vec::new();
        for message in messages {
            bytes.extend(message.encode(self.sequence.get()));
            self.sequence.set(self.sequence.get().wrapping_add(1));
        }
        rustix::net::send(&self.socket, &bytes, SendFlags::empty())?;
        Ok(first)
    }

    /// The kernel answers before a request returns, so that there is nothing to wait for.
    fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let flags = RecvFlags::DONTWAIT;
        rustix::io::retry_on_intr(|| rustix::net::recv(&self.socket, &mut *buffer, flags))
            .map(|(length, _)| length)
    }
}

impl From<OwnedFd> for Netlink {
    fn from(socket: OwnedFd) -> Self {
        Self { socket, sequence: Cell::new(1) }
    }
}

fn answers(mut bytes: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    std::iter::from_fn(move || {
        let word = |at: usize| bytes.get(at..at + 4).and_then(number);
        let length = usize::try_from(word(0)?).ok()?;
        let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
        let answer = Answer { kind, sequence: word(8)?, body: bytes.get(HEADER_BYTES..length)? };
        bytes = bytes.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(answer)
    })
}

/// The error in a `struct nlmsgerr`; 0 is none.
fn error_of(body: &[u8]) -> Result<(), Errno> {
    let code = body.get(..4).and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(Errno::from_raw_os_error(-code)),
        None => Err(Errno::BADMSG),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found_again() {
        let list = Attributes::new().text(3, "eth0").nested(18, &Attributes::new().u32(1, 7)).bytes(5, &[9]);
        assert_eq!(list.0.len() % ALIGNMENT, 0);
        assert_eq!(attribute(&list.0, 3).map(text), Some(String::from("eth0")));
        let inner = attribute(&list.0, 18).and_then(|inner| attribute(inner, 1)).and_then(number);
        assert_eq!(inner, Some(7));
        assert_eq!(attribute(&list.0, 5), Some(&[9][..]));
        assert_eq!(attribute(&list.0, 6), None);
    }

    #[test]
    fn damaged_answers_end_the_list() {
        assert_eq!(attributes(&[200, 0, 1, 0, 5]).count(), 0);
        assert_eq!(attributes(&[2, 0, 1, 0]).count(), 0);
        assert_eq!(answers(&[0; 7]).count(), 0);
        assert_eq!(answers(&[0; 16]).count(), 0);
    }
}
