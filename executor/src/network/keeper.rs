//! The process that makes network namespaces and connects them: our own binary, executed anew.
//!
//! It ends when the engine does, on its own time: taking rules away lasts longer than a short build.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink};
use rustix::pipe::PipeFlags;
use rustix::process::WaitOptions;
use serde::{Deserialize, Serialize};

use super::links::{LOOPBACK, up};
use super::netlink::{Netlink, ROUTE};
use super::usermode::{Tool, UserMode};
use super::veth::Veth;
use super::{NetworkError, OrNetwork, Outlet, PrivateNetwork};
use crate::sys::{self, Fork};
use crate::wire::{receive, send};

/// Exit status when there is nobody to report to.
const EXIT_ORPHANED: i32 = 125;

/// What the keeper tells the engine.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum News {
    /// There is a network, and a first namespace will follow.
    Ready(PrivateNetwork),
    /// A namespace. Carries it, the gate, a socket for questions about it, and the lifeline if it needs one.
    Namespace,
    /// There is no network, or no further namespace.
    Failed(NetworkError),
}

/// The only request: one more namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct More {
    /// A message without any byte would look like the end of the socket.
    pub(super) count: u8,
}

/// A new network namespace with nothing but a loopback interface, which is up.
pub(crate) struct Namespace {
    pub(crate) descriptor: OwnedFd,
    /// Sockets in it.
    pub(crate) netlink: Netlink,
    pub(crate) diagnosis: OwnedFd,
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
    // It comes about while we look around.
    let mut namespace = new_namespace()?;
    let (mut way, network) = open()?;
    let told = |result: io::Result<()>| result.or_network(|| String::from("sendmsg(control)"));
    told(send(control, &News::Ready(network), &[]))?;
    loop {
        make(&mut way, namespace, control)?;
        reap();
        let request: Option<(More, _)> = receive(control).or_network(|| String::from("recvmsg(control)"))?;
        if request.is_none() {
            return Ok(());
        }
        namespace = new_namespace()?;
    }
}

/// Hands a new namespace over, and then connects it: the sandbox sets itself up meanwhile.
fn make(way: &mut Way, namespace: NewNamespace, control: &OwnedFd) -> Result<(), NetworkError> {
    let namespace = namespace.wait()?;
    let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"));
    let (gate, opener) = pipe()?;
    let mut fds = vec![namespace.descriptor.as_fd(), gate.as_fd(), namespace.diagnosis.as_fd()];
    let hand_over = |fds: &[BorrowedFd<'_>]| {
        send(control, &News::Namespace, fds).or_network(|| String::from("sendmsg(control, namespace)"))
    };
    let connected = match way {
        Way::Veth(veth) => {
            hand_over(&fds)?;
            veth.connect(&namespace).map(drop)
        }
        Way::UserMode(mode) => {
            let (end, lifeline) = pipe()?;
            fds.push(lifeline.as_fd());
            hand_over(&fds)?;
            drop(lifeline);
            mode.connect(&namespace, &opener, &end)
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

/// A namespace that a child process makes: without privileges over the host's network nobody comes back to it.
struct NewNamespace(InChild);

fn new_namespace() -> Result<NewNamespace, NetworkError> {
    in_child(libc::CLONE_NEWNET as u64, open_own_namespace).map(NewNamespace)
}

impl NewNamespace {
    fn wait(self) -> Result<Namespace, NetworkError> {
        let mut fds = self.0.wait()?.into_iter();
        match (fds.next(), fds.next(), fds.next()) {
            (Some(descriptor), Some(netlink), Some(diagnosis)) => {
                Ok(Namespace { descriptor, netlink: Netlink::from(netlink), diagnosis })
            }
            _ => Err(NetworkError::Keeper { problem: String::from("lost a child process") }),
        }
    }
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
        rustix::fs::openat(CWD, "/proc/self/ns/net", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .or_network(|| String::from("open(\"/proc/self/ns/net\")"))?;
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
