//! Describes a tree to a client, and sends it the files that it asks for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat as FileStat, major, minor, openat2, readlinkat,
    statat,
};
use tokio::sync::mpsc::{Sender, UnboundedReceiver};

use super::packets::{self, Packets};
use crate::proto::{Packet, PacketType, Stat};

/// Bytes in one message, as in BuildKit.
const CHUNK_BYTES: usize = 32 << 10;
const NANOSECONDS: i64 = 1_000_000_000;

/// Go's bits of a file's mode.
const MODE_DIRECTORY: u32 = 1 << 31;
const MODE_LINK: u32 = 1 << 27;
const MODE_DEVICE: u32 = 1 << 26;
const MODE_PIPE: u32 = 1 << 25;
const MODE_SOCKET: u32 = 1 << 24;
const MODE_SETUID: u32 = 1 << 23;
const MODE_SETGID: u32 = 1 << 22;
const MODE_CHARACTERS: u32 = 1 << 21;
const MODE_STICKY: u32 = 1 << 20;

/// Whether something is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    No,
    /// A directory, for the sake of what is beneath it.
    Below,
    Yes,
}

/// Chooses what is sent.
pub(crate) trait Choose {
    /// Of a path, whose directory was not refused.
    fn choose(&self, path: &str, is_directory: bool) -> Choice;

    /// Whose the files are for the receiver.
    fn owner(&self, found: &FileStat) -> (u32, u32) {
        (found.st_uid, found.st_gid)
    }
}

/// Chooses everything.
pub(crate) struct Everything;

impl Choose for Everything {
    fn choose(&self, _: &str, _: bool) -> Choice {
        Choice::Yes
    }
}

struct Sending<'a> {
    root: BorrowedFd<'a>,
    send: packets::Sending<'a>,
    choose: &'a dyn Choose,
    /// Directories around what is looked at that are described when something in them is.
    pending: Vec<Stat>,
    /// The path of each entry whose content can be asked for.
    files: HashMap<u32, String>,
    count: u32,
    /// The first name of each file that has several.
    names: HashMap<(u64, u64), String>,
}

/// Sends what is chosen of everything beneath `root`. Ends when the other side has all that it wants.
pub(crate) fn send_tree(
    root: BorrowedFd<'_>,
    choose: &dyn Choose,
    send: &Sender<Packets>,
    asked: &mut UnboundedReceiver<Packet>,
) -> io::Result<()> {
    let (files, names) = (HashMap::new(), HashMap::new());
    let send = packets::Sending::new(send);
    let mut sending = Sending { root, send, choose, pending: Vec::new(), files, count: 0, names };
    let top =
        openat2(root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), beneath())?;
    sending.directory(&top, "")?;
    sending.packet(PacketType::PacketStat, Packet::default())?;
    loop {
        let packet = match asked.try_recv() {
            Ok(packet) => packet,
            Err(_) => {
                sending.send.flush()?;
                asked.blocking_recv().ok_or(io::ErrorKind::ConnectionAborted)?
            }
        };
        match PacketType::try_from(packet.r#type) {
            Ok(PacketType::PacketReq) => sending.content(packet.id)?,
            Ok(PacketType::PacketFin) => {
                sending.packet(PacketType::PacketFin, Packet::default())?;
                return sending.send.flush();
            }
            Ok(PacketType::PacketErr) => {
                return Err(io::Error::other(String::from_utf8_lossy(&packet.data).into_owned()));
            }
            _ => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet came out of turn"));
            }
        }
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS
}

impl Sending<'_> {
    fn packet(&mut self, kind: PacketType, packet: Packet) -> io::Result<()> {
        self.send.send(Packet { r#type: kind.into(), ..packet })
    }

    /// Describes what is in a directory, in the order of the names, and each directory before what is in it.
    fn directory(&mut self, directory: &OwnedFd, path: &str) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry?.file_name().to_owned();
            if !matches!(name.to_bytes(), b"." | b"..") {
                // The messages have no other names.
                let text = name.into_string().map_err(|error| {
                    let name = error.into_cstring();
                    let place = format!("{path}/{}", name.to_string_lossy());
                    io::Error::new(io::ErrorKind::InvalidData, format!("`{place}`: its name is not UTF-8"))
                })?;
                names.push(text);
            }
        }
        names.sort_unstable();
        for name in names {
            let found = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            let kind = FileType::from_raw_mode(found.st_mode);
            let choice = self.choose.choose(&path, kind == FileType::Directory);
            if choice == Choice::No {
                continue;
            }
            let mut stat = describe(directory.as_fd(), &name, &path, &found)?;
            (stat.uid, stat.gid) = self.choose.owner(&found);
            if found.st_nlink > 1 && !matches!(kind, FileType::Directory | FileType::Symlink) {
                let first = self.names.entry((found.st_dev, found.st_ino)).or_insert_with(|| path.clone());
                if *first != path {
                    stat.linkname.clone_from(first);
                }
            }
            let depth = self.pending.len();
            self.pending.push(stat);
            if choice == Choice::Yes {
                self.describe_pending(kind, &path)?;
            }
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let inner = openat2(directory, &name, flags, Mode::empty(), beneath())?;
                self.directory(&inner, &path)?;
            }
            self.pending.truncate(depth.min(self.pending.len()));
        }
        Ok(())
    }

    /// Describes what is pending: directories, and at the end something of this kind in them.
    fn describe_pending(&mut self, kind: FileType, path: &str) -> io::Result<()> {
        for stat in std::mem::take(&mut self.pending) {
            let has_content = stat.path == path && kind == FileType::RegularFile && stat.linkname.is_empty();
            if has_content {
                self.files.insert(self.count, path.to_owned());
            }
            self.count = self.count.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
            self.packet(PacketType::PacketStat, Packet { stat: Some(stat), ..Packet::default() })?;
        }
        Ok(())
    }

    /// The content of a file, and an empty packet at its end.
    fn content(&mut self, id: u32) -> io::Result<()> {
        let unknown =
            || io::Error::new(io::ErrorKind::InvalidData, format!("the client asked for file {id}"));
        let path = self.files.get(&id).ok_or_else(unknown)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let mut file = File::from(openat2(self.root, path, flags, Mode::empty(), beneath())?);
        loop {
            let mut data = vec![0; CHUNK_BYTES];
            let count = file.read(&mut data)?;
            data.truncate(count);
            self.packet(PacketType::PacketData, Packet { id, data, ..Packet::default() })?;
            if count == 0 {
                return Ok(());
            }
        }
    }
}

/// What is said of a file. A second name of the same file is one of its own.
pub(crate) fn describe(
    directory: BorrowedFd<'_>,
    name: &str,
    path: &str,
    found: &FileStat,
) -> io::Result<Stat> {
    let kind = FileType::from_raw_mode(found.st_mode);
    let linkname = match kind {
        FileType::Symlink => readlinkat(directory, name, Vec::new())?.to_string_lossy().into_owned(),
        _ => String::new(),
    };
    let is_device = matches!(kind, FileType::BlockDevice | FileType::CharacterDevice);
    let device = |part: fn(u64) -> u32| if is_device { i64::from(part(found.st_rdev)) } else { 0 };
    let nanoseconds = i64::try_from(found.st_mtime_nsec).unwrap_or(0);
    Ok(Stat {
        path: path.to_owned(),
        mode: go_mode(kind, Mode::from_raw_mode(found.st_mode)),
        uid: found.st_uid,
        gid: found.st_gid,
        size: if kind == FileType::RegularFile { found.st_size } else { 0 },
        mod_time: found.st_mtime.saturating_mul(NANOSECONDS).saturating_add(nanoseconds),
        linkname,
        devmajor: device(major),
        devminor: device(minor),
        ..Stat::default()
    })
}

fn go_mode(kind: FileType, mode: Mode) -> u32 {
    let kind = match kind {
        FileType::Directory => MODE_DIRECTORY,
        FileType::Symlink => MODE_LINK,
        FileType::Fifo => MODE_PIPE,
        FileType::Socket => MODE_SOCKET,
        FileType::CharacterDevice => MODE_DEVICE | MODE_CHARACTERS,
        FileType::BlockDevice => MODE_DEVICE,
        FileType::RegularFile | FileType::Unknown => 0,
    };
    let special = [(MODE_SETUID, Mode::SUID), (MODE_SETGID, Mode::SGID), (MODE_STICKY, Mode::SVTX)];
    let special = special.iter().filter(|(_, bit)| mode.contains(*bit)).fold(0, |all, (bit, _)| all | bit);
    kind | special | (mode.as_raw_mode() & 0o777)
}
