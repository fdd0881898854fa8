//! Questions to a name server and its own answers, see RFC 1035. Answers of others are passed on as they are.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Length of the header of a message.
const HEADER_BYTES: usize = 12;
/// Longest name, with the lengths of its labels.
const NAME_BYTES_MAX: usize = 255;
/// Longest label: greater numbers are references, which no question has.
const LABEL_BYTES_MAX: u8 = 63;
/// The class of the Internet.
const CLASS_INTERNET: u16 = 1;
/// Seconds for which others may remember an answer, as in Docker.
const TIME_TO_LIVE: u32 = 600;
/// A reference to the name of the question, which is behind the header.
const SAME_NAME: [u8; 2] = [0xc0, HEADER_BYTES as u8];
/// Most addresses in one answer: so many fit without the answer being cut.
const ADDRESSES_MAX: usize = 24;
/// The same of IPv6 addresses, which are longer.
const ADDRESSES6_MAX: usize = 8;
/// Digits of an IPv6 address.
const DIGITS6: usize = 32;

/// Flags of a header: an answer, as wanted with recursion, which there is.
const ANSWER: u8 = 0x80;
const RECURSION_WANTED: u8 = 0x01;
const OPCODE: u8 = 0x78;
const RECURSION_AVAILABLE: u8 = 0x80;

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Address,
    Address6,
    Name,
    Other,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Query<'a> {
    message: &'a [u8],
    /// Where the question ends.
    end: usize,
    /// In lower case, without a dot at the end.
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// How an answer that has no records is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The name is there, but nothing of this kind.
    NoData = 0,
    /// Nobody can be asked.
    Failure = 2,
}

impl<'a> Query<'a> {
    /// Reads a message with one question of the Internet. Everything else is somebody else's to answer.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let header = message.get(..HEADER_BYTES)?;
        let is_question =
            header[2] & (ANSWER | OPCODE) == 0 && header[4..6] == [0, 1] && header[6..8] == [0, 0];
        if !is_question {
            return None;
        }
        let (name, at) = name(message)?;
        let number = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
        if number(at + 2)? != CLASS_INTERNET {
            return None;
        }
        let kind = match number(at)? {
            1 => Kind::Address,
            28 => Kind::Address6,
            12 => Kind::Name,
            _ => Kind::Other,
        };
        Some(Self { message, end: at + 4, name, kind })
    }

    /// The address that a question for a name is about: `4.3.2.1.in-addr.arpa` is 1.2.3.4, and below `ip6.arpa` are the
    /// digits of an IPv6 address, the last one first.
    pub(super) fn reversed_address(&self) -> Option<IpAddr> {
        if self.kind != Kind::Name {
            return None;
        }
        if let Some(text) = self.name.strip_suffix(".ip6.arpa") {
            return reversed_ipv6(text).map(IpAddr::V6);
        }
        let address: Ipv4Addr = self.name.strip_suffix(".in-addr.arpa")?.parse().ok()?;
        let [a, b, c, d] = address.octets();
        Some(Ipv4Addr::new(d, c, b, a).into())
    }

    /// The answer with these addresses, which are all of the kind that was asked for.
    pub(super) fn addresses(&self, addresses: &[IpAddr]) -> Vec<u8> {
        let most = if self.kind == Kind::Address6 { ADDRESSES6_MAX } else { ADDRESSES_MAX };
        let addresses = &addresses[..addresses.len().min(most)];
        let mut answer = self.head(addresses.len() as u16, 0);
        for address in addresses {
            match address {
                IpAddr::V4(address) => record(&mut answer, 1, &address.octets()),
                IpAddr::V6(address) => record(&mut answer, 28, &address.octets()),
            }
        }
        answer
    }

    /// The answer with this name.
    pub(super) fn named(&self, name: &str) -> Vec<u8> {
        let mut encoded = Vec::new();
        for label in name.split('.').filter(|label| !label.is_empty()) {
            let label = &label.as_bytes()[..label.len().min(usize::from(LABEL_BYTES_MAX))];
            encoded.push(label.len() as u8);
            encoded.extend(label);
        }
        encoded.push(0);
        let mut answer = self.head(1, 0);
        record(&mut answer, 12, &encoded);
        answer
    }

    /// The answer without records.
    pub(super) fn nothing(&self, code: Code) -> Vec<u8> {
        self.head(0, code as u8)
    }

    fn head(&self, records: u16, code: u8) -> Vec<u8> {
        let mut answer = self.message[..self.end].to_vec();
        answer[2] = ANSWER | (self.message[2] & RECURSION_WANTED);
        answer[3] = RECURSION_AVAILABLE | code;
        answer[6..8].copy_from_slice(&records.to_be_bytes());
        // What stood behind the question, and was not copied.
        answer[8..12].fill(0);
        answer
    }
}

/// The address whose digits these are, the last one first, with dots between.
fn reversed_ipv6(text: &str) -> Option<Ipv6Addr> {
    let digits: Vec<&str> = text.split('.').collect();
    if digits.len() != DIGITS6 || digits.iter().any(|digit| digit.len() != 1) {
        return None;
    }
    let number: String = digits.into_iter().rev().collect();
    u128::from_str_radix(&number, 16).ok().map(Ipv6Addr::from)
}

/// The name of the question, and where its kind is.
fn name(message: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut name) = (HEADER_BYTES, String::new());
    loop {
        let length = *message.get(at)?;
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = message.get(at..at + usize::from(length))?;
        if length > LABEL_BYTES_MAX || at + label.len() > HEADER_BYTES + NAME_BYTES_MAX {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += label.len();
    }
}

fn record(answer: &mut Vec<u8>, kind: u16, value: &[u8]) {
    answer.extend(SAME_NAME);
    answer.extend(kind.to_be_bytes());
    answer.extend(CLASS_INTERNET.to_be_bytes());
    answer.extend(TIME_TO_LIVE.to_be_bytes());
    answer.extend((value.len() as u16).to_be_bytes());
    answer.extend(value);
}

/// Reads a question and answers it in every way, for a test with arbitrary bytes.
pub fn fuzz_query(message: &[u8]) {
    if let Some(query) = Query::parse(message) {
        let answers = [
            query.addresses(&[IpAddr::V4(Ipv4Addr::LOCALHOST); ADDRESSES_MAX + 1]),
            query.addresses(&[IpAddr::V6(Ipv6Addr::LOCALHOST); ADDRESSES_MAX + 1]),
            query.named(&query.name),
            query.nothing(Code::NoData),
        ];
        let _ = query.reversed_address();
        for answer in answers {
            assert_eq!(answer[..2], message[..2], "an answer is known by its number");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend(label.as_bytes());
        }
        message.extend([0, kind.to_be_bytes()[0], kind.to_be_bytes()[1], 0, 1]);
        message
    }

    #[test]
    fn questions_are_read() {
        let message = question("Web.Net", 1);
        let query = Query::parse(&message).unwrap();
        assert_eq!((query.name.as_str(), query.kind), ("web.net", Kind::Address));
        let message = question("4.3.2.1.in-addr.arpa", 12);
        assert_eq!(
            Query::parse(&message).unwrap().reversed_address(),
            Some(Ipv4Addr::new(1, 2, 3, 4).into())
        );
        let digits = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.a.0.d.f";
        let reversed = |name: &str| Query::parse(&question(name, 12)).unwrap().reversed_address();
        assert_eq!(reversed(&format!("{digits}.ip6.arpa")), Some("fd0a::1".parse().unwrap()));
        for wrong in ["1.ip6.arpa", &format!("{digits}.0.ip6.arpa"), &format!("g{}.ip6.arpa", &digits[1..])] {
            assert_eq!(reversed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn answers_have_the_question_and_records() {
        let mut message = question("a", 1);
        // With an additional record, as resolvers send it.
        message[11] = 1;
        message.extend([0, 0, 41, 4, 0, 0, 0, 0, 0, 0, 0]);
        let answer = Query::parse(&message).unwrap().addresses(&[Ipv4Addr::new(1, 2, 3, 4).into()]);
        let expected = [
            &[0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 1, b'a', 0, 0, 1, 0, 1][..],
            &[0xc0, 12, 0, 1, 0, 1, 0, 0, 2, 0x58, 0, 4, 1, 2, 3, 4],
        ];
        assert_eq!(answer, expected.concat());
        let message = question("a", 28);
        let answer = Query::parse(&message).unwrap().addresses(&[Ipv6Addr::LOCALHOST.into()]);
        let record = [&[0xc0, 12, 0, 28, 0, 1, 0, 0, 2, 0x58, 0, 16][..], &Ipv6Addr::LOCALHOST.octets()];
        assert!(answer.ends_with(&record.concat()), "{answer:?}");
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        let message = question("web", 1);
        for length in 0..message.len() {
            assert_eq!(Query::parse(&message[..length]), None, "{length}");
        }
        for (at, value) in [(2, 0x80), (5, 2), (12, 0xc0), (7, 1), (message.len() - 1, 3)] {
            let mut message = message.clone();
            message[at] = value;
            assert_eq!(Query::parse(&message), None, "{at}");
        }
    }
}
