//! News of a pull or a push, as data.

use std::sync::Arc;

/// What became of one layer, or how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The layer, by the twelve digits that people read.
    pub layer: String,
    /// How far it is.
    pub stage: Stage,
}

/// How far a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// It will be pulled.
    Waiting,
    /// Bytes have come.
    Downloading {
        /// So many.
        current: u64,
        /// Of so many.
        total: u64,
    },
    /// All bytes are here and right.
    Downloaded,
    /// Bytes were unpacked.
    Extracting {
        /// So many, compressed.
        current: u64,
        /// Of so many.
        total: u64,
    },
    /// It is in the store.
    Pulled,
    /// It was in the store already.
    Present,
    /// It will be pushed.
    Preparing,
    /// The registry has bytes.
    Pushing {
        /// So many.
        current: u64,
        /// Of so many.
        total: u64,
    },
    /// The registry has it.
    Pushed,
    /// The registry had it already.
    PresentThere,
    /// The registry took it over from another repository.
    Mounted {
        /// Which.
        from: String,
    },
    /// It is not pushed: only other servers may have it.
    Foreign,
}

/// Hears the news, from any thread, in order for each layer.
pub type OnTransfer = Arc<dyn Fn(Transfer) + Send + Sync>;

/// Tells the news of one layer.
#[derive(Clone)]
pub(crate) struct Teller {
    pub(crate) layer: String,
    pub(crate) on_transfer: OnTransfer,
}

impl Teller {
    pub(crate) fn new(digest: &image::Digest, on_transfer: &OnTransfer) -> Self {
        Self { layer: super::short_digest(digest), on_transfer: on_transfer.clone() }
    }

    pub(crate) fn tell(&self, stage: Stage) {
        (self.on_transfer)(Transfer { layer: self.layer.clone(), stage });
    }
}
