//! Questions in a stream: what did not fit a datagram.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::names::{Code, Query};

/// Time in which another name server must answer.
const RESOLVER_PATIENCE: Duration = Duration::from_secs(4);
/// Time for a conversation as a whole, however slow the words come: three name servers, one after the other.
const PATIENCE: Duration = Duration::from_secs(12);
/// The port of name servers.
const DOMAIN: u16 = 53;

/// Answers one question.
pub(super) fn answer(
    stream: &TcpStream,
    resolvers: &[IpAddr],
    own: impl Fn(&Query<'_>) -> Option<Vec<u8>>,
) -> io::Result<()> {
    answer_until(stream, Instant::now() + PATIENCE, resolvers, own)
}

fn answer_until(
    stream: &TcpStream,
    deadline: Instant,
    resolvers: &[IpAddr],
    own: impl Fn(&Query<'_>) -> Option<Vec<u8>>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    let mut asker = Bounded { stream, deadline };
    let message = read(&mut asker)?;
    let query = Query::parse(&message);
    if let Some(answer) = query.as_ref().and_then(own) {
        return write(&mut asker, &answer);
    }
    for resolver in resolvers {
        if let Ok(answer) = ask(*resolver, &message, deadline) {
            return write(&mut asker, &answer);
        }
    }
    match query {
        Some(query) => write(&mut asker, &query.nothing(Code::Failure)),
        None => Ok(()),
    }
}

fn ask(resolver: IpAddr, message: &[u8], deadline: Instant) -> io::Result<Vec<u8>> {
    let deadline = deadline.min(Instant::now() + RESOLVER_PATIENCE);
    let stream = TcpStream::connect_timeout(&SocketAddr::new(resolver, DOMAIN), left(deadline)?)?;
    let mut resolver = Bounded { stream: &stream, deadline };
    write(&mut resolver, message)?;
    read(&mut resolver)
}

/// A connection that is over at an instant, whatever comes until then.
struct Bounded<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Bounded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(left(self.deadline)?))?;
        self.stream.read(buffer)
    }
}

impl Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(left(self.deadline)?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// The time until then, which is never none: that would be no limit.
fn left(deadline: Instant) -> io::Result<Duration> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
        left => Ok(left),
    }
}

/// A message behind its length.
fn read(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn write(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes()[..], message].concat())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_speaks_slowly_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut asker = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let slow = std::thread::spawn(move || {
            // A message of 65535 bytes, as long as somebody reads it.
            let mut asked = asker.write_all(&[0xff, 0xff]);
            while asked.is_ok() {
                std::thread::sleep(Duration::from_millis(5));
                asked = asker.write_all(&[0]);
            }
        });
        let deadline = Instant::now() + Duration::from_millis(100);
        let error = answer_until(&stream, deadline, &[], |_| None).unwrap_err();
        assert!(matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{error}");
        drop(stream);
        slow.join().unwrap();
    }
}
