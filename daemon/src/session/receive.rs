//! Brings a directory to what the packets of a client describe, asking only for what is different.
//!
//! The client sends what there is in order, each directory before what is in it; we ask for the content of files by
//! their number. Nothing of what it says is believed: names are one component each, and everything is opened beneath the
//! root, through no link.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::vec::IntoIter;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat as FileStat, Timespec, Timestamps, UTIME_OMIT,
    fchmod, linkat, mkdirat, mkfifoat, openat2, readlinkat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tokio::sync::mpsc::{Receiver, UnboundedSender};

use super::kept::open_root;
use super::packets::Packets;
use crate::proto::{Packet, PacketType, Stat};

/// Files and directories of one client's directory.
const ENTRIES_MAX: u32 = 4 << 20;
/// The kernel takes no longer path either (`PATH_MAX`).
const PATH_BYTES_MAX: usize = 4096;
const NANOSECONDS: i64 = 1_000_000_000;

/// Go's bits of a file's mode.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_LINK: u32 = 1 << 27;
const MODE_DEVICE: u32 = 1 << 26;
const MODE_PIPE: u32 = 1 << 25;
const MODE_SOCKET: u32 = 1 << 24;
const MODE_SETUID: u32 = 1 << 23;
const MODE_SETGID: u32 = 1 << 22;
const MODE_STICKY: u32 = 1 << 20;

/// Why the files of a client did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the client: {message}")]
    Client { message: String },
    #[error("the client has ended before its files were here")]
    Ended,
    #[error("the client sent {what}")]
    Protocol { what: String },
    #[error("`{path}` is a device, which a build context cannot have")]
    Device { path: String },
    #[error("cannot write `{path}`: {source}")]
    Write { path: String, source: io::Error },
}

fn protocol<T>(what: impl Into<String>) -> Result<T, ReceiveError> {
    Err(ReceiveError::Protocol { what: what.into() })
}

/// What becomes of what is there and not described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    Removed,
    Kept,
}

/// A directory that files arrive in.
pub(crate) struct Receiving {
    root: OwnedFd,
    packets: Receiver<Packets>,
    /// What has arrived with others.
    arrived: IntoIter<Packet>,
    ask: UnboundedSender<Packet>,
    others: Others,
    /// From the root to where the last entry was.
    open: Vec<OpenDirectory>,
    /// What was asked for and is not complete, by its number.
    wanted: HashMap<u32, WantedFile>,
    /// The numbers of these, by their paths.
    wanted_ids: HashMap<String, u32>,
    /// Directories whose times are set when nothing more is written to them.
    times: Vec<(String, i64)>,
}

struct OpenDirectory {
    path: String,
    directory: OwnedFd,
    names: BTreeSet<String>,
}

struct WantedFile {
    path: String,
    mode: Mode,
    mtime_ns: i64,
    /// Whether it is there already, empty, since another name of it was wanted.
    is_there: bool,
    /// Open from its first data to its end.
    file: Option<File>,
}

impl Receiving {
    pub(crate) fn open(
        root: &Path,
        packets: Receiver<Packets>,
        ask: UnboundedSender<Packet>,
        others: Others,
    ) -> Result<Self, ReceiveError> {
        let failed = |source| ReceiveError::Write { path: root.display().to_string(), source };
        let top = OpenDirectory {
            path: String::new(),
            directory: open_root(root).map_err(failed)?,
            names: BTreeSet::new(),
        };
        let root = open_root(root).map_err(failed)?;
        let (wanted, wanted_ids) = (HashMap::new(), HashMap::new());
        let (arrived, open, times) = (Packets::new().into_iter(), vec![top], Vec::new());
        Ok(Self { root, packets, arrived, ask, others, open, wanted, wanted_ids, times })
    }

    fn packet(&mut self) -> Option<Packet> {
        loop {
            match self.arrived.next() {
                Some(packet) => return Some(packet),
                None => self.arrived = self.packets.blocking_recv()?.into_iter(),
            }
        }
    }

    fn next(&mut self) -> Result<(PacketType, Packet), ReceiveError> {
        let packet = self.packet().ok_or(ReceiveError::Ended)?;
        let Ok(kind) = PacketType::try_from(packet.r#type) else {
            return protocol(format!("a packet of type {}", packet.r#type));
        };
        match kind {
            PacketType::PacketErr => {
                Err(ReceiveError::Client { message: String::from_utf8_lossy(&packet.data).into_owned() })
            }
            kind => Ok((kind, packet)),
        }
    }

    fn send(&self, kind: PacketType, id: u32) -> Result<(), ReceiveError> {
        let packet = Packet { r#type: kind.into(), id, ..Packet::default() };
        self.ask.send(packet).map_err(|_| ReceiveError::Ended)
    }
}

/// Receives everything; `on_bytes` hears of the content that has arrived, in all.
pub(crate) fn receive(receiving: &mut Receiving, on_bytes: &dyn Fn(u64)) -> Result<(), ReceiveError> {
    let mut count: u32 = 0;
    let mut is_described = false;
    let mut arrived_bytes = 0;
    while !is_described || !receiving.wanted.is_empty() {
        match receiving.next()? {
            (PacketType::PacketStat, Packet { stat: Some(stat), .. }) if !is_described => {
                if count == ENTRIES_MAX {
                    return protocol(format!("more than {ENTRIES_MAX} files"));
                }
                receiving.entry(count, &stat)?;
                count += 1;
            }
            (PacketType::PacketStat, Packet { stat: None, .. }) if !is_described => {
                is_described = true;
                while receiving.close()? {}
            }
            (PacketType::PacketData, packet) => {
                arrived_bytes += packet.data.len() as u64;
                receiving.data(&packet)?;
                on_bytes(arrived_bytes);
            }
            (kind, _) => return protocol(format!("{} out of turn", kind.as_str_name())),
        }
    }
    on_bytes(arrived_bytes);
    receiving.set_times()?;
    receiving.send(PacketType::PacketFin, 0)?;
    // The client says the same and ends.
    while receiving.packet().is_some_and(|it| it.r#type != PacketType::PacketFin as i32) {}
    Ok(())
}

impl Receiving {
    /// Something is there, with this number.
    fn entry(&mut self, id: u32, stat: &Stat) -> Result<(), ReceiveError> {
        let path = stat.path.as_str();
        let (parent, name) = split(path)?;
        while self.top().path != parent {
            // The root is the last that is open.
            if self.open.len() == 1 {
                return protocol(format!("`{path}` before its directory"));
            }
            self.close()?;
        }
        let is_later = self.top().names.last().is_none_or(|last| last.as_str() < name);
        if !is_later {
            return protocol(format!("`{path}` out of order"));
        }
        self.top_mut().names.insert(name.to_owned());
        self.make(id, stat, name).map_err(|error| error.at(path))
    }

    fn top(&self) -> &OpenDirectory {
        self.open.last().expect("the root stays open until all is described")
    }

    fn top_mut(&mut self) -> &mut OpenDirectory {
        self.open.last_mut().expect("the root stays open until all is described")
    }

    fn make(&mut self, id: u32, stat: &Stat, name: &str) -> Result<(), Failed> {
        let directory = self.top().directory.as_fd();
        let found = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Some(found),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(error.into()),
        };
        let kind = found.as_ref().map(|found| FileType::from_raw_mode(found.st_mode));
        let mode = permissions(stat.mode);
        match stat.mode {
            bits if bits & MODE_DIRECTORY != 0 => {
                if kind != Some(FileType::Directory) {
                    self.clear(name, kind)?;
                    mkdirat(self.top().directory.as_fd(), name, mode)?;
                }
                self.enter(stat, name, mode, found.as_ref())
            }
            bits if bits & MODE_LINK != 0 => {
                let target = stat.linkname.as_str();
                let is_same = kind == Some(FileType::Symlink)
                    && readlinkat(directory, name, Vec::new())?.as_bytes() == target.as_bytes();
                if !is_same {
                    self.clear(name, kind)?;
                    symlinkat(target, self.top().directory.as_fd(), name)?;
                }
                self.set_time(name, stat.mod_time, found.as_ref().filter(|_| is_same))
            }
            bits if bits & MODE_DEVICE != 0 => Err(Failed::Device),
            // Nobody can connect to it here.
            bits if bits & MODE_SOCKET != 0 => Ok(self.clear(name, kind)?),
            bits if bits & MODE_PIPE != 0 => {
                if kind != Some(FileType::Fifo) {
                    self.clear(name, kind)?;
                    mkfifoat(self.top().directory.as_fd(), name, mode)?;
                }
                Ok(())
            }
            _ if !stat.linkname.is_empty() => {
                self.clear(name, kind)?;
                self.link(&stat.linkname, name)
            }
            _ => self.file(id, stat, name, mode, found.as_ref()),
        }
    }

    /// Opens a directory that is there, for what is in it.
    fn enter(&mut self, stat: &Stat, name: &str, mode: Mode, found: Option<&FileStat>) -> Result<(), Failed> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let directory = openat2(self.top().directory.as_fd(), name, flags, Mode::empty(), beneath)?;
        if found.is_none_or(|found| Mode::from_raw_mode(found.st_mode) != mode) {
            fchmod(&directory, mode)?;
        }
        self.times.push((stat.path.clone(), stat.mod_time));
        self.open.push(OpenDirectory { path: stat.path.clone(), directory, names: BTreeSet::new() });
        Ok(())
    }

    /// A file. One with this size and time is the same, as everywhere.
    fn file(
        &mut self,
        id: u32,
        stat: &Stat,
        name: &str,
        mode: Mode,
        found: Option<&FileStat>,
    ) -> Result<(), Failed> {
        let is_file = |found: &&FileStat| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        // Not one with other names: it would change with them.
        let is_same = |found: &&FileStat| {
            found.st_size == stat.size && mtime_ns(found) == stat.mod_time && found.st_nlink == 1
        };
        if let Some(found) = found.filter(is_file).filter(is_same) {
            if Mode::from_raw_mode(found.st_mode) != mode {
                rustix::fs::chmodat(self.top().directory.as_fd(), name, mode, AtFlags::empty())?;
            }
            return Ok(());
        }
        self.clear(name, found.map(|found| FileType::from_raw_mode(found.st_mode)))?;
        let path = stat.path.clone();
        self.wanted_ids.insert(path.clone(), id);
        self.wanted
            .insert(id, WantedFile { path, mode, mtime_ns: stat.mod_time, is_there: false, file: None });
        self.send(PacketType::PacketReq, id).map_err(Failed::Other)
    }

    /// A second name of a file that has been described before.
    fn link(&mut self, target: &str, name: &str) -> Result<(), Failed> {
        split(target).map_err(Failed::Other)?;
        // What is still on its way is written through either name, if it is there. Not kept open: there may be many.
        let arriving = self.wanted_ids.get(target).and_then(|id| self.wanted.get_mut(id));
        if let Some(wanted) = arriving
            && wanted.file.is_none()
            && !wanted.is_there
        {
            create(&self.root, &wanted.path)?;
            wanted.is_there = true;
        }
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let file = openat2(&self.root, target, flags, Mode::empty(), beneath)?;
        let descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let directory = self.top().directory.as_fd();
        Ok(linkat(rustix::fs::CWD, descriptor, directory, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Removes what has a name, whatever it is.
    fn clear(&self, name: &str, kind: Option<FileType>) -> io::Result<()> {
        match kind {
            None => Ok(()),
            Some(kind) => remove(&self.top().directory, name.as_ref(), kind),
        }
    }

    /// Leaves the deepest directory that is open: what the client has not named is not there. False when none is open.
    fn close(&mut self) -> Result<bool, ReceiveError> {
        let Some(closed) = self.open.pop() else { return Ok(false) };
        if self.others == Others::Kept {
            return Ok(true);
        }
        let swept = || {
            for entry in rustix::fs::Dir::read_from(&closed.directory)? {
                let entry = entry?;
                let name = OsStr::new(std::str::from_utf8(entry.file_name().to_bytes()).unwrap_or_default());
                let is_known = name.to_str().is_some_and(|name| closed.names.contains(name));
                if !is_known && !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                    let name = std::os::unix::ffi::OsStrExt::from_bytes(entry.file_name().to_bytes());
                    let found = statat(&closed.directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    remove(&closed.directory, name, FileType::from_raw_mode(found.st_mode))?;
                }
            }
            Ok::<_, io::Error>(())
        };
        swept().map_err(|source| ReceiveError::Write { path: closed.path.clone(), source })?;
        Ok(true)
    }

    /// A piece of a file; an empty one ends it.
    fn data(&mut self, packet: &Packet) -> Result<(), ReceiveError> {
        let Some(wanted) = self.wanted.get_mut(&packet.id) else {
            return protocol(format!("content of file {} that nobody asked for", packet.id));
        };
        let path = wanted.path.clone();
        let failed = |source| ReceiveError::Write { path: path.clone(), source };
        if wanted.file.is_none() {
            let open = if wanted.is_there { reopen } else { create };
            wanted.file = Some(open(&self.root, &wanted.path).map_err(failed)?);
        }
        let file = wanted.file.as_mut().expect("it was opened above");
        if !packet.data.is_empty() {
            return file.write_all(&packet.data).map_err(failed);
        }
        fchmod(&*file, wanted.mode).map_err(|error| failed(error.into()))?;
        let times = times(wanted.mtime_ns);
        rustix::fs::futimens(&*file, &times).map_err(|error| failed(error.into()))?;
        self.wanted.remove(&packet.id);
        self.wanted_ids.remove(&path);
        Ok(())
    }

    fn set_time(&self, name: &str, mtime_ns_wanted: i64, found: Option<&FileStat>) -> Result<(), Failed> {
        if found.is_some_and(|found| mtime_ns(found) == mtime_ns_wanted) {
            return Ok(());
        }
        let directory = self.top().directory.as_fd();
        Ok(utimensat(directory, name, &times(mtime_ns_wanted), AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Nothing is written any more.
    fn set_times(&self) -> Result<(), ReceiveError> {
        for (path, wanted_ns) in &self.times {
            let set = || {
                let found = statat(&self.root, path, AtFlags::SYMLINK_NOFOLLOW)?;
                match mtime_ns(&found) == *wanted_ns {
                    true => Ok(()),
                    false => utimensat(&self.root, path, &times(*wanted_ns), AtFlags::SYMLINK_NOFOLLOW),
                }
            };
            set().map_err(|error: Errno| ReceiveError::Write { path: path.clone(), source: error.into() })?;
        }
        Ok(())
    }
}

/// What can go wrong with one entry, whose path the caller knows.
enum Failed {
    Io(io::Error),
    Device,
    Other(ReceiveError),
}

impl Failed {
    fn at(self, path: &str) -> ReceiveError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => ReceiveError::Write { path, source },
            Self::Device => ReceiveError::Device { path },
            Self::Other(error) => error,
        }
    }
}

impl From<Errno> for Failed {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The directory and the name of a relative path of plain names.
fn split(path: &str) -> Result<(&str, &str), ReceiveError> {
    let is_plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if path.len() > PATH_BYTES_MAX || !path.split('/').all(is_plain) {
        let shown: String = path.chars().take(PATH_BYTES_MAX).collect();
        return protocol(format!("the path `{shown}`"));
    }
    Ok(path.rsplit_once('/').unwrap_or(("", path)))
}

fn create(root: &OwnedFd, path: &str) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, path, flags, Mode::RUSR | Mode::WUSR, beneath)?.into())
}

/// One that [`create`] has made.
fn reopen(root: &OwnedFd, path: &str) -> io::Result<File> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty(), beneath)?.into())
}

fn remove(directory: &OwnedFd, name: &OsStr, kind: FileType) -> io::Result<()> {
    if kind != FileType::Directory {
        return Ok(unlinkat(directory, name, AtFlags::empty())?);
    }
    // Of the directory itself: the path goes through no link.
    let place = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(directory));
    std::fs::remove_dir_all(Path::new(&place).join(name))
}

fn permissions(go: u32) -> Mode {
    let mut mode = Mode::from_raw_mode(go & 0o777);
    for (bit, ours) in [(MODE_SETUID, Mode::SUID), (MODE_SETGID, Mode::SGID), (MODE_STICKY, Mode::SVTX)] {
        mode.set(ours, go & bit != 0);
    }
    mode
}

fn mtime_ns(stat: &FileStat) -> i64 {
    let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    stat.st_mtime.saturating_mul(NANOSECONDS).saturating_add(nanoseconds)
}

fn times(mtime_ns: i64) -> Timestamps {
    let modified =
        Timespec { tv_sec: mtime_ns.div_euclid(NANOSECONDS), tv_nsec: mtime_ns.rem_euclid(NANOSECONDS) };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: modified }
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
