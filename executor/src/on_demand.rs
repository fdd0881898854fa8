//! A private network that is connected when its command makes the first socket.
//!
//! Most steps of a build never do, and connecting takes longer than all else that a short step needs. A filter of its own
//! (see seccomp(2), `SECCOMP_RET_USER_NOTIF`) holds socket(2) of every family that has to do with the
//! network until the engine has connected it; from then on it lets each go on at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::error::{OrKernel, SandboxError};
use crate::seccomp;
use crate::sys;
use crate::uplink::Uplink;

/// Installs the filter in this thread, without privileges after `no_new_privs`. Returns its listener.
pub(crate) fn install() -> Result<OwnedFd, SandboxError> {
    sys::install_listening_filter(&seccomp::socket_filter())
        .or_kernel(|| String::from("seccomp(SET_MODE_FILTER, NEW_LISTENER)"))
}

/// The engine's side.
pub(crate) struct OnDemand {
    listener: OwnedFd,
}

impl OnDemand {
    /// From what [`install`] has returned.
    pub(crate) fn new(listener: OwnedFd) -> Self {
        Self { listener }
    }

    /// Ready to read when a call waits, and hung up when nobody is left who could make one.
    pub(crate) fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// Answers the call that waits, once `uplink` is connected.
    pub(crate) fn answer(&self, uplink: &mut Uplink) -> Result<(), SandboxError> {
        let call = || String::from("ioctl(SECCOMP_IOCTL_NOTIF_RECV)");
        let Some(waiting) = sys::receive_notification(&self.listener).or_kernel(call)? else {
            return Ok(());
        };
        uplink.connect()?;
        let call = || String::from("ioctl(SECCOMP_IOCTL_NOTIF_SEND)");
        sys::continue_call(&self.listener, waiting).or_kernel(call)
    }
}
