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

struct Sending<'a> {
    root: BorrowedFd<'a>,
    send: &'a Sender<Packet>,
    /// The path of each entry whose content can be asked for.
    files: HashMap<u32, String>,
    count: u32,
    /// The first name of each file that has several.
    names: HashMap<(u64, u64), String>,
}

/// Sends everything beneath `root`. Ends when the client has all that it wants.
pub(super) fn send_tree(
    root: BorrowedFd<'_>,
    send: &Sender<Packet>,
    asked: &mut UnboundedReceiver<Packet>,
) -> io::Result<()> {
    let mut sending = Sending { root, send, files: HashMap::new(), count: 0, names: HashMap::new() };
    let top =
        openat2(root, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), beneath())?;
    sending.directory(&top, "")?;
    sending.packet(PacketType::PacketStat, Packet::default())?;
    loop {
        let packet = asked.blocking_recv().ok_or(io::ErrorKind::ConnectionAborted)?;
        match PacketType::try_from(packet.r#type) {
            Ok(PacketType::PacketReq) => sending.content(packet.id)?,
            Ok(PacketType::PacketFin) => return sending.packet(PacketType::PacketFin, Packet::default()),
            Ok(PacketType::PacketErr) => {
                return Err(io::Error::other(String::from_utf8_lossy(&packet.data).into_owned()));
            }
            _ => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the client sent a packet out of turn",
                ));
            }
        }
    }
}

fn beneath() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS
}

impl Sending<'_> {
    fn packet(&self, kind: PacketType, packet: Packet) -> io::Result<()> {
        let packet = Packet { r#type: kind.into(), ..packet };
        self.send.blocking_send(packet).map_err(|_| io::ErrorKind::BrokenPipe.into())
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
            let mut stat = describe(directory.as_fd(), &name, &path, &found)?;
            if found.st_nlink > 1 && !matches!(kind, FileType::Directory | FileType::Symlink) {
                let first = self.names.entry((found.st_dev, found.st_ino)).or_insert_with(|| path.clone());
                if *first != path {
                    stat.linkname.clone_from(first);
                }
            }
            if kind == FileType::RegularFile && stat.linkname.is_empty() {
                self.files.insert(self.count, path.clone());
            }
            self.count = self.count.checked_add(1).ok_or(io::ErrorKind::FileTooLarge)?;
            self.packet(PacketType::PacketStat, Packet { stat: Some(stat), ..Packet::default() })?;
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let inner = openat2(directory, &name, flags, Mode::empty(), beneath())?;
                self.directory(&inner, &path)?;
            }
        }
        Ok(())
    }

    /// The content of a file, and an empty packet at its end.
    fn content(&self, id: u32) -> io::Result<()> {
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
