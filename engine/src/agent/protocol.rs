//! The messages between a program and an agent, as far as we must understand them: draft-miller-ssh-agent.

use std::io::{self, ErrorKind, Read, Write};

/// Largest message; OpenSSH has the same limit.
const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// The first byte of a message says what it is.
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: u8 = 5;

/// What an agent says when it does not do something.
pub(super) const REFUSAL: [u8; 1] = [FAILURE];

/// Whether a step may ask for it: to list keys and to sign with them. It may not change the agent, and extensions are
/// whatever an agent makes of them.
pub(super) fn is_allowed(request: &[u8]) -> bool {
    matches!(request.first(), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)))
}

/// Reads a message without its length; none at the end of the stream.
pub(super) fn read(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length == 0 || length > MESSAGE_BYTES_MAX {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message)?;
    Ok(Some(message))
}

/// Writes a message with its length.
pub(super) fn write(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(|_| ErrorKind::InvalidData)?;
    // In one piece: some agents read once.
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back() {
        let mut stream = Vec::new();
        write(&mut stream, &[REQUEST_IDENTITIES]).unwrap();
        assert_eq!(stream, [0, 0, 0, 1, 11]);
        assert_eq!(read(&mut stream.as_slice()).unwrap(), Some(vec![REQUEST_IDENTITIES]));
        assert_eq!(read(&mut [].as_slice()).unwrap(), None);
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        for length in [0, 1 << 19, u32::MAX] {
            assert_eq!(
                read(&mut length.to_be_bytes().as_slice()).unwrap_err().kind(),
                ErrorKind::InvalidData
            );
        }
    }

    #[test]
    fn an_agent_cannot_be_changed_by_a_step() {
        let allowed: Vec<u8> = (0..=u8::MAX).filter(|number| is_allowed(&[*number])).collect();
        assert_eq!(allowed, [REQUEST_IDENTITIES, SIGN_REQUEST]);
    }
}
