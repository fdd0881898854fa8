//! `buildctl dial-stdio`: how clients reach a daemon that is in a container, or behind a login.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use daemon::client::DaemonPlace;

use super::{Flags, Place, WAIT_PAUSE};
use crate::report::{Exit, Report};

/// Bytes that are passed on at once.
const COPY_BYTES: usize = 64 << 10;

/// Passes on everything both ways, until the daemon has no more to say.
pub(super) fn run(place: &Place, words: &[String]) -> Result<Exit, Report> {
    Flags::of(words, &[])?;
    let failed = |error: io::Error| {
        Report::unavailable(&daemon::client::ClientError::Connect {
            place: place.daemon.clone(),
            source: error,
        })
    };
    match &place.daemon {
        DaemonPlace::Unix(path) => {
            let connection = until(place, || UnixStream::connect(path)).map_err(failed)?;
            let sending = connection.try_clone().map_err(failed)?;
            pass_on(connection, sending, |sending| sending.shutdown(Shutdown::Write))
        }
        DaemonPlace::Tcp(address) => {
            let connection = until(place, || dial(address, place.patience)).map_err(failed)?;
            let sending = connection.try_clone().map_err(failed)?;
            pass_on(connection, sending, |sending| sending.shutdown(Shutdown::Write))
        }
    }
}

/// Connects, again and again where somebody waits for the daemon.
fn until<T>(place: &Place, connect: impl Fn() -> io::Result<T>) -> io::Result<T> {
    let end = place.patience.map(|patience| Instant::now() + patience);
    loop {
        match connect() {
            Err(_) if place.waits && end.is_none_or(|end| Instant::now() < end) => thread::sleep(WAIT_PAUSE),
            connected => return connected,
        }
    }
}

fn dial(address: &str, patience: Option<Duration>) -> io::Result<TcpStream> {
    let Some(patience) = patience else { return TcpStream::connect(address) };
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn pass_on<T: Read + Write + Send + 'static>(
    receiving: T,
    mut sending: T,
    shut: fn(&T) -> io::Result<()>,
) -> Result<Exit, Report> {
    // It waits for a reader of ours, and ends with this process.
    thread::spawn(move || {
        // Who does not listen any more says so by ending.
        let _ = copy(io::stdin().lock(), &mut sending).and_then(|()| shut(&sending));
    });
    match copy(receiving, &mut io::stdout().lock()) {
        Ok(()) => Ok(Exit::Success),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::BrokenPipe),
        Err(error) => Err(Report::new(Exit::Network, format!("the connection broke: {error}"))),
    }
}

/// Nothing is kept back: somebody waits for each piece.
fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).and_then(|()| to.flush())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
