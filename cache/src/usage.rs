//! How much of what is in the store.

use image::{BlobDigest, Digest};

use crate::{LayerId, Store, StoreError};

/// A number of things and what they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amount {
    /// How many there are.
    pub count: u64,
    /// Sum of their sizes in bytes. For layers, of their files' sizes.
    pub size_bytes: u64,
}

impl Amount {
    pub(crate) fn add(&mut self, size_bytes: u64) {
        self.count += 1;
        self.size_bytes += size_bytes;
    }
}

/// What is in a store, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Layers, whether or not a record points at them.
    pub layers: Amount,
    /// Configs, manifests and kept layer blobs.
    pub blobs: Amount,
    /// Key records.
    pub records: Amount,
    /// Images that are whole.
    pub images: u64,
    /// Stat indexes of build contexts.
    pub contexts: Amount,
}

impl Store {
    /// Adds up what is in the store. Layers whose size is not known yet are walked.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let mut usage = Usage { images: self.images()?.len() as u64, ..Usage::default() };
        for name in self.disk().names("layers")? {
            let Ok(id) = name.parse::<LayerId>() else { continue };
            if let Some(layer) = self.layer(&id)? {
                usage.layers.add(layer.size_bytes()?);
            }
        }
        for name in self.disk().names("blobs/sha256")? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            // Removed by somebody else since it was listed.
            let Some(blob) = self.open_blob(&BlobDigest(digest))? else { continue };
            let metadata = blob.metadata().map_err(|source| self.disk().read_error(&name, source))?;
            usage.blobs.add(metadata.len());
        }
        for shard in self.disk().names("records")? {
            usage.records = self.add_files(&format!("records/{shard}"), usage.records)?;
        }
        usage.contexts = self.add_files("contexts", usage.contexts)?;
        Ok(usage)
    }

    fn add_files(&self, directory: &str, mut amount: Amount) -> Result<Amount, StoreError> {
        for name in self.disk().names(directory)? {
            let name = format!("{directory}/{name}");
            let Some(file) = self.disk().open_file(&name)? else { continue };
            let metadata = file.metadata().map_err(|source| self.disk().read_error(&name, source))?;
            amount.add(metadata.len());
        }
        Ok(amount)
    }
}
