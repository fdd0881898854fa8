//! What a header and its extended headers say together.

use super::extended::Extended;
use super::{Entry, EntryKind, HEADER_SIZE_MAX, TarError, TarReader, text, until_nul};
use crate::layer::attributes::{Attributes, Timestamp};
use crate::layer::number::parse_field;

/// The kernel keeps 12 bits of the major number and 20 of the minor one, and drops the others without a word:
/// 4096:0 would become 0:0, a whiteout.
const DEVICE_MAJOR_MAX: u32 = (1 << 12) - 1;
const DEVICE_MINOR_MAX: u32 = (1 << 20) - 1;

impl TarReader<'_> {
    pub(super) fn entry(
        &mut self,
        header: &tar::Header,
        header_size: u64,
        extended: Extended,
    ) -> Result<Entry, TarError> {
        let old = header.as_old();
        let path = extended.path.clone().or_else(|| extended.gnu_path.clone());
        let path = path.unwrap_or_else(|| header_path(header));
        let link = extended.link.clone().or_else(|| extended.gnu_link.clone());
        let link = link.unwrap_or_else(|| until_nul(&old.linkname).to_vec());
        for name in [&path, &link] {
            if name.len() > self.limits.path_bytes_max {
                let max = self.limits.path_bytes_max as u64;
                return Err(TarError::TooMany { what: "bytes in a path", max });
            }
        }
        let kind = self.kind(header, &path)?;
        let attributes = self.attributes(header, &extended)?;
        let mut entry = Entry { path, link, kind, attributes, size: 0, extents: None };
        let stored = stored_size(&entry, header_size, extended.size)?;
        match kind {
            EntryKind::File => self.start_file(&mut entry, header, stored, extended.sparse)?,
            _ if stored != 0 => return Err(self.malformed("bytes behind an entry that has none")),
            _ => {}
        }
        Ok(entry)
    }

    fn kind(&self, header: &tar::Header, path: &[u8]) -> Result<EntryKind, TarError> {
        let device = || -> Result<(u32, u32), TarError> {
            let fields = match (header.as_ustar(), header.as_gnu()) {
                (Some(ustar), _) => (&ustar.dev_major, &ustar.dev_minor),
                (_, Some(gnu)) => (&gnu.dev_major, &gnu.dev_minor),
                _ => return Err(self.malformed("a device in the v7 format")),
            };
            let number = |field: &[u8]| {
                let number = self.unsigned(field, "device number")?;
                u32::try_from(number).map_err(|_| self.malformed("device number"))
            };
            let (major, minor) = (number(fields.0)?, number(fields.1)?);
            match major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX {
                true => Err(self.malformed("device number")),
                false => Ok((major, minor)),
            }
        };
        Ok(match header.as_old().linkflag[0] {
            // v7 marked a directory by the slash after its name.
            0 if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => device().map(|(major, minor)| EntryKind::Character { major, minor })?,
            b'4' => device().map(|(major, minor)| EntryKind::Block { major, minor })?,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            kind => return Err(TarError::UnknownType { path: text(path), kind: char::from(kind) }),
        })
    }

    fn attributes(&self, header: &tar::Header, extended: &Extended) -> Result<Attributes, TarError> {
        let old = header.as_old();
        let id = |field: &[u8], what| {
            let id = self.unsigned(field, what)?;
            valid_id(id).ok_or_else(|| self.malformed(what))
        };
        let mtime = match extended.mtime {
            Some(mtime) => mtime,
            None => {
                let seconds = parse_field(&old.mtime).ok_or_else(|| self.malformed("mtime"))?;
                Timestamp { seconds, nanoseconds: 0 }
            }
        };
        Ok(Attributes {
            uid: extended.uid.map_or_else(|| id(&old.uid, "uid"), Ok)?,
            gid: extended.gid.map_or_else(|| id(&old.gid, "gid"), Ok)?,
            mode: (self.unsigned(&old.mode, "mode")? & 0o7777) as u32,
            mtime: Some(mtime),
            xattrs: extended.xattrs.clone(),
        })
    }
}

/// The stored bytes behind an entry. Header and extended header may differ only where the header cannot
/// hold the size: there writers put zero or the largest number.
fn stored_size(entry: &Entry, header: u64, extended: Option<u64>) -> Result<u64, TarError> {
    let Some(extended) = extended else { return Ok(header) };
    let unrepresentable = extended > HEADER_SIZE_MAX && (header == 0 || header == HEADER_SIZE_MAX);
    match header == extended || unrepresentable {
        true => Ok(extended),
        false => Err(TarError::TwoSizes { path: entry.path_text(), header, extended }),
    }
}

fn header_path(header: &tar::Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        Some(prefix) if !prefix.is_empty() => [prefix, b"/", name].concat(),
        _ => name.to_vec(),
    }
}

/// The largest id means "leave it" to chown(2), so no file can have it.
pub(super) fn valid_id(id: u64) -> Option<u32> {
    u32::try_from(id).ok().filter(|id| *id != u32::MAX)
}
