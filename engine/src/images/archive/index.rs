//! Finds the members of a tar without reading their bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::ArchiveError;
use super::limits::{EXTENDED_HEADER_BYTES_MAX, MEMBERS_MAX, NAME_BYTES_MAX};

const BLOCK_BYTES: u64 = 512;

/// Where the bytes of a member are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Member {
    /// Bytes of the archive.
    File { offset: u64, size_bytes: u64 },
    /// Another member holds them.
    Link { target: String },
}

/// What the headers before a member say about it.
#[derive(Default)]
struct Extended {
    path: Option<String>,
    link: Option<String>,
    size_bytes: Option<u64>,
}

/// The files and links in the tar by their names in normal form; directories do not matter.
pub(super) fn members(file: &File, length: u64) -> Result<BTreeMap<String, Member>, ArchiveError> {
    let mut members = BTreeMap::new();
    let mut extended = Extended::default();
    let (mut at, mut headers) = (0, 0);
    while let Some(header) = header_at(file, length, at)? {
        headers += 1;
        if headers > MEMBERS_MAX {
            return Err(ArchiveError::TooMany { what: "members", max: MEMBERS_MAX });
        }
        let broken = |what| ArchiveError::Header { at, what };
        let header_size = header.entry_size().map_err(|_| broken("its size is no number"))?;
        let offset = at + BLOCK_BYTES;
        let kind = header.entry_type();
        let size_bytes = if is_extension(kind) {
            read_extension(file, length, &header, (offset, header_size), &mut extended)?;
            header_size
        } else {
            let extended = std::mem::take(&mut extended);
            let size_bytes =
                agreed_size(header_size, extended.size_bytes).ok_or_else(|| broken("it has two sizes"))?;
            if let Some((name, member)) = member(&header, extended, offset, size_bytes)?
                && members.insert(name.clone(), member).is_some()
            {
                return Err(ArchiveError::Twice { name });
            }
            size_bytes
        };
        let end = offset.checked_add(size_bytes).ok_or_else(|| broken("its size is too large"))?;
        if end > length {
            return Err(ArchiveError::Truncated { at: length });
        }
        at = end.next_multiple_of(BLOCK_BYTES);
    }
    Ok(members)
}

/// The header at a place; none at the end of the tar, be it marked or not.
fn header_at(file: &File, length: u64, at: u64) -> Result<Option<tar::Header>, ArchiveError> {
    if at >= length {
        return Ok(None);
    }
    let mut block = [0; BLOCK_BYTES as usize];
    read_at(file, length, at, &mut block)?;
    if block.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = tar::Header::from_byte_slice(&block).clone();
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(i, byte)| if (148..156).contains(&i) { 32 } else { u32::from(*byte) })
        .sum();
    match header.cksum() {
        Ok(expected) if expected == sum => Ok(Some(header)),
        _ if at == 0 => Err(ArchiveError::NotAnArchive),
        _ => Err(ArchiveError::Header { at, what: "its checksum is wrong" }),
    }
}

fn read_at(file: &File, length: u64, at: u64, buffer: &mut [u8]) -> Result<(), ArchiveError> {
    file.read_exact_at(buffer, at).map_err(|source| match source.kind() {
        io::ErrorKind::UnexpectedEof => ArchiveError::Truncated { at: length },
        _ => ArchiveError::Read { source },
    })
}

fn is_extension(kind: tar::EntryType) -> bool {
    kind.is_gnu_longname()
        || kind.is_gnu_longlink()
        || kind.is_pax_local_extensions()
        || kind.is_pax_global_extensions()
}

fn read_extension(
    file: &File,
    length: u64,
    header: &tar::Header,
    (offset, size_bytes): (u64, u64),
    extended: &mut Extended,
) -> Result<(), ArchiveError> {
    let kind = header.entry_type();
    let (what, max) = match kind.is_gnu_longname() || kind.is_gnu_longlink() {
        true => ("bytes in a member name", NAME_BYTES_MAX),
        false => ("bytes in an extended header", EXTENDED_HEADER_BYTES_MAX),
    };
    if size_bytes > max {
        return Err(ArchiveError::TooMany { what, max });
    }
    // What a global header says is only a default for things that do not matter here.
    if kind.is_pax_global_extensions() {
        return Ok(());
    }
    let mut bytes = vec![0; usize::try_from(size_bytes).expect("it is below the limit")];
    read_at(file, length, offset, &mut bytes)?;
    if kind.is_gnu_longname() {
        extended.path = Some(name_of(&bytes));
    } else if kind.is_gnu_longlink() {
        extended.link = Some(name_of(&bytes));
    } else {
        let broken = || ArchiveError::Header { at: offset, what: "the extended header is malformed" };
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record.map_err(|_| broken())?;
            match record.key_bytes() {
                b"path" => extended.path = Some(name_of(record.value_bytes())),
                b"linkpath" => extended.link = Some(name_of(record.value_bytes())),
                b"size" => {
                    let value = record.value().ok().and_then(|value| value.parse().ok());
                    extended.size_bytes = Some(value.ok_or_else(broken)?);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// A header without a size leaves it to its extended header; two different sizes would let two readers see
/// two different archives.
fn agreed_size(header: u64, extended: Option<u64>) -> Option<u64> {
    match extended {
        None => Some(header),
        Some(extended) if header == 0 || header == extended => Some(extended),
        Some(_) => None,
    }
}

fn member(
    header: &tar::Header,
    extended: Extended,
    offset: u64,
    size_bytes: u64,
) -> Result<Option<(String, Member)>, ArchiveError> {
    let path = extended.path.unwrap_or_else(|| name_of(&header.path_bytes()));
    let kind = header.entry_type();
    if path.len() as u64 > NAME_BYTES_MAX {
        return Err(ArchiveError::TooMany { what: "bytes in a member name", max: NAME_BYTES_MAX });
    }
    let name = normal_name("", &path)?;
    let member = if kind.is_file() || kind.is_contiguous() {
        Member::File { offset, size_bytes }
    } else if kind.is_symlink() || kind.is_hard_link() {
        let link = header.link_name_bytes().unwrap_or_default();
        let link = extended.link.unwrap_or_else(|| name_of(&link));
        // A hard link counts from the root of the archive, a symbolic one from where it stands.
        let from =
            if kind.is_symlink() { name.rsplit_once('/').map_or("", |(parent, _)| parent) } else { "" };
        Member::Link { target: normal_name(from, &link)? }
    } else {
        return Ok(None);
    };
    Ok(Some((name, member)))
}

fn name_of(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// A name without `.`, `..` and doubled slashes, seen from a directory of the archive.
pub(super) fn normal_name(from: &str, name: &str) -> Result<String, ArchiveError> {
    let mut parts: Vec<&str> = if name.starts_with('/') { Vec::new() } else { split(from).collect() };
    for part in split(name) {
        match part {
            "." => {}
            ".." => {
                parts.pop().ok_or_else(|| ArchiveError::Escapes { name: name.to_owned() })?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

fn split(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_normal() {
        for (from, name, expected) in [
            ("", "./a//b/", Some("a/b")),
            ("", "/a", Some("a")),
            ("x", "../y/layer.tar", Some("y/layer.tar")),
            ("x/y", "a", Some("x/y/a")),
            ("x", "/a", Some("a")),
            ("", "../a", None),
            ("x", "../../a", None),
            ("", "a/../../b", None),
        ] {
            assert_eq!(normal_name(from, name).ok().as_deref(), expected, "{from} {name}");
        }
    }
}
