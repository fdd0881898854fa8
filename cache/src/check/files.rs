//! Blobs, records, and the small files that everything else is known by.

use std::io::Read as _;

use image::{BlobDigest, DiffId, Digest, Sha256};

use super::{Check, Fault};
use crate::codec::{self, Damage};
use crate::context::check_index;
use crate::gc::growth;
use crate::{Key, StoreError, marker};

/// Block in which blobs are read.
const BLOCK_BYTES: usize = 256 << 10;
/// The largest small file: an index of a context of some ten million files.
const FILE_BYTES_MAX: u64 = 4 << 30;

impl Check<'_> {
    pub(super) fn blobs(&mut self) -> Result<(), StoreError> {
        for name in self.store.disk().names("blobs/sha256")? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            let Some(read) = self.digest(&BlobDigest(digest))? else { continue };
            self.checked.blobs += 1;
            let path = format!("blobs/sha256/{name}");
            match read {
                Ok(actual) if actual == digest => {}
                Ok(actual) => self.found(&path, Fault::WrongDigest { actual })?,
                Err(error) => self.found(&path, Fault::Unreadable { what: error.to_string() })?,
            }
        }
        Ok(())
    }

    /// None when somebody has removed it meanwhile.
    fn digest(&self, blob: &BlobDigest) -> Result<Option<std::io::Result<Digest>>, StoreError> {
        let Some(mut file) = self.store.open_blob(blob)? else { return Ok(None) };
        let (mut hash, mut block) = (Sha256::new(), vec![0; BLOCK_BYTES]);
        loop {
            match file.read(&mut block) {
                Ok(0) => return Ok(Some(Ok(hash.finish()))),
                Ok(count) => hash.update(&block[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Ok(Some(Err(error))),
            }
        }
    }

    pub(super) fn records(&mut self) -> Result<(), StoreError> {
        for shard in self.store.disk().names("records")? {
            for name in self.store.disk().names(&format!("records/{shard}"))? {
                let path = format!("records/{shard}/{name}");
                let Ok(key) = Digest::from_hex(&name) else { continue };
                if !self.envelope(&path)? {
                    continue;
                }
                self.checked.records += 1;
                match self.store.load_record(&Key(key))? {
                    Some(record) => {
                        if let Some(layer) = self.missing(&record.layers)? {
                            self.found(&path, Fault::NoLayer { layer })?;
                        }
                    }
                    None => self.misnamed(&path)?,
                }
            }
        }
        Ok(())
    }

    pub(super) fn diff_ids(&mut self) -> Result<(), StoreError> {
        for name in self.store.disk().names("diff-ids")? {
            let path = format!("diff-ids/{name}");
            let Ok(diff_id) = Digest::from_hex(&name) else { continue };
            if !self.envelope(&path)? {
                continue;
            }
            self.checked.others += 1;
            match self.store.named_layer(&DiffId(diff_id))? {
                Some(layer) => {
                    if let Some(layer) = self.missing(&[layer])? {
                        self.found(&path, Fault::NoLayer { layer })?;
                    }
                }
                None => self.misnamed(&path)?,
            }
        }
        Ok(())
    }

    /// Indexes of contexts, durable marks, stamps of cache mounts, how full the store is.
    pub(super) fn others(&mut self) -> Result<(), StoreError> {
        for name in self.store.disk().names("contexts")? {
            self.other(&format!("contexts/{name}"), check_index)?;
        }
        for name in self.store.disk().names("durable")? {
            let check: fn(&[u8]) -> Result<(), Damage> =
                if name.len() == 16 { codec::check } else { marker::check_folded };
            self.other(&format!("durable/{name}"), check)?;
        }
        for base in self.store.disk().names("mounts")? {
            for number in self.store.disk().names(&format!("mounts/{base}"))? {
                let directory = format!("mounts/{base}/{number}");
                let names = self.store.disk().names(&directory)?;
                for stamp in names.iter().filter(|name| name.starts_with("used.")) {
                    self.other(&format!("{directory}/{stamp}"), codec::check)?;
                }
            }
        }
        self.other(growth::FILE, growth::check)
    }

    fn other(&mut self, path: &str, check: fn(&[u8]) -> Result<(), Damage>) -> Result<(), StoreError> {
        match self.store.disk().read(path, FILE_BYTES_MAX) {
            Ok(None) => return Ok(()),
            Ok(Some(bytes)) => {
                if let Err(damage) = check(&bytes) {
                    self.found(path, damage.into())?;
                }
            }
            Err(error) => self.found(path, unreadable(&error))?,
        }
        self.checked.others += 1;
        Ok(())
    }

    /// Whether a small file is there, and whole.
    pub(super) fn envelope(&mut self, path: &str) -> Result<bool, StoreError> {
        match self.store.disk().read(path, FILE_BYTES_MAX) {
            Ok(None) => Ok(false),
            Ok(Some(bytes)) => match codec::check(&bytes) {
                Ok(()) => Ok(true),
                Err(damage) => self.found(path, damage.into()).map(|()| false),
            },
            Err(error) => self.found(path, unreadable(&error)).map(|()| false),
        }
    }

    /// A file that is whole, and yet not what is looked for under its name. One that was not durable when the machine
    /// went down is not wrong: it does not count.
    pub(super) fn misnamed(&mut self, path: &str) -> Result<(), StoreError> {
        let bytes = self.store.disk().read(path, FILE_BYTES_MAX)?;
        let Some(stamp) = bytes.as_deref().and_then(codec::stamp) else { return Ok(()) };
        if self.store.inner.durability.holds(self.store.disk(), &stamp)? {
            self.found(path, Fault::WrongName)?;
        }
        Ok(())
    }
}

pub(super) fn unreadable(error: &StoreError) -> Fault {
    let source = std::error::Error::source(error).map(ToString::to_string);
    Fault::Unreadable { what: source.unwrap_or_else(|| error.to_string()) }
}
