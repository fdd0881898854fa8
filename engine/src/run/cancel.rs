//! Stops a process when nobody waits for it any more.

use std::sync::{Arc, Mutex};

use executor::Handle;

/// Connects the async side, which may be dropped, with the thread that waits for a process.
#[derive(Clone)]
pub(crate) struct Cancel(Arc<Mutex<State>>);

enum State {
    /// No process yet.
    Idle,
    /// This one.
    Watching(Handle),
    /// Whatever comes is killed at once.
    Cancelled,
}

impl Cancel {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State::Idle)))
    }

    /// Names the process. Kills it when it is not wanted any more.
    pub(crate) fn watch(&self, handle: Handle) {
        let mut state = self.0.lock().expect("no holder of the lock panics");
        match *state {
            State::Cancelled => handle.kill(),
            State::Idle | State::Watching(_) => *state = State::Watching(handle),
        }
    }

    /// Kills the process when dropped. Of a process that has ended the handle knows, so it hits no other.
    pub(crate) fn guard(&self) -> CancelGuard {
        CancelGuard(self.clone())
    }
}

/// See [`Cancel::guard`].
pub(crate) struct CancelGuard(Cancel);

impl Drop for CancelGuard {
    fn drop(&mut self) {
        let mut state = self.0.0.lock().expect("no holder of the lock panics");
        if let State::Watching(handle) = &*state {
            handle.kill();
        }
        *state = State::Cancelled;
    }
}
