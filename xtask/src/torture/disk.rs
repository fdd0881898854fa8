//! A file system in a file, that can lose its power.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::process;

const SIZE: &str = "400M";
/// Nothing is kept for root: what is free is free.
const MKFS_OPTIONS: [&str; 6] = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1"];
/// How long a file system may be busy after its last user is gone.
const UNMOUNT_TIME_MAX: Duration = Duration::from_secs(20);
const UNMOUNT_PAUSE: Duration = Duration::from_millis(20);
/// `EXT4_IOC_SHUTDOWN`, see the kernel's `include/uapi/linux/ext4.h`: nothing more reaches the disk.
const SHUTDOWN: &str =
    r#"open(my $root, "<", $ARGV[0]) or die; ioctl($root, 0x8004587d, pack("L", $ARGV[1])) or die "$!";"#;

/// What becomes of the journal when the power goes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Journal {
    /// It is written to the disk first.
    Flushed,
    /// What is not written yet is lost.
    Lost,
}

/// An ext4 with a journal, mounted.
pub(crate) struct Disk {
    file: PathBuf,
    root: PathBuf,
}

impl Disk {
    /// Makes and mounts one in `directory`.
    pub(crate) fn new(directory: &Path) -> Result<Self, Error> {
        let disk = Self { file: directory.join("disk.img"), root: directory.join("disk") };
        fs::create_dir_all(&disk.root).map_err(|source| Error::File { path: disk.root.clone(), source })?;
        quietly(Command::new("truncate").args(["-s", SIZE]).arg(&disk.file))?;
        quietly(Command::new("mkfs.ext4").args(MKFS_OPTIONS).arg(&disk.file))?;
        disk.mount()?;
        Ok(disk)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn mount(&self) -> Result<(), Error> {
        quietly(Command::new("mount").args(["-o", "loop"]).args([&self.file, &self.root]))
    }

    /// From now on nothing is written, and everything fails.
    pub(crate) fn cut(&self, journal: Journal) -> Result<(), Error> {
        // EXT4_GOING_FLAGS_LOGFLUSH, EXT4_GOING_FLAGS_NOLOGFLUSH.
        let flags = match journal {
            Journal::Flushed => "1",
            Journal::Lost => "2",
        };
        quietly(Command::new("perl").args(["-e", SHUTDOWN]).arg(&self.root).arg(flags))
    }

    /// Unmounts it. What was written last may still be on its way when the last process is gone.
    pub(crate) fn unmount(&self) -> Result<(), Error> {
        let until = Instant::now() + UNMOUNT_TIME_MAX;
        while !process::succeeds(Command::new("umount").arg(&self.root)) {
            if Instant::now() > until {
                return quietly(Command::new("umount").arg(&self.root));
            }
            std::thread::sleep(UNMOUNT_PAUSE);
        }
        Ok(())
    }

    /// Whether the file system checker has something to say; the file system is not mounted.
    pub(crate) fn is_sound(&self) -> bool {
        process::succeeds(Command::new("e2fsck").args(["-fn"]).arg(&self.file))
    }
}

/// Unmounts what is mounted in `directory`.
pub(crate) fn unmount_all(directory: &Path) -> Result<(), Error> {
    let root = directory.join("disk");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    if mounts.lines().any(|line| line.split(' ').nth(4) == root.to_str()) {
        quietly(Command::new("umount").arg(&root))?;
    }
    Ok(())
}

/// Runs a command without naming it: there are hundreds of them.
pub(crate) fn quietly(command: &mut Command) -> Result<(), Error> {
    let line = format!("{command:?}");
    let output = command.output().map_err(|source| Error::Start { command: line.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    Err(Error::Status { command: line, status: output.status })
}
