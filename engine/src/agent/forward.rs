//! Passes on what a step asks an agent, and what that answers.

use std::collections::BTreeMap;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::protocol::{self, REFUSAL};

/// Connections of one socket at the same time; more are closed at once. A parallel `git` has a few.
const CONNECTIONS_MAX: usize = 64;

/// How long to wait after a connection that could not be made.
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// The sockets of a step, each with somebody who answers. Everything ends when this is dropped, also an answer that an agent
/// has not given yet.
pub(crate) struct Forwarding {
    _doors: Vec<Door>,
}

/// One socket.
struct Door {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the threads of one socket know.
struct Shared {
    listener: UnixListener,
    agent: PathBuf,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// Both ends of each connection, to end it from outside.
    connections: BTreeMap<u64, [UnixStream; 2]>,
    count: u64,
    is_closed: bool,
}

impl Forwarding {
    /// Answers on each of the sockets for the agent in the same place.
    pub(crate) fn start(listeners: Vec<OwnedFd>, agents: &[PathBuf]) -> Self {
        let door = |(listener, agent): (OwnedFd, &PathBuf)| {
            let shared =
                Arc::new(Shared { listener: listener.into(), agent: agent.clone(), open: Mutex::default() });
            let thread = thread::spawn({
                let shared = shared.clone();
                move || accept(&shared)
            });
            Door { shared, thread: Some(thread) }
        };
        Self { _doors: listeners.into_iter().zip(agents).map(door).collect() }
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been told already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no holder of the lock panics")
    }

    fn close(&self) {
        let mut open = self.open();
        open.is_closed = true;
        // Wakes up whoever waits for them. Ends that are closed already need no waking.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for stream in open.connections.values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Remembers a connection, unless it is too late or there are too many.
    fn admit(&self, ends: [UnixStream; 2]) -> Option<u64> {
        let mut open = self.open();
        if open.is_closed || open.connections.len() >= CONNECTIONS_MAX {
            return None;
        }
        open.count += 1;
        let number = open.count;
        open.connections.insert(number, ends);
        Some(number)
    }
}

fn accept(shared: &Arc<Shared>) {
    thread::scope(|scope| {
        while !shared.open().is_closed {
            let connected = shared.listener.accept().and_then(|(client, _)| connect(&shared.agent, client));
            match connected {
                // In the order of the connections: the one too many is the last, and is closed here.
                Ok(Connection { client, agent, ends }) => {
                    if let Some(number) = shared.admit(ends) {
                        scope.spawn(move || serve(shared, number, client, agent));
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, agent = %shared.agent.display(), "cannot connect to an agent");
                    // When descriptors are short the next try fails as well.
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    });
}

/// A step and its agent.
struct Connection {
    client: UnixStream,
    agent: UnixStream,
    /// The same two, for [`Shared::close`].
    ends: [UnixStream; 2],
}

fn connect(agent: &Path, client: UnixStream) -> io::Result<Connection> {
    let agent = UnixStream::connect(agent)?;
    let ends = [client.try_clone()?, agent.try_clone()?];
    Ok(Connection { client, agent, ends })
}

fn serve(shared: &Shared, number: u64, client: UnixStream, agent: UnixStream) {
    if let Err(error) = relay(client, agent) {
        tracing::debug!(%error, "a connection to an agent ended early");
    }
    shared.open().connections.remove(&number);
}

/// Until one of them goes.
fn relay(mut client: UnixStream, mut agent: UnixStream) -> io::Result<()> {
    while let Some(request) = protocol::read(&mut client)? {
        if !protocol::is_allowed(&request) {
            protocol::write(&mut client, &REFUSAL)?;
            continue;
        }
        protocol::write(&mut agent, &request)?;
        let Some(answer) = protocol::read(&mut agent)? else { break };
        protocol::write(&mut client, &answer)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket of ours, and an agent that answers nothing.
    fn start() -> (tempfile::TempDir, UnixListener, Forwarding, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let [agent, door] = ["agent", "door"].map(|name| dir.path().join(name));
        let silent = UnixListener::bind(&agent).unwrap();
        let listener = UnixListener::bind(&door).unwrap();
        let forwarding = Forwarding::start(vec![listener.into()], &[agent]);
        (dir, silent, forwarding, door)
    }

    #[test]
    fn what_is_not_allowed_never_reaches_the_agent() {
        let (_dir, agent, _forwarding, door) = start();
        let mut client = UnixStream::connect(&door).unwrap();
        let (mut agent, _) = agent.accept().unwrap();
        for request in [[19], [17], [22], [27]] {
            protocol::write(&mut client, &request).unwrap();
            assert_eq!(protocol::read(&mut client).unwrap(), Some(REFUSAL.to_vec()));
        }
        protocol::write(&mut client, &[11]).unwrap();
        assert_eq!(protocol::read(&mut agent).unwrap(), Some(vec![11]));
        protocol::write(&mut agent, &[12, 0, 0, 0, 0]).unwrap();
        assert_eq!(protocol::read(&mut client).unwrap(), Some(vec![12, 0, 0, 0, 0]));
    }

    #[test]
    fn an_agent_that_never_answers_holds_nobody_up() {
        let (_dir, agent, forwarding, door) = start();
        let mut client = UnixStream::connect(&door).unwrap();
        protocol::write(&mut client, &[11]).unwrap();
        let (mut asked, _) = agent.accept().unwrap();
        assert_eq!(protocol::read(&mut asked).unwrap(), Some(vec![11]));
        drop(forwarding);
        assert_eq!(protocol::read(&mut client).unwrap(), None);
        assert!(UnixStream::connect(&door).is_err());
    }

    #[test]
    fn connections_have_a_limit() {
        let (_dir, agent, _forwarding, door) = start();
        let clients: Vec<_> = (0..=CONNECTIONS_MAX).map(|_| UnixStream::connect(&door).unwrap()).collect();
        let mut last = clients.last().unwrap();
        assert_eq!(protocol::read(&mut last).unwrap(), None);
        drop(agent);
    }
}
