//! Which records survive a power cut: boot ids, sequence numbers and "durable up to here" markers.
//!
//! Nothing is synced when it is published. Within one boot that is no loss: the page cache is coherent, so
//! whatever was renamed into place is whole, also after `kill -9`. After a reboot only that counts which a
//! later `syncfs` covered. So every record carries a [`Stamp`], and [`Durability::advance`] writes, after
//! one `syncfs`, which sequence numbers of this session are safe from then on.
//!
//! A sequence number is taken before its record is written, and `advance` waits for every record whose
//! number it is going to cover. A record's layers and blobs are published before the record, so whatever a
//! covered record points at is covered as well, no matter which process made it: `syncfs` knows no owners.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::codec::{Damage, Decoder, Encoder};
use crate::disk::Disk;
use crate::{StoreError, id, marker};

/// Where the kernel tells its boot id, see random(4).
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// One start of the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BootId(pub(crate) [u8; 16]);

impl BootId {
    /// The boot that is running now.
    pub(crate) fn current() -> Result<Self, StoreError> {
        let read_error = |source| StoreError::Read { path: BOOT_ID_PATH.into(), source };
        let mut text = [0; 64];
        let mut file = std::fs::File::open(BOOT_ID_PATH).map_err(read_error)?;
        let count = file.read(&mut text).map_err(read_error)?;
        let digits: Vec<u8> = text[..count].iter().copied().filter(u8::is_ascii_hexdigit).collect();
        let bytes = const_hex::decode_to_array(&digits)
            .map_err(|error| read_error(std::io::Error::new(std::io::ErrorKind::InvalidData, error)))?;
        Ok(Self(bytes))
    }
}

/// When and by whom a record was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) boot: BootId,
    pub(crate) session: u64,
    pub(crate) sequence: u64,
}

impl Stamp {
    pub(crate) fn encode(&self, encoder: &mut Encoder) {
        encoder.raw(&self.boot.0);
        encoder.u64(self.session);
        encoder.u64(self.sequence);
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, Damage> {
        Ok(Self { boot: BootId(decoder.raw()?), session: decoder.u64()?, sequence: decoder.u64()? })
    }
}

/// Hands out stamps, and decides which stamps hold.
pub(crate) struct Durability {
    boot: BootId,
    /// Random: names this opening of the store.
    session: u64,
    sequence: AtomicU64,
    /// Publishers read, [`Self::advance`] writes: it waits until all that have a number are in place.
    publishing: RwLock<()>,
    /// Up to which sequence number this session is durable. Held while syncing.
    durable: Mutex<u64>,
    /// What markers of sessions said that have ended, or are of earlier boots; those cannot change any more.
    markers: Mutex<HashMap<u64, u64>>,
}

impl Durability {
    pub(crate) fn new(boot: BootId) -> Self {
        let mut session = [0; 8];
        id::random(&mut session);
        Self {
            boot,
            session: u64::from_le_bytes(session),
            sequence: AtomicU64::new(0),
            publishing: RwLock::new(()),
            durable: Mutex::new(0),
            markers: Mutex::new(HashMap::new()),
        }
    }

    /// The boot that goes on.
    pub(crate) fn boot(&self) -> BootId {
        self.boot
    }

    /// Names this opening of the store.
    pub(crate) fn session(&self) -> u64 {
        self.session
    }

    /// Begins to publish something; what is published while the guard lives is covered by the next
    /// [`Self::advance`] that begins after it is dropped.
    pub(crate) fn publish(&self) -> Publishing<'_> {
        let guard = self.publishing.read().unwrap_or_else(PoisonError::into_inner);
        let sequence = self.sequence.fetch_add(1, Ordering::SeqCst) + 1;
        let stamp = Stamp { boot: self.boot, session: self.session, sequence };
        Publishing { stamp, _guard: guard }
    }

    /// Whether a record with this stamp may be used: it was written in this boot, or it is durable.
    pub(crate) fn holds(&self, disk: &Disk, stamp: &Stamp) -> Result<bool, StoreError> {
        Ok(stamp.boot == self.boot || self.is_durable(disk, stamp)?)
    }

    /// Whether a record with this stamp survives a power cut that happens now.
    pub(crate) fn is_durable(&self, disk: &Disk, stamp: &Stamp) -> Result<bool, StoreError> {
        if stamp.session == self.session {
            return Ok(*lock(&self.durable) >= stamp.sequence);
        }
        if let Some(up_to) = lock(&self.markers).get(&stamp.session) {
            return Ok(*up_to >= stamp.sequence);
        }
        let found = marker::read(disk, stamp.session)?;
        let mut markers = lock(&self.markers);
        let up_to = match found {
            Some(up_to) => up_to,
            None => {
                // Folded markers are those of sessions that have ended.
                markers.extend(marker::read_folded(disk)?);
                markers.get(&stamp.session).copied().unwrap_or(0)
            }
        };
        if stamp.boot != self.boot {
            markers.insert(stamp.session, up_to);
        }
        Ok(up_to >= stamp.sequence)
    }

    /// Makes everything durable that this session has published; does nothing when that is so already.
    ///
    /// `publish` writes a synced file under a name.
    pub(crate) fn advance(
        &self,
        disk: &Disk,
        publish: impl FnOnce(&str, &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut durable = lock(&self.durable);
        let sequence = {
            let _all_in_place = self.publishing.write().unwrap_or_else(PoisonError::into_inner);
            self.sequence.load(Ordering::SeqCst)
        };
        if sequence == *durable {
            return Ok(());
        }
        rustix::fs::syncfs(disk.fd())
            .map_err(|error| StoreError::Sync { path: disk.root().to_owned(), source: error.into() })?;
        publish(&marker::name(self.session), &marker::encode(self.session, sequence))?;
        disk.sync_dir("durable")?;
        *durable = sequence;
        Ok(())
    }
}

/// Something is being published under this stamp.
pub(crate) struct Publishing<'a> {
    pub(crate) stamp: Stamp,
    _guard: RwLockReadGuard<'a, ()>,
}

/// A poisoned lock is as good as another: what it guards is whole after every single assignment.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_id_is_stable() {
        assert_eq!(BootId::current().expect("proc is mounted"), BootId::current().expect("still"));
    }
}
