//! The process that makes network namespaces and connects them: our own binary, executed anew.
//!
//! It ends when the engine does, on its own time: taking rules away lasts longer than a short build.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use super::links::{self, LOOPBACK, up};
use super::netlink::{Netlink, ROUTE};
use super::usermode::{Tool, UserMode};
use super::veth::{INSIDE, Veth};
use super::{NetworkError, OrNetwork, Outlet, PrivateNetwork};
use crate::seccomp;
use crate::sys::{self, Fork};
use crate::wire::{receive, send};

/// Exit status when there is nobody to report to.
const EXIT_ORPHANED: i32 = 125;

/// What the keeper tells the engine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// There is a network, and the first namespace will follow.
    Ready(PrivateNetwork),
    /// A namespace. Carries it, the gate, a socket for questions about it, and the lifeline if it needs one.
    Namespace,
    /// There is no network, or no further namespace.
    Failed(NetworkError),
}

/// What the engine wants. The first request is there when the keeper starts.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Request {
    /// A namespace that is connected.
    Namespace,
    /// That the one it carries is connected, see [`super::unconnected`].
    Connect {
        /// See [`Namespace::pair`].
        pair: Option<u32>,
    },
}

/// A network namespace that is not connected. Its loopback interface is up.
pub(crate) struct Namespace {
    pub(crate) descriptor: OwnedFd,
    /// Sockets in it.
    pub(crate) netlink: Netlink,
    pub(crate) diagnosis: OwnedFd,
    /// The number of the pair of interfaces that has one end in it already, and the other on the host.
    pub(crate) pair: Option<u32>,
}

/// How namespaces are connected.
pub(crate) enum Way {
    Veth(Veth),
    UserMode(UserMode),
}

/// Runs as a child process of the engine; descriptor 0 is the control socket. Never returns.
pub(crate) fn run() -> ! {
    let code = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => match keep(&control) {
            Ok(()) => 0,
            // An engine that is gone does not want to know.
            Err(error) => send(&control, &News::Failed(error), &[]).map_or(EXIT_ORPHANED, |()| 0),
        },
        Err(_) => EXIT_ORPHANED,
    };
    std::process::exit(code)
}

fn keep(control: &OwnedFd) -> Result<(), NetworkError> {
    sys::reset_signals().or_network(|| String::from("rt_sigaction(SIG_DFL)"))?;
    std::env::set_current_dir("/").or_network(|| String::from("chdir(\"/\")"))?;
    // A new one comes about while we look around.
    let Some(mut wanted) = next(control)? else { return Ok(()) };
    let (mut way, mut network) = open()?;
    // Whoever hands a namespace over knows.
    network.on_demand = matches!(wanted, Wanted::Given(..)) || can_ask();
    let told = |result: io::Result<()>| result.or_network(|| String::from("sendmsg(control)"));
    told(send(control, &News::Ready(network), &[]))?;
    loop {
        connect(&mut way, &wanted.wait()?, control)?;
        reap();
        match next(control)? {
            Some(next) => wanted = next,
            None => return Ok(()),
        }
    }
}

/// Whether a process can be asked about its calls: an outer sandbox may do so already, and only one can.
fn can_ask() -> bool {
    let ask = || {
        let call = || String::from("prctl(PR_SET_NO_NEW_PRIVS)");
        rustix::thread::set_no_new_privs(true).or_network(call)?;
        let listener = sys::install_listening_filter(&seccomp::socket_filter());
        listener.map(|_| Vec::new()).or_network(|| String::from("seccomp(NEW_LISTENER)"))
    };
    in_child(0, ask).and_then(InChild::wait).is_ok()
}

/// What has to be connected.
enum Wanted {
    New(InChild),
    Given(Vec<OwnedFd>, Option<u32>),
}

/// The next request; none of an engine that is gone.
fn next(control: &OwnedFd) -> Result<Option<Wanted>, NetworkError> {
    let request = receive(control).or_network(|| String::from("recvmsg(control)"))?;
    request
        .map(|(request, fds)| match request {
            // In a child process: without privileges over the host's network nobody comes back from a namespace.
            Request::Namespace => in_child(libc::CLONE_NEWNET as u64, open_own_namespace).map(Wanted::New),
            Request::Connect { pair } => Ok(Wanted::Given(fds, pair)),
        })
        .transpose()
}

impl Wanted {
    fn wait(self) -> Result<Namespace, NetworkError> {
        let (fds, pair) = match self {
            Self::New(child) => (child.wait()?, None),
            Self::Given(fds, pair) => (fds, pair),
        };
        let lost = || NetworkError::Keeper { problem: String::from("received no namespace") };
        Namespace::new(fds, pair).ok_or_else(lost)
    }
}

impl Namespace {
    /// From what [`open_own_namespace`] opens.
    pub(super) fn new(fds: Vec<OwnedFd>, pair: Option<u32>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (descriptor, netlink, diagnosis) = (fds.next()?, fds.next()?, fds.next()?);
        Some(Self { descriptor, netlink: Netlink::from(netlink), diagnosis, pair })
    }

    /// Removes what stands for the interface that it is about to get.
    pub(super) fn clear(&self) -> Result<(), NetworkError> {
        match name_to_index(&self.netlink.socket, INSIDE) {
            Ok(index) => self.netlink.request(&[links::remove(index)]),
            Err(errno) if errno == Errno::NODEV => Ok(()),
            Err(errno) => Err(errno),
        }
        .or_network(|| format!("netlink(RTM_DELLINK, {INSIDE:?})"))
    }
}

/// Hands a namespace over, and then connects it: the sandbox sets itself up meanwhile.
fn connect(way: &mut Way, namespace: &Namespace, control: &OwnedFd) -> Result<(), NetworkError> {
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"));
    let (gate, opener) = pipe()?;
    let mut fds = vec![namespace.descriptor.as_fd(), gate.as_fd(), namespace.diagnosis.as_fd()];
    let hand_over = |fds: &[BorrowedFd<'_>]| {
        send(control, &News::Namespace, fds).or_network(|| String::from("sendmsg(control, namespace)"))
    };
    let connected = match way {
        Way::Veth(veth) => {
            hand_over(&fds)?;
            veth.connect(namespace).map(drop)
        }
        Way::UserMode(mode) => {
            let (end, lifeline) = pipe()?;
            fds.push(lifeline.as_fd());
            hand_over(&fds)?;
            drop(lifeline);
            mode.connect(namespace, &opener, &end)
        }
    };
    if let Err(error) = connected {
        // Only the sandbox that waits at the gate can tell.
        let _ = File::from(opener).write_all(crate::error::chain(&error).as_bytes());
    }
    Ok(())
}

/// The first way that this machine allows.
pub(super) fn open() -> Result<(Way, PrivateNetwork), NetworkError> {
    let mut reasons = Vec::new();
    match Veth::open() {
        Ok(veth) => {
            let network = PrivateNetwork {
                outlet: Outlet::Veth,
                host: Some(veth.gateway()),
                name_server: None,
                forwarding: veth.switched_on().to_vec(),
                on_demand: false,
            };
            return Ok((Way::Veth(veth), network));
        }
        Err(error) => reasons.push(format!("veth: {}", crate::error::chain(&error))),
    }
    for tool in [Tool::Pasta, Tool::Slirp4netns] {
        match UserMode::open(tool) {
            Ok(mode) => return Ok((Way::UserMode(mode), tool.network())),
            Err(reason) => reasons.push(format!("{}: {reason}", tool.outlet().name())),
        }
    }
    Err(NetworkError::NoOutlet { reasons })
}

/// A child process in new namespaces, which opens something there.
pub(super) struct InChild(OwnedFd);

/// Starts one.
pub(super) fn in_child(
    namespaces: u64,
    open: impl FnOnce() -> Result<Vec<OwnedFd>, NetworkError>,
) -> Result<InChild, NetworkError> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .or_network(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))?;
    let fork = sys::fork(namespaces).or_network(|| format!("clone3({namespaces:#x})"))?;
    if let Fork::Child = fork {
        let made = open();
        let fds: Vec<BorrowedFd<'_>> = made.iter().flatten().map(AsFd::as_fd).collect();
        let _ = send(&theirs, &made.as_ref().err(), &fds);
        std::process::exit(0);
    }
    Ok(InChild(ours))
}

impl InChild {
    /// What it has opened.
    pub(super) fn wait(self) -> Result<Vec<OwnedFd>, NetworkError> {
        let (error, fds) = receive::<Option<NetworkError>>(&self.0)
            .or_network(|| String::from("recvmsg(namespace)"))?
            .unwrap_or_default();
        error.map_or(Ok(fds), Err)
    }
}

/// In a namespace: it, a socket to set it up, and a socket for questions about it. Its loopback interface is up.
pub(super) fn open_own_namespace() -> Result<Vec<OwnedFd>, NetworkError> {
    let descriptor =
        rustix::fs::openat(CWD, "/proc/thread-self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .or_network(|| String::from("open(\"/proc/thread-self/ns/net\")"))?;
    let netlink = Netlink::open(ROUTE).or_network(|| String::from("socket(NETLINK_ROUTE)"))?;
    let diagnosis =
        Netlink::open(Some(netlink::SOCK_DIAG)).or_network(|| String::from("socket(NETLINK_SOCK_DIAG)"))?;
    netlink.request(&[up(LOOPBACK)]).or_network(|| String::from("netlink(RTM_SETLINK, \"lo\", IFF_UP)"))?;
    Ok(vec![descriptor, netlink.socket, diagnosis.socket])
}

/// Takes note of children that have ended.
fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}
