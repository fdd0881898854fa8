//! Questions in a stream: what did not fit a datagram.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::names::{Code, Query};

/// Time for each step of a conversation.
const PATIENCE: Duration = Duration::from_secs(4);
/// The port of name servers.
const DOMAIN: u16 = 53;

/// Answers one question.
pub(super) fn answer(
    mut stream: &TcpStream,
    resolvers: &[IpAddr],
    own: impl Fn(&Query<'_>) -> Option<Vec<u8>>,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let message = read(&mut stream)?;
    let query = Query::parse(&message);
    if let Some(answer) = query.as_ref().and_then(own) {
        return write(&mut stream, &answer);
    }
    for resolver in resolvers {
        if let Ok(answer) = ask(*resolver, &message) {
            return write(&mut stream, &answer);
        }
    }
    match query {
        Some(query) => write(&mut stream, &query.nothing(Code::Failure)),
        None => Ok(()),
    }
}

fn ask(resolver: IpAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(resolver, DOMAIN), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write(&mut stream, message)?;
    read(&mut stream)
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
