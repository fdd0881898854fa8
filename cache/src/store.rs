//! A store on disk, shared by any number of processes.
//!
//! ```text
//! ROOT/format                        "slipway-store 1\n"
//! ROOT/blobs/sha256/<hex>            bytes under their own digest: configs, manifests, kept layer blobs
//! ROOT/layers/<layer id>/fs/         a layer's files, as a lower directory of overlayfs
//! ROOT/layers/<layer id>/packed       or its files in one file, see `layer::packed`
//! ROOT/layers/<layer id>/unpacked-*   what is packed, as a directory of this boot
//! ROOT/layers/<layer id>/facts       what was learned about the layer: diff ids, content digest, size
//! ROOT/diff-ids/<hex>                names the layer that has this diff id
//! ROOT/records/<2 hex>/<hex>         key records
//! ROOT/images/<hex>                  image records, under the image id
//! ROOT/tags/<hex>                    tag records, under the digest of the full reference
//! ROOT/tags/<hex>.old                what a tag was before, until its new value is durable
//! ROOT/contexts/<hex>                stat index of a build context, under the digest of its path
//! ROOT/clients/<hex>/<number>/       what a client of the daemon has sent: files, and the lock of who uses them
//! ROOT/mounts/<hex>/                 directories of cache mounts, see `cache_mount`
//! ROOT/volumes/<name>/              directories of users, see `volume`
//! ROOT/durable/                      "durable up to here" markers, see `marker`
//! ROOT/staging/<session>/            what is not published yet, see `session`
//! ROOT/spare/                        an empty directory, for the next session
//! ROOT/locks/names                   kernel locks for keys and tags, see `lock`
//! ROOT/locks/leases                  kernel locks for what is in use, see `gc::lease`
//! ROOT/logs/                         the engine's logs of steps
//! ROOT/builds/<id>.json              the engine's logs of builds, for explanations
//! ROOT/filling                       about how full the store is, see `gc::growth`
//! ROOT/empty/                        an empty directory, lowest in every view
//! ROOT/containers/<id>/layers        what a container stands on; the rest of it is the engine's
//! ROOT/scaffold/<name>/              mount points that every container has, see `scaffold`
//! ```
//!
//! Whiteouts are character devices 0:0, opaque directories have the attribute `user.overlay.opaque`: all
//! overlays on these layers are mounted with `userxattr`, as root and rootless alike.
//!
//! Everything appears by rename(2), so it is whole or not there; a record appears after what it points at.
//! All small files are checksummed (see `codec`): a damaged one is a miss. Which of them hold after a power
//! cut is decided by their stamps (see `stamp`).

use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock};

use rustix::fs::{AtFlags, Mode, chmodat};
use rustix::io::Errno;

use crate::disk::{DIR_MODE, Disk};
use crate::gc::{Growth, Hits, Leases, growth};
use crate::session::{self, Session, Swept};
use crate::snapshot::SeenLayers;
use crate::stamp::{BootId, Durability, Stamp, lock};
use crate::{StoreError, codec};

/// The format that this code reads and writes.
const FORMAT: u32 = 1;
const FORMAT_PREFIX: &str = "slipway-store ";
/// The format file is one short line.
const FORMAT_BYTES_MAX: u64 = 64;
/// Directories of a store. `staging` is not among them: the first writer creates it.
const DIRECTORIES: [&str; 14] = [
    "blobs",
    "blobs/sha256",
    "layers",
    "diff-ids",
    "records",
    "images",
    "tags",
    "contexts",
    "mounts",
    "durable",
    "locks",
    "logs",
    "empty",
    "scaffold",
];

/// An open store. Cloning gives another handle on the same opening.
///
/// - Whatever becomes visible is whole, also when the process that writes it is killed.
/// - Whatever is damaged is a miss.
/// - What was found stays until the last handle is dropped, whoever collects what is not used.
/// - What was published before [`Store::make_durable`] returns survives a power cut.
/// - Dropping the last handle removes this opening's staging directory, or leaves a few empty directories to a sweep.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) disk: Arc<Disk>,
    pub(crate) durability: Durability,
    pub(crate) seen_layers: SeenLayers,
    pub(crate) leases: Leases,
    /// Records that were found, for the time of their last use.
    pub(crate) hits: Hits,
    pub(crate) growth: Growth,
    /// Names of tags whose old values are kept until their new ones are durable.
    pub(crate) replaced_tags: Mutex<Vec<String>>,
    /// Set when the kernel has refused to stack layers.
    pub(crate) copies_layers: AtomicBool,
    session: OnceLock<Session>,
    starting: Mutex<()>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Store").field(&self.root()).finish()
    }
}

impl Store {
    /// Opens the store in `root`, and creates it when the directory is missing or empty.
    ///
    /// Costs seven system calls when the store exists, whatever is in it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] for a store of a later version, [`StoreError::NotAStore`] for a directory that
    /// holds something else; neither is touched.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Self::open_in_boot(root, BootId::current()?)
    }

    /// Opens the store as if the kernel had this boot id.
    pub(crate) fn open_in_boot(root: &Path, boot: BootId) -> Result<Self, StoreError> {
        let disk = match Disk::open(root) {
            Ok(disk) => disk,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => create_root(root)?,
            Err(source) => return Err(StoreError::Read { path: root.to_owned(), source }),
        };
        match disk.read("format", FORMAT_BYTES_MAX)? {
            Some(line) => check_format(&line, root)?,
            None => initialise(&disk)?,
        }
        let inner = Inner {
            disk: Arc::new(disk),
            durability: Durability::new(boot),
            seen_layers: SeenLayers::default(),
            leases: Leases::default(),
            hits: Hits::default(),
            growth: Growth::default(),
            replaced_tags: Mutex::new(Vec::new()),
            copies_layers: AtomicBool::new(false),
            session: OnceLock::new(),
            starting: Mutex::new(()),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The directory of the store, as it was given.
    pub fn root(&self) -> &Path {
        self.inner.disk.root()
    }

    /// Makes everything durable that was published through this opening of the store, with one `syncfs`.
    /// Does nothing when nothing was published since the last call.
    ///
    /// A command calls this before it reports an image as done.
    pub fn make_durable(&self) -> Result<(), StoreError> {
        self.inner.durability.advance(self.disk(), |name, bytes| self.publish_synced(name, bytes))?;
        self.forget_replaced_tags()
    }

    /// Brings what was written so far to the disk, so that a later [`Store::make_durable`] has less to do.
    /// Promises nothing by itself.
    pub fn write_back(&self) -> Result<(), StoreError> {
        rustix::fs::syncfs(self.disk().fd())
            .map_err(|error| StoreError::Sync { path: self.root().to_owned(), source: error.into() })
    }

    /// Removes what other processes, alive or dead, left behind in the staging area: a bounded amount of it,
    /// and nothing more once `stop` is set.
    ///
    /// Costs a handful of system calls when there is nothing to do. To be called by whatever fills the staging
    /// area, beside its own work.
    pub fn sweep_staging(&self, stop: &AtomicBool) -> Result<Swept, StoreError> {
        let swept = session::sweep(self.disk(), self.inner.session.get().map(Session::dir), stop)?;
        self.fold_markers()?;
        Ok(swept)
    }

    /// Whether more lies in the staging area than what this store has there itself. Costs one system call.
    pub fn may_need_sweep(&self) -> bool {
        let own = u64::from(self.inner.session.get().is_some());
        session::directories(self.disk()).is_none_or(|directories| directories > own)
    }

    /// Whether so much lies in the staging area that a sweep should not be put off. Costs one system call.
    pub fn is_sweep_due(&self) -> bool {
        session::is_crowded(self.disk())
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    /// The staging directory, created at the first call.
    pub(crate) fn session(&self) -> Result<&Session, StoreError> {
        if let Some(session) = self.inner.session.get() {
            return Ok(session);
        }
        let _starting = lock(&self.inner.starting);
        if self.inner.session.get().is_none() {
            // Whoever writes has looked around.
            self.narrow_leases()?;
            let session = Session::start(&self.inner.disk, self.inner.durability.session())?;
            // Cannot be set already: only the holder of `starting` sets it.
            let _ = self.inner.session.set(session);
        }
        Ok(self.inner.session.get().expect("it was set above"))
    }

    /// Whether this opening has written anything.
    pub(crate) fn has_session(&self) -> bool {
        self.inner.session.get().is_some()
    }

    /// Makes `bytes` the content of the file `to`, at once and whole.
    pub(crate) fn publish(&self, to: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.publish_with(to, bytes, false)
    }

    pub(crate) fn publish_synced(&self, to: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.publish_with(to, bytes, true)
    }

    fn publish_with(&self, to: &str, bytes: &[u8], synced: bool) -> Result<(), StoreError> {
        let staged = self.session()?.next_name();
        let write = || {
            let mut file = self.disk().create(&staged)?;
            file.write_all(bytes).map_err(|source| self.disk().write_error(to, source))?;
            if synced {
                let path = || self.disk().path(to);
                file.sync_all().map_err(|source| StoreError::Sync { path: path(), source })?;
            }
            drop(file);
            self.disk().rename(&staged, to)
        };
        write().inspect_err(|_| self.discard_staged(&staged))
    }

    /// Gives back the space of a staged file after an error. The error that matters is the first one.
    pub(crate) fn discard_staged(&self, staged: &str) {
        if let Err(error) = self.disk().remove(staged) {
            tracing::warn!(%error, "a staged file stays until the end of the session");
        }
    }

    /// Publishes a record that carries a stamp.
    pub(crate) fn publish_stamped(
        &self,
        to: &str,
        encode: impl FnOnce(&Stamp) -> Vec<u8>,
    ) -> Result<(), StoreError> {
        let publishing = self.inner.durability.publish();
        self.publish(to, &encode(&publishing.stamp))
    }

    /// Loads a record that carries a stamp: `None` when there is none, it is damaged, or it was not durable
    /// when the machine went down. With the record comes whether it is durable by now.
    pub(crate) fn load_stamped<T>(
        &self,
        name: &str,
        size_bytes_max: u64,
        decode: impl FnOnce(&[u8]) -> Result<(Stamp, T), codec::Damage>,
    ) -> Result<Option<(Stamp, T)>, StoreError> {
        let Some((stamp, value)) = self.disk().load(name, size_bytes_max, decode)? else { return Ok(None) };
        let holds = self.inner.durability.holds(self.disk(), &stamp)?;
        Ok(holds.then_some((stamp, value)))
    }

    pub(crate) fn is_durable(&self, stamp: &Stamp) -> Result<bool, StoreError> {
        self.inner.durability.is_durable(self.disk(), stamp)
    }
}

fn create_root(root: &Path) -> Result<Disk, StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let write_error = |source| StoreError::Write { path: root.to_owned(), source };
    if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(write_error)?;
    }
    match std::fs::DirBuilder::new().mode(DIR_MODE.as_raw_mode()).create(root) {
        Ok(()) => {}
        // Another process creates the same store.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(write_error(error)),
    }
    Disk::open(root).map_err(|source| StoreError::Read { path: root.to_owned(), source })
}

/// Makes an empty directory a store. Any number of processes may do so at the same time, and a process that
/// is killed half-way leaves what the next one completes: the format file comes last.
fn initialise(disk: &Disk) -> Result<(), StoreError> {
    let is_ours = |name: &String| {
        name == "staging"
            || name == session::SPARE
            || name == "format"
            || name == growth::FILE
            || name.starts_with(".format-")
            || DIRECTORIES.contains(&name.as_str())
    };
    // A new file system has this directory at its root.
    if !disk.names(".")?.iter().all(|name| is_ours(name) || name == "lost+found") {
        return Err(StoreError::NotAStore { path: disk.root().to_owned() });
    }
    for name in DIRECTORIES {
        disk.make_dir(name)?;
    }
    // The root of a view that has no layers, seen from inside a container.
    chmodat(disk.fd(), "empty", Mode::from_raw_mode(0o755), AtFlags::empty())
        .map_err(|error| disk.write_error("empty", error))?;
    match disk.create(growth::FILE) {
        // Without it the store is counted once more.
        Ok(mut file) => {
            file.write_all(&growth::encode(0)).map_err(|source| disk.write_error(growth::FILE, source))?;
        }
        Err(_) if disk.exists(growth::FILE)? => {}
        Err(error) => return Err(error),
    }
    let mut suffix = [0; 8];
    crate::id::random(&mut suffix);
    let staged = format!(".format-{}", const_hex::encode(suffix));
    let mut file = disk.create(&staged)?;
    let written = file
        .write_all(format!("{FORMAT_PREFIX}{FORMAT}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|source| disk.write_error("format", source))
        .and_then(|()| disk.rename(&staged, "format"));
    if written.is_err() {
        disk.remove(&staged)?;
    }
    written
}

fn check_format(line: &[u8], root: &Path) -> Result<(), StoreError> {
    let found = std::str::from_utf8(line)
        .ok()
        .and_then(|line| line.strip_prefix(FORMAT_PREFIX)?.strip_suffix('\n'))
        .and_then(|number| number.parse().ok());
    match found {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => {
            Err(StoreError::Newer { path: root.to_owned(), found, known: FORMAT })
        }
        _ => Err(StoreError::Read {
            path: root.join("format"),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, Errno::INVAL),
        }),
    }
}
