//! Looks whether everything in a store is what it says it is.
//!
//! Nothing needs this: whatever reads a file of the store notices damage, and takes it for a miss. But files inside
//! of layers are read by programs, which notice nothing.

mod files;
mod images;
mod layers;
mod told;

use image::Digest;

use crate::codec::Damage;
use crate::{LayerId, Store, StoreError};

/// What to do about what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Nothing.
    Leave,
    /// Take it away: whatever pointed at it is a miss then, and is built, pulled or imported anew.
    TakeAway,
}

/// What was wrong, with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or directory, below the root of the store.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
    /// Whether it was taken away.
    pub is_repaired: bool,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A small file of the store.
    #[error("it is damaged: {what}")]
    Damaged {
        /// What was seen.
        what: String,
    },
    /// The disk does not give it back.
    #[error("it cannot be read: {what}")]
    Unreadable {
        /// What the kernel said.
        what: String,
    },
    /// The bytes of a blob.
    #[error("its bytes have the digest {actual}")]
    WrongDigest {
        /// Of the bytes.
        actual: Digest,
    },
    /// A file that is whole, under a name that is another one's.
    #[error("it is not the file that its name says")]
    WrongName,
    /// It points at a layer.
    #[error("layer {layer} is gone")]
    NoLayer {
        /// Which.
        layer: LayerId,
    },
    /// An image without its config or its manifest.
    #[error("blob {blob} is gone")]
    NoBlob {
        /// Which.
        blob: Digest,
    },
    /// A name of an image.
    #[error("image {image} is gone")]
    NoImage {
        /// Its id.
        image: Digest,
    },
    /// The files of a layer.
    #[error("its files are not those that were committed: their {what} has changed")]
    LayerChanged {
        /// Which digest tells.
        what: &'static str,
    },
    /// The files of a layer, when what was learned of them is damaged, and no image and no name has their digest.
    #[error("nothing tells any more what its files were")]
    LayerForgotten,
    /// The layers of an image.
    #[error("its layers are not those of its config")]
    WrongLayers,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs.
    pub blobs: u64,
    /// Layers.
    pub layers: u64,
    /// Key records.
    pub records: u64,
    /// Images.
    pub images: u64,
    /// Names of images.
    pub tags: u64,
    /// Other small files: names of diff ids, indexes of contexts, durable marks, stamps.
    pub others: u64,
    /// Whatever is wrong, in the order in which it was found.
    pub problems: Vec<Problem>,
}

impl Store {
    /// Reads everything in the store, and verifies it: blobs against their digests, layers against what was learned of
    /// them when they were made, small files against their checksums and names, and that what is pointed at is there.
    ///
    /// What others publish and remove meanwhile is not counted as wrong. What a running build or container uses is
    /// not taken away. Does not sync.
    pub fn check(&self, repair: Repair) -> Result<Checked, StoreError> {
        let mut check = Check { store: self, repair, checked: Checked::default() };
        // What is pointed at comes first: what points at something that was taken away is taken away after it.
        check.blobs()?;
        check.layers()?;
        check.diff_ids()?;
        check.records()?;
        check.images()?;
        check.tags()?;
        check.others()?;
        Ok(check.checked)
    }
}

/// A check that goes on.
struct Check<'a> {
    store: &'a Store,
    repair: Repair,
    checked: Checked,
}

impl Check<'_> {
    /// Something is wrong with a file, which nobody misses when it is gone.
    fn found(&mut self, path: &str, fault: Fault) -> Result<(), StoreError> {
        let is_repaired = match self.repair {
            Repair::Leave => false,
            Repair::TakeAway => {
                self.store.disk().remove(path)?;
                true
            }
        };
        self.note(path, fault, is_repaired);
        Ok(())
    }

    fn note(&mut self, path: &str, fault: Fault, is_repaired: bool) {
        self.checked.problems.push(Problem { path: path.to_owned(), fault, is_repaired });
    }
}

impl From<Damage> for Fault {
    fn from(damage: Damage) -> Self {
        Self::Damaged { what: damage.to_string() }
    }
}
