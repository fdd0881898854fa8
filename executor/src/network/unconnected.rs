//! Network namespaces that are not connected, but look as if they were: `eth0` is there, without an address.
//!
//! Making one takes as long as our binary takes to start, and both happen at the same time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use nix::sched::CloneFlags;

use super::keeper::{Namespace, open_own_namespace};
use super::netlink::{Netlink, ROUTE};
use super::quiet::is_quiet;
use super::veth::{INSIDE, MTU_DEFAULT, make_pair};
use super::{NetworkError, OrNetwork, Outlet};
use crate::sys;

/// Namespaces that are kept for later sandboxes. More are only in use at the same time.
const IDLE_MAX: usize = 8;

static UNCONNECTED: Mutex<State> = Mutex::new(State { idle: Vec::new(), next: None });

struct State {
    idle: Vec<Unconnected>,
    /// One that is being made.
    next: Option<JoinHandle<Result<Unconnected, NetworkError>>>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Unconnected {
    pub(crate) descriptor: OwnedFd,
    /// Sockets in it.
    netlink: OwnedFd,
    diagnosis: OwnedFd,
    /// See [`Namespace::pair`].
    pub(super) pair: Option<u32>,
}

/// Starts to make one for the next sandbox, without waiting; `outlet` will connect it.
///
/// Not before [`crate::become_root`]: what is made belongs to the user namespace in which it began.
///
/// # Errors
///
/// When no thread can be started.
pub fn prepare_unconnected_network(outlet: Outlet) -> Result<(), NetworkError> {
    let mut state = state();
    if state.idle.is_empty() && state.next.is_none() {
        state.next = Some(start(outlet)?);
    }
    Ok(())
}

/// One for a sandbox.
pub(crate) fn take_unconnected(outlet: Outlet) -> Result<Unconnected, NetworkError> {
    // One that is not quiet is dropped, and the next is looked at.
    while let Some(idle) = pop_idle() {
        if idle.is_quiet() {
            return Ok(idle);
        }
    }
    let next = state().next.take();
    let next = next.map_or_else(|| start(outlet), Ok)?;
    next.join().map_err(|_| NetworkError::Keeper { problem: String::from("lost a thread") })?
}

fn pop_idle() -> Option<Unconnected> {
    state().idle.pop()
}

fn state() -> MutexGuard<'static, State> {
    UNCONNECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// In a thread that nobody else uses: it cannot leave the namespace again.
fn start(outlet: Outlet) -> Result<JoinHandle<Result<Unconnected, NetworkError>>, NetworkError> {
    let thread = thread::Builder::new().name(String::from("network"));
    thread.spawn(move || make(outlet)).or_network(|| String::from("clone3(CLONE_THREAD)"))
}

fn make(outlet: Outlet) -> Result<Unconnected, NetworkError> {
    let host = Netlink::open(ROUTE).or_network(|| String::from("socket(NETLINK_ROUTE)"))?;
    nix::sched::unshare(CloneFlags::CLONE_NEWNET).or_network(|| String::from("unshare(CLONE_NEWNET)"))?;
    let lost = || NetworkError::Keeper { problem: String::from("made no namespace") };
    let Namespace { descriptor, netlink, diagnosis, .. } =
        Namespace::new(open_own_namespace()?, None).ok_or_else(lost)?;
    // Whoever connects it makes what is not there.
    let pair = match outlet {
        Outlet::Veth => make_pair(&host, &descriptor, 0, MTU_DEFAULT).ok(),
        Outlet::Pasta | Outlet::Slirp4netns => {
            let _ = sys::make_tap(INSIDE);
            None
        }
    };
    Ok(Unconnected { descriptor, netlink: netlink.socket, diagnosis, pair })
}

impl Unconnected {
    /// Its descriptors, as [`Namespace::new`] takes them.
    pub(super) fn descriptors(&self) -> [BorrowedFd<'_>; 3] {
        [self.descriptor.as_fd(), self.netlink.as_fd(), self.diagnosis.as_fd()]
    }

    /// Keeps it for a later sandbox. Who takes it looks whether the last one left something behind: the last of a
    /// build need not wait for that.
    pub(crate) fn give_back(self) {
        let mut state = state();
        if state.idle.len() < IDLE_MAX {
            state.idle.push(self);
        }
    }

    fn is_quiet(&self) -> bool {
        self.diagnosis.try_clone().is_ok_and(|socket| is_quiet(socket).unwrap_or(false))
    }
}
