//! Writes tar headers: ustar where it suffices, PAX records only where it does not.

use super::attributes::Xattr;
use super::number::{octal_max, put_octal};
use super::pax;
use super::read::{HEADER_SIZE_MAX, XATTR_KEY_PREFIX};

/// Seven octal digits.
const ID_MAX: u64 = octal_max(7);
const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;
const BLOCK_BYTES: usize = 512;
/// The name of an extended header is only for those who do not know them.
const PAX_DIRECTORY: &[u8] = b"PaxHeaders/";
const PAX_MODE: u64 = 0o644;

/// What one header says.
pub(crate) struct Header<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) link: &'a [u8],
    pub(crate) type_flag: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) mtime_seconds: i64,
    pub(crate) device: Option<(u32, u32)>,
    pub(crate) xattrs: &'a [Xattr],
}

impl Header<'_> {
    /// Appends the blocks of the header, an extended one in front where it is needed.
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        let (fits, block) = self.block();
        let records = self.records(&fits);
        if !records.is_empty() {
            to.extend_from_slice(&pax_block(self.path, records.len() as u64));
            to.extend_from_slice(&records);
            pad(to, records.len() as u64);
        }
        to.extend_from_slice(&block);
    }

    fn block(&self) -> (Fits, [u8; BLOCK_BYTES]) {
        let mut header = tar::Header::new_ustar();
        let ustar = header.as_ustar_mut().expect("a new ustar header is one");
        let fits = Fits {
            path: put_path(ustar, self.path),
            link: put_text(&mut ustar.linkname, self.link),
            uid: put(&mut ustar.uid, u64::from(self.uid), ID_MAX),
            gid: put(&mut ustar.gid, u64::from(self.gid), ID_MAX),
            size: put(&mut ustar.size, self.size, HEADER_SIZE_MAX),
            mtime: put(
                &mut ustar.mtime,
                u64::try_from(self.mtime_seconds).unwrap_or(u64::MAX),
                HEADER_SIZE_MAX,
            ),
        };
        put_octal(&mut ustar.mode, u64::from(self.mode));
        ustar.typeflag = [self.type_flag];
        if let Some((major, minor)) = self.device {
            // Linux has 12 bits for the major and 20 for the minor number.
            put_octal(&mut ustar.dev_major, u64::from(major));
            put_octal(&mut ustar.dev_minor, u64::from(minor));
        }
        header.set_cksum();
        (fits, *header.as_bytes())
    }

    /// The records for what the ustar header cannot hold.
    fn records(&self, fits: &Fits) -> Vec<u8> {
        let mut records = Vec::new();
        let mut put = |fits: bool, key: &[u8], value: &[u8]| {
            if !fits {
                pax::push(&mut records, key, value);
            }
        };
        put(fits.path, b"path", self.path);
        put(fits.link, b"linkpath", self.link);
        put(fits.size, b"size", self.size.to_string().as_bytes());
        put(fits.uid, b"uid", self.uid.to_string().as_bytes());
        put(fits.gid, b"gid", self.gid.to_string().as_bytes());
        put(fits.mtime, b"mtime", self.mtime_seconds.to_string().as_bytes());
        // They come sorted by name.
        for (name, value) in self.xattrs {
            put(false, &[XATTR_KEY_PREFIX, name].concat(), value);
        }
        records
    }
}

/// Which fields the ustar header could hold.
struct Fits {
    path: bool,
    link: bool,
    uid: bool,
    gid: bool,
    size: bool,
    mtime: bool,
}

fn pax_block(path: &[u8], size: u64) -> [u8; BLOCK_BYTES] {
    let trimmed = path.strip_suffix(b"/").unwrap_or(path);
    let base = trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or(trimmed);
    let base = &base[..base.len().min(NAME_BYTES - PAX_DIRECTORY.len())];
    let mut header = tar::Header::new_ustar();
    let ustar = header.as_ustar_mut().expect("a new ustar header is one");
    put_text(&mut ustar.name, &[PAX_DIRECTORY, base].concat());
    put_octal(&mut ustar.mode, PAX_MODE);
    put_octal(&mut ustar.uid, 0);
    put_octal(&mut ustar.gid, 0);
    put_octal(&mut ustar.size, size);
    put_octal(&mut ustar.mtime, 0);
    ustar.typeflag = [b'x'];
    header.set_cksum();
    *header.as_bytes()
}

/// Appends zeros up to a whole block behind `size` bytes.
pub(crate) fn pad(to: &mut Vec<u8>, size: u64) {
    let partial = (size % BLOCK_BYTES as u64) as usize;
    if partial > 0 {
        to.resize(to.len() + BLOCK_BYTES - partial, 0);
    }
}

fn put(field: &mut [u8], value: u64, max: u64) -> bool {
    let fits = value <= max;
    put_octal(field, if fits { value } else { 0 });
    fits
}

/// Puts as much of `text` into the field as it holds.
fn put_text(field: &mut [u8], text: &[u8]) -> bool {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text[..length]);
    length == text.len()
}

/// Puts the path into the name, or divides it at a slash between prefix and name.
fn put_path(ustar: &mut tar::UstarHeader, path: &[u8]) -> bool {
    if put_text(&mut ustar.name, path) {
        return true;
    }
    let divides = |at: &usize| {
        let name_bytes = path.len() - at - 1;
        path[*at] == b'/' && (1..=NAME_BYTES).contains(&name_bytes)
    };
    let Some(at) = (1..path.len().min(PREFIX_BYTES + 1)).rev().find(divides) else { return false };
    ustar.name = [0; NAME_BYTES];
    put_text(&mut ustar.name, &path[at + 1..]) && put_text(&mut ustar.prefix, &path[..at])
}
