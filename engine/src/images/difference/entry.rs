//! The entries of a layer's tar, for a comparison.

use std::io::{self, Read};

use image::{Digest, Sha256};

use crate::images::ImageError;
use crate::images::layers::LayerTar;

const BLOCK_BYTES: usize = 64 << 10;
/// What entries are called that remove something, see the OCI image specification.
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    type_flag: u8,
    pub(super) mode: u32,
    uid: u64,
    gid: u64,
    pub(super) mtime_unix_s: u64,
    link: Vec<u8>,
    device: (u32, u32),
    xattrs: Vec<(String, Vec<u8>)>,
    pub(super) size_bytes: u64,
    pub(super) content: Digest,
}

impl Entry {
    /// The path from the root of the image.
    pub(super) fn shown(&self) -> String {
        format!("/{}", String::from_utf8_lossy(&self.path).trim_end_matches('/'))
    }

    /// By which entries are in order in a tar of ours: parents first, names in byte order.
    pub(super) fn place(&self) -> Vec<&[u8]> {
        let names = self.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        names
            .map(|name| if name == OPAQUE { b"" } else { name.strip_prefix(WHITEOUT).unwrap_or(name) })
            .collect()
    }

    /// What it is, in a word.
    pub(super) fn kind(&self) -> String {
        match self.type_flag {
            _ if self.place_is_hidden() => "removal".to_owned(),
            b'0' => "file".to_owned(),
            b'1' => "hard link".to_owned(),
            b'2' => "symbolic link".to_owned(),
            b'3' => format!("character device {}:{}", self.device.0, self.device.1),
            b'4' => format!("block device {}:{}", self.device.0, self.device.1),
            b'5' => "directory".to_owned(),
            b'6' => "pipe".to_owned(),
            other => format!("entry of type {other}"),
        }
    }

    fn place_is_hidden(&self) -> bool {
        self.path.rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(WHITEOUT))
    }

    pub(super) fn owner(&self) -> String {
        format!("{}:{}", self.uid, self.gid)
    }

    pub(super) fn target(&self) -> String {
        String::from_utf8_lossy(&self.link).into_owned()
    }

    pub(super) fn xattrs(&self) -> String {
        let shown = |(name, value): &(String, Vec<u8>)| format!("{name}={}", String::from_utf8_lossy(value));
        self.xattrs.iter().map(shown).collect::<Vec<_>>().join(" ")
    }
}

/// All entries of a layer, in the order of its tar.
pub(super) fn entries(layer: &LayerTar) -> Result<Vec<Entry>, ImageError> {
    let (reader, writer) = io::pipe().map_err(|source| ImageError::WriteStream { source })?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut to = io::BufWriter::with_capacity(BLOCK_BYTES, writer);
            layer.write(&mut to, None, &|_, _, _| ())
        });
        let read = read(io::BufReader::with_capacity(BLOCK_BYTES, reader));
        let written = writing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        match (written, read) {
            (Ok(()) | Err(ImageError::WriteStream { .. }), Err(source)) => {
                Err(ImageError::Read { path: layer.diff_id.to_string().into(), source })
            }
            (written, read) => written.map(|()| read.unwrap_or_default()),
        }
    })
}

fn read(reader: impl Read) -> io::Result<Vec<Entry>> {
    let mut archive = tar::Archive::new(reader);
    let mut entries = Vec::new();
    for entry in archive.entries()? {
        entries.push(one(entry?)?);
    }
    // The writer comes to its end as well.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(entries)
}

/// Only device files have numbers.
fn device(header: &tar::Header) -> io::Result<(u32, u32)> {
    match header.entry_type() {
        tar::EntryType::Char | tar::EntryType::Block => {
            Ok((header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0)))
        }
        _ => Ok((0, 0)),
    }
}

fn one(mut entry: tar::Entry<'_, impl Read>) -> io::Result<Entry> {
    let mut xattrs = Vec::new();
    if let Some(records) = entry.pax_extensions()? {
        for record in records {
            let record = record?;
            let name = String::from_utf8_lossy(record.key_bytes()).into_owned();
            if let Some(name) = name.strip_prefix("SCHILY.xattr.") {
                xattrs.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
    }
    let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
    loop {
        match entry.read(&mut block)? {
            0 => break,
            count => hash.update(&block[..count]),
        }
    }
    let header = entry.header();
    Ok(Entry {
        path: entry.path_bytes().into_owned(),
        type_flag: header.entry_type().as_byte(),
        mode: header.mode()?,
        uid: header.uid()?,
        gid: header.gid()?,
        mtime_unix_s: header.mtime()?,
        link: entry.link_name_bytes().map(|name| name.into_owned()).unwrap_or_default(),
        device: device(header)?,
        xattrs,
        size_bytes: entry.size(),
        content: hash.finish(),
    })
}
