//! The process of published ports: our own binary, executed anew.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::CloneFlags;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ports::{Part, Protocol, own_address};
use super::{NetworkError, OrNetwork};
use crate::sys;
use crate::wire::{receive, send};

/// Connections at the same time. Whoever comes later is turned away.
const CONNECTIONS_MAX: usize = 4096;
/// Time in which the container must take a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// A sender of datagrams that was quiet for so long is forgotten, as in Docker.
const QUIET_MAX: Duration = Duration::from_secs(90);
/// Senders of datagrams at the same time; the one that was quiet for longest goes.
const SENDERS_MAX: usize = 1024;
/// Bytes that are passed on at once, and the largest datagram.
const BUFFER_BYTES: usize = 64 << 10;
/// What a thread needs that only passes bytes on.
const STACK_BYTES: usize = 128 << 10;
/// Time after which a listener that could not accept is asked again.
const PAUSE: Duration = Duration::from_millis(20);
/// Exit status when there is nobody to report to.
const EXIT_ORPHANED: i32 = 125;

/// Runs as a child process of the engine; descriptor 0 is the control socket. Never returns.
pub(crate) fn run() -> ! {
    let code = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => match begin(&control) {
            Ok(listeners) => send(&control, &Ok::<(), NetworkError>(()), &[])
                .map_or(EXIT_ORPHANED, |()| serve(&control, &listeners)),
            Err(error) => send(&control, &Err::<(), NetworkError>(error), &[]).map_or(EXIT_ORPHANED, |()| 0),
        },
        Err(_) => EXIT_ORPHANED,
    };
    std::process::exit(code)
}

struct Listener {
    socket: TcpListener,
    port: u16,
}

/// Receives the ports, and enters the namespace.
fn begin(control: &OwnedFd) -> Result<Vec<Listener>, NetworkError> {
    sys::reset_signals().or_network(|| String::from("rt_sigaction(SIG_DFL)"))?;
    // A connection that is gone is an error of write(2), and not the end.
    sys::ignore_broken_pipes().or_network(|| String::from("rt_sigaction(SIGPIPE)"))?;
    std::env::set_current_dir("/").or_network(|| String::from("chdir(\"/\")"))?;
    let lost = || NetworkError::Keeper { problem: String::from("received no ports") };
    let (mut listeners, mut datagrams) = (Vec::new(), Vec::new());
    let namespace = loop {
        let (part, mut fds) =
            receive::<Part>(control).or_network(|| String::from("recvmsg(control)"))?.ok_or_else(lost)?;
        if part.is_last {
            break fds.pop().ok_or_else(lost)?;
        }
        for ((protocol, port), socket) in part.ports.into_iter().zip(fds) {
            match protocol {
                Protocol::Tcp => listeners.push(Listener { socket: socket.into(), port }),
                Protocol::Udp => datagrams.push((UdpSocket::from(socket), port)),
            }
        }
    };
    nix::sched::setns(&namespace, CloneFlags::CLONE_NEWNET)
        .or_network(|| String::from("setns(CLONE_NEWNET)"))?;
    for (socket, port) in datagrams {
        start(move || pass_datagrams(&socket, port)).or_network(|| String::from("clone3(CLONE_THREAD)"))?;
    }
    Ok(listeners)
}

fn start(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).map(drop)
}

/// Accepts until the engine lets go.
fn serve(control: &OwnedFd, listeners: &[Listener]) -> i32 {
    let connections = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = vec![PollFd::new(control, PollFlags::RDHUP)];
        fds.extend(listeners.iter().map(|listener| PollFd::new(&listener.socket, PollFlags::IN)));
        if rustix::io::retry_on_intr(|| poll(&mut fds, None)).is_err() || !fds[0].revents().is_empty() {
            return 0;
        }
        let ready: Vec<bool> = fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect();
        for (listener, _) in listeners.iter().zip(ready).filter(|(_, is_ready)| *is_ready) {
            match listener.socket.accept() {
                Ok((client, _)) => take(client, listener.port, &connections),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // No descriptors, or no memory: somebody may give some back.
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
}

fn take(client: TcpStream, port: u16, connections: &Arc<AtomicUsize>) {
    if connections.fetch_add(1, Ordering::Relaxed) >= CONNECTIONS_MAX {
        connections.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let count = connections.clone();
    let started = start(move || {
        // What goes wrong with a connection ends it, which both sides see.
        let _ = connect(client, port);
        count.fetch_sub(1, Ordering::Relaxed);
    });
    if started.is_err() {
        connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn connect(client: TcpStream, port: u16) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&SocketAddr::new(own_address(), port), CONNECT_PATIENCE)?;
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
    }
    let (from_server, to_client) = (server.try_clone()?, client.try_clone()?);
    let is_reset = Arc::new(AtomicBool::new(false));
    let other_way = is_reset.clone();
    start(move || pass_stream(from_server, to_client, &other_way))?;
    pass_stream(client, server, &is_reset);
    Ok(())
}

/// Passes bytes on until one side has no more, and says so to the other: an end is passed on as an end, and a
/// reset (TCP's RST) as a reset, since whoever takes one for the other believes half an answer to be whole.
fn pass_stream(mut from: TcpStream, mut to: TcpStream, is_reset: &AtomicBool) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) if to.write_all(&buffer[..count]).is_ok() => {}
            Ok(_) => {
                // What the receiver said before it went is passed on by the other direction, which then sees
                // an end: the kernel tells of a reset only once.
                is_reset.store(true, Ordering::Release);
                let _ = from.shutdown(Shutdown::Read);
                return;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => {
                is_reset.store(true, Ordering::Release);
                break;
            }
        }
    }
    if !is_reset.load(Ordering::Acquire) {
        let _ = to.shutdown(Shutdown::Write);
        return;
    }
    // The last close(2) resets it then (socket(7), SO_LINGER); the other direction wakes up without an end.
    let _ = rustix::net::sockopt::set_socket_linger(&to, Some(Duration::ZERO));
    let _ = to.shutdown(Shutdown::Read);
}

/// A sender outside, and the socket from which the container hears it.
struct Sender {
    socket: UdpSocket,
    last: Instant,
}

/// Passes datagrams on, each sender's from a socket of its own, so that answers find their way.
fn pass_datagrams(outside: &UdpSocket, port: u16) {
    let mut senders: HashMap<SocketAddr, Sender> = HashMap::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let ready = wait_for_datagrams(outside, &senders);
        for address in ready {
            let Some(sender) = senders.get_mut(&address) else { continue };
            while let Ok(count) = sender.socket.recv(&mut buffer) {
                sender.last = Instant::now();
                let _ = outside.send_to(&buffer[..count], address);
            }
        }
        while let Ok((count, address)) = outside.recv_from(&mut buffer) {
            let Some(sender) = sender(&mut senders, address, port) else { continue };
            sender.last = Instant::now();
            let _ = sender.socket.send(&buffer[..count]);
        }
        senders.retain(|_, sender| sender.last.elapsed() < QUIET_MAX);
    }
}

/// Waits for anything to arrive; whose answers have.
fn wait_for_datagrams(outside: &UdpSocket, senders: &HashMap<SocketAddr, Sender>) -> Vec<SocketAddr> {
    let mut fds = vec![PollFd::new(outside, PollFlags::IN)];
    fds.extend(senders.values().map(|sender| PollFd::new(&sender.socket, PollFlags::IN)));
    let patience =
        (!senders.is_empty()).then_some(Timespec { tv_sec: QUIET_MAX.as_secs() as i64, tv_nsec: 0 });
    if poll(&mut fds, patience.as_ref()).is_err() {
        return Vec::new();
    }
    let ready = senders.keys().zip(&fds[1..]).filter(|(_, fd)| !fd.revents().is_empty());
    ready.map(|(address, _)| *address).collect()
}

fn sender(senders: &mut HashMap<SocketAddr, Sender>, address: SocketAddr, port: u16) -> Option<&mut Sender> {
    if !senders.contains_key(&address) {
        if senders.len() >= SENDERS_MAX
            && let Some(oldest) = senders.iter().min_by_key(|(_, sender)| sender.last).map(|(key, _)| *key)
        {
            senders.remove(&oldest);
        }
        let own = own_address();
        let socket = UdpSocket::bind((own, 0)).ok()?;
        socket.connect((own, port)).ok()?;
        socket.set_nonblocking(true).ok()?;
        senders.insert(address, Sender { socket, last: Instant::now() });
    }
    senders.get_mut(&address)
}
