//! Waits for changes in a directory, see inotify(7).

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

/// What nobody tells us, as that a monitor was killed, is found out after this time.
const PATIENCE: Duration = Duration::from_millis(500);
/// Where no directory can be watched it is looked at in these intervals.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes for events of one wait; there may be more.
const EVENT_BYTES: usize = 4096;

/// Something that wakes up when a directory changes.
#[derive(Debug)]
pub struct Watch {
    /// None where the kernel has no more of them.
    inotify: Option<OwnedFd>,
}

impl Watch {
    /// Watches what is in a directory from now on.
    pub(crate) fn new(directory: &Path) -> Self {
        let what = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MOVE_SELF;
        let watched = || {
            let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
            inotify::add_watch(&inotify, directory, what)?;
            Ok::<_, rustix::io::Errno>(inotify)
        };
        Self { inotify: watched().ok() }
    }

    /// Waits until something has changed since the last wait, or some time has passed.
    pub fn wait(&self) {
        let Some(inotify) = &self.inotify else {
            std::thread::sleep(PAUSE);
            return;
        };
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(PATIENCE.subsec_nanos()) };
        let mut fds = [PollFd::new(inotify, PollFlags::IN)];
        // Whatever it says, the next thing is to look.
        let _ = poll(&mut fds, Some(&timeout));
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(inotify, &mut buffer);
        while reader.next().is_ok() {}
    }
}
