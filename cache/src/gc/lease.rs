//! Leases: what an opening of the store has found stays until that opening ends.
//!
//! All leases are byte-range locks on the one file `ROOT/locks/leases` (open file description locks, see
//! fcntl(2)): each layer and each blob has a byte there, and the byte 0 belongs to nobody. Whoever looks for
//! a layer first locks its byte shared, and only then looks whether it is there. Whoever wants to remove it
//! first locks its byte exclusively, without waiting. So what was found stays, and what is being removed is
//! not found. The kernel lets go of the locks of whoever dies.
//!
//! A command that only looks things up would need a system call for each of them. So it takes all bytes at
//! once, and gives back those that it does not need as soon as it begins something that may take long.
//! A collector that finds byte 0 taken therefore knows that it has to wait only for a moment.

use std::collections::BTreeSet;
use std::sync::{Mutex, OnceLock};

use image::{BlobDigest, Digest};

use crate::byte_lock::{ByteLocks, Bytes, Lock, Place};
use crate::disk::Disk;
use crate::stamp::lock;
use crate::{LayerId, Store, StoreError};

/// The file whose bytes are locked; it stays empty.
pub(crate) const LEASES: &str = "locks/leases";

impl Place {
    pub(crate) fn of_layer(id: &LayerId) -> Self {
        Self::of(&id.0)
    }

    pub(crate) fn of_blob(digest: &Digest) -> Self {
        Self::of(&digest.0)
    }
}

/// What one opening of the store holds.
#[derive(Default)]
pub(crate) struct Leases {
    file: OnceLock<Option<ByteLocks>>,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    extent: Extent,
    places: BTreeSet<Place>,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Extent {
    #[default]
    Nothing,
    /// All bytes, also those that are not in the set.
    Everything,
    /// The bytes of the set.
    Each,
}

impl Leases {
    /// Makes sure that what has this place is not removed from now on. It may be gone already.
    pub(crate) fn take(&self, disk: &Disk, place: Place) -> Result<(), StoreError> {
        let mut held = lock(&self.held);
        if held.places.contains(&place) {
            return Ok(());
        }
        let Some(file) = self.file(disk)? else { return Ok(()) };
        if held.extent == Extent::Nothing {
            let all = file.try_set(Lock::Shared, Bytes::ALL)?;
            held.extent = if all { Extent::Everything } else { Extent::Each };
        }
        if held.extent == Extent::Each {
            file.wait(Lock::Shared, place)?;
        }
        held.places.insert(place);
        Ok(())
    }

    /// Gives back what was not asked for.
    pub(crate) fn narrow(&self, disk: &Disk) -> Result<(), StoreError> {
        let mut held = lock(&self.held);
        if held.extent != Extent::Everything {
            return Ok(());
        }
        let Some(file) = self.file(disk)? else { return Ok(()) };
        let mut start = 0;
        for place in &held.places {
            if place.0 > start {
                file.try_set(Lock::None, Bytes { start, length: place.0 - start })?;
            }
            start = place.0 + 1;
        }
        file.try_set(Lock::None, Bytes { start, length: 0 })?;
        held.extent = Extent::Each;
        Ok(())
    }

    /// Does something with what has this place, while nobody looks for it and no other opening of the store has found it;
    /// none when one has.
    pub(crate) fn alone<T>(
        &self,
        disk: &Disk,
        place: Place,
        act: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let held = lock(&self.held);
        let Some(file) = self.file(disk)? else { return act().map(Some) };
        if !file.try_set(Lock::Exclusive, place)? {
            return Ok(None);
        }
        let done = act();
        let is_ours = held.extent == Extent::Everything || held.places.contains(&place);
        file.try_set(if is_ours { Lock::Shared } else { Lock::None }, place)?;
        done.map(Some)
    }

    /// None where nothing can be written, and so nobody can remove anything.
    fn file(&self, disk: &Disk) -> Result<Option<&ByteLocks>, StoreError> {
        if let Some(file) = self.file.get() {
            return Ok(file.as_ref());
        }
        let file = match ByteLocks::open(disk, LEASES) {
            Err(StoreError::Write { source, .. })
                if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem =>
            {
                None
            }
            opened => Some(opened?),
        };
        Ok(self.file.get_or_init(|| file).as_ref())
    }
}

impl Store {
    pub(crate) fn lease_layer(&self, id: &LayerId) -> Result<(), StoreError> {
        self.inner.leases.take(self.disk(), Place::of_layer(id))
    }

    pub(crate) fn lease_blob(&self, digest: &BlobDigest) -> Result<(), StoreError> {
        self.inner.leases.take(self.disk(), Place::of_blob(&digest.0))
    }

    /// To be called before whatever may take long: a collector waits for us only until then.
    pub(crate) fn narrow_leases(&self) -> Result<(), StoreError> {
        self.inner.leases.narrow(self.disk())
    }
}

/// Exclusive locks of a collector, against all openings of the store, those of its own process included.
pub(crate) struct Claims {
    file: ByteLocks,
}

/// Whether something can be removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is ours until the claims are dropped.
    Taken,
    /// Somebody uses it.
    InUse,
    /// Somebody is looking things up, and says in a moment what they use.
    Unknown,
}

impl Claims {
    pub(crate) fn new(disk: &Disk) -> Result<Self, StoreError> {
        Ok(Self { file: ByteLocks::open(disk, LEASES)? })
    }

    /// Tries to make `place` ours, without waiting.
    pub(crate) fn claim(&self, place: Place) -> Result<Claim, StoreError> {
        if self.file.try_set(Lock::Exclusive, place)? {
            return Ok(Claim::Taken);
        }
        Ok(if self.file.is_locked(Place::NOBODY)? { Claim::Unknown } else { Claim::InUse })
    }

    /// Whether somebody is known to use it: those who only look things up do not count.
    pub(crate) fn is_used(&self, place: Place) -> Result<bool, StoreError> {
        Ok(self.file.is_locked(place)? && !self.file.is_locked(Place::NOBODY)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, Disk) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::open(dir.path()).unwrap();
        (dir, disk)
    }

    #[test]
    fn a_lease_of_all_is_narrowed_to_what_was_asked_for() {
        let (_dir, disk) = disk();
        let (leases, claims) = (Leases::default(), Claims::new(&disk).unwrap());
        leases.take(&disk, Place(5)).unwrap();
        assert_eq!(claims.claim(Place(6)).unwrap(), Claim::Unknown);
        assert!(!claims.is_used(Place(5)).unwrap(), "not known yet");
        for place in [9, 1, 1 << 62] {
            leases.take(&disk, Place(place)).unwrap();
        }
        leases.narrow(&disk).unwrap();
        for (place, expected) in [
            (0, Claim::Taken),
            (1, Claim::InUse),
            (2, Claim::Taken),
            (5, Claim::InUse),
            (8, Claim::Taken),
            (9, Claim::InUse),
            (10, Claim::Taken),
            (1 << 62, Claim::InUse),
        ] {
            assert_eq!(claims.claim(Place(place)).unwrap(), expected, "{place}");
        }
        drop(leases);
        assert_eq!(claims.claim(Place(5)).unwrap(), Claim::Taken);
    }

    #[test]
    fn what_is_done_alone_is_not_done_to_what_another_has_found() {
        let (_dir, disk) = disk();
        let (own, other) = (Leases::default(), Leases::default());
        let act = |leases: &Leases, place| leases.alone(&disk, Place(place), || Ok(())).unwrap();
        own.take(&disk, Place(5)).unwrap();
        assert_eq!(act(&own, 5), Some(()), "our own lease is not in the way");
        other.take(&disk, Place(5)).unwrap();
        assert_eq!((act(&own, 5), act(&other, 5)), (None, None));
        own.narrow(&disk).unwrap();
        other.narrow(&disk).unwrap();
        assert_eq!(act(&own, 6), Some(()));
        drop(other);
        assert_eq!(act(&own, 5), Some(()));
        let claims = Claims::new(&disk).unwrap();
        assert_eq!(claims.claim(Place(5)).unwrap(), Claim::InUse, "the lease is as it was");
        assert_eq!(claims.claim(Place(6)).unwrap(), Claim::Taken);
    }

    #[test]
    fn who_looks_for_what_is_being_removed_waits_and_then_goes_on() {
        let (_dir, disk) = disk();
        let claims = Claims::new(&disk).unwrap();
        assert_eq!(claims.claim(Place(7)).unwrap(), Claim::Taken);
        let leases = Leases::default();
        leases.take(&disk, Place(8)).unwrap();
        assert!(claims.is_used(Place(8)).unwrap(), "all is not to be had, so it is taken alone");
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| leases.take(&disk, Place(7)));
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(!waiting.is_finished());
            drop(claims);
            waiting.join().unwrap().unwrap();
        });
        let claims = Claims::new(&disk).unwrap();
        assert_eq!(claims.claim(Place(7)).unwrap(), Claim::InUse);
    }
}
