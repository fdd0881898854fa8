//! Removes what was chosen, in an order that is right at every instant.
//!
//! 1. A census without locks; the choice. What follows is done batch by batch, see `batch`.
//! 2. The layers and blobs that are to go are claimed: nobody finds them any more, whoever looks waits.
//!    Those that somebody uses stay, with the records that point at them.
//! 3. Records go.
//! 4. What was published since the census is looked at: what it points at stays.
//! 5. Layers move to the staging area, each by one rename; blobs go. The claims end.
//! 6. The files of the layers are removed.
//!
//! Whoever finds a record after 3 found it before the claims, and so has a lease that made the claim fail, or
//! has published what it made of it, which 4 sees. Killed after any step, nothing points at nothing: what is
//! left has no record, and the next collection finds it as something that nobody uses.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, RenameFlags, flock, renameat_with, statvfs};
use rustix::io::{Errno, retry_on_intr};

use super::census::{Census, Keeping, NANOSECONDS, SeenPlain};
use super::lease::Claim;
use super::plan::{self, Chosen, Limits};
use super::touch::now_unix_s;
use super::{Claims, PruneOptions, Pruned};
use crate::byte_lock::Place;
use crate::{LayerId, Store, StoreError};

/// How long a collector waits for those who look things up at the moment, in all.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it asks again.
const PAUSE: Duration = Duration::from_millis(1);
/// The lock of collections.
const COLLECTION: &str = "collect";
/// Logs younger than this may be of a build that goes on.
const LOG_AGE_SECONDS_MIN: i64 = 60 * 60;

impl Store {
    /// Removes what nobody uses: layers that no image, no running build and no running container stands on,
    /// with their records; cache mounts, indexes of contexts, logs; blobs that nothing points at. The least
    /// recently used goes first.
    ///
    /// What any opening of the store has found stays, this one included. One collection runs at a time;
    /// another one waits. Builds do not wait for it, except for a moment on what is just being removed.
    ///
    /// Killed at any instant it leaves the store whole. Does not sync.
    pub fn prune(&self, options: &PruneOptions) -> Result<Pruned, StoreError> {
        let _only_one = self.lock_name(COLLECTION)?;
        self.collect(std::slice::from_ref(options), Keeping::Images)
    }

    /// [`Store::prune`] by several rules, one after the other; a later one sees what the earlier ones leave. Images
    /// that have no name go with their layers. None when another collection goes on at the moment.
    pub fn try_prune(&self, rules: &[PruneOptions]) -> Result<Option<Pruned>, StoreError> {
        let Some(_only_one) = self.try_lock_name(COLLECTION)? else { return Ok(None) };
        self.collect(rules, Keeping::NamedImages).map(Some)
    }

    /// Makes `free_bytes` free on the file system if that can be done without what somebody uses, and
    /// without images that have a name.
    pub fn make_room(&self, free_bytes: u64) -> Result<Pruned, StoreError> {
        let rule = PruneOptions { min_free_bytes: Some(free_bytes), all: true, ..PruneOptions::default() };
        let _only_one = self.lock_name(COLLECTION)?;
        self.collect(&[rule], Keeping::NamedImages)
    }

    /// The caller has the lock of collections.
    fn collect(&self, rules: &[PruneOptions], keeping: Keeping) -> Result<Pruned, StoreError> {
        // Otherwise we would wait for ourselves.
        self.narrow_leases()?;
        let census = Census::take(self, keeping)?;
        let claims = Claims::new(self.disk())?;
        let uses = census.layer_uses();
        let used = used_layers(&claims, &census)?;
        let candidates = census.candidates(&uses);
        let limits = Limits { now_unix_s: now_unix_s(), free_bytes: self.space()?.free_bytes };
        let chosen = plan::choose(&candidates, &uses, &used, rules, limits);
        let total_bytes: u64 = candidates.iter().map(|it| it.size_bytes).sum();
        drop(claims);
        let mut collection = Collection::new(self, &census);
        collection.plain(&chosen, limits.now_unix_s)?;
        collection.layers_and_records(&chosen, rules.iter().any(PruneOptions::has_no_filter))?;
        let pruned = collection.pruned;
        self.sweep_staging(&AtomicBool::new(false))?;
        self.counted(total_bytes.saturating_sub(pruned.bytes));
        Ok(pruned)
    }

    /// The size of the store's file system, and what an ordinary user can still write to it.
    pub fn space(&self) -> Result<Space, StoreError> {
        let stat = statvfs(self.root()).map_err(|error| self.disk().read_error(".", error))?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Space {
            size_bytes: bytes(stat.f_blocks),
            free_bytes: bytes(stat.f_bavail),
            writable_bytes: bytes(stat.f_bfree),
        })
    }
}

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// How much it holds.
    pub size_bytes: u64,
    /// How much more an ordinary user can write.
    pub free_bytes: u64,
    /// How much more root can write, who may use what is reserved.
    pub writable_bytes: u64,
}

/// Layers that some running build or container is known to use.
fn used_layers(claims: &Claims, census: &Census) -> Result<HashSet<LayerId>, StoreError> {
    let mut used = HashSet::new();
    for id in census.layers.keys().filter(|id| !census.is_stood_on(id)) {
        if claims.is_used(Place::of_layer(id))? {
            used.insert(*id);
        }
    }
    Ok(used)
}

/// A collection that goes on.
pub(super) struct Collection<'a> {
    pub(super) store: &'a Store,
    pub(super) census: &'a Census,
    /// When patience ends.
    until: Instant,
    pub(super) pruned: Pruned,
    /// Trees that are out of everybody's way, and still have to be removed.
    staged: Vec<String>,
}

impl<'a> Collection<'a> {
    fn new(store: &'a Store, census: &'a Census) -> Self {
        let until = Instant::now() + PATIENCE;
        Self { store, census, until, pruned: Pruned::default(), staged: Vec::new() }
    }

    pub(super) fn removed(&mut self, id: String, size_bytes: u64) {
        self.pruned.ids.push(id);
        self.pruned.bytes += size_bytes;
    }

    fn plain(&mut self, chosen: &Chosen, now_unix_s: i64) -> Result<(), StoreError> {
        for number in &chosen.mounts {
            self.directory(&self.census.mounts[*number], "data")?;
        }
        for number in &chosen.clients {
            self.directory(&self.census.clients[*number], "files")?;
        }
        for number in &chosen.contexts {
            let seen = &self.census.contexts[*number];
            if self.store.disk().remove(&seen.name)? {
                self.removed(seen.id(), seen.size_bytes);
            }
        }
        for number in &chosen.logs {
            let seen = &self.census.logs[*number];
            let is_old =
                now_unix_s.saturating_sub(seen.used_unix_ns.div_euclid(NANOSECONDS)) >= LOG_AGE_SECONDS_MIN;
            if is_old && self.log(&seen.name)? {
                self.removed(seen.id(), seen.size_bytes);
            }
        }
        self.discard_staged()
    }

    /// The output of a build's steps is a directory, what explains the build is a file.
    fn log(&mut self, name: &str) -> Result<bool, StoreError> {
        if name.starts_with("builds/") { self.store.disk().remove(name) } else { self.move_away(name) }
    }

    /// Takes away a cache mount, or the files of a client, unless somebody uses it. The directory with the lock stays:
    /// whoever waits for the lock must find it in its place.
    fn directory(&mut self, seen: &SeenPlain, files: &str) -> Result<(), StoreError> {
        let disk = self.store.disk();
        let name = format!("{}/lock", seen.name);
        let lock = disk.open_lock(&name).map_err(|error| disk.write_error(&name, error))?;
        match retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(error) => return Err(StoreError::Lock { path: disk.path(&name), source: error.into() }),
        }
        if self.move_away(&format!("{}/{files}", seen.name))? {
            self.removed(seen.id(), seen.size_bytes);
        }
        Ok(())
    }

    /// Makes something ours, or waits for those who only look things up, as long as patience lasts.
    pub(super) fn claim(&self, claims: &Claims, place: Place) -> Result<bool, StoreError> {
        loop {
            match claims.claim(place)? {
                Claim::Taken => return Ok(true),
                Claim::InUse => return Ok(false),
                Claim::Unknown if Instant::now() >= self.until => return Ok(false),
                Claim::Unknown => std::thread::sleep(PAUSE),
            }
        }
    }

    /// Removes the files of what was moved away.
    pub(super) fn discard_staged(&mut self) -> Result<(), StoreError> {
        for name in std::mem::take(&mut self.staged) {
            self.store.session()?.discard(&name);
        }
        Ok(())
    }

    /// Moves a tree to the staging area; whether it was there.
    pub(super) fn move_away(&mut self, name: &str) -> Result<bool, StoreError> {
        let disk = self.store.disk();
        let staged = self.store.session()?.next_name();
        match renameat_with(disk.fd(), name, disk.fd(), &staged, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.staged.push(staged);
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(disk.write_error(name, error)),
        }
    }
}
