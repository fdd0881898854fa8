//! Where a container lives on disk.
//!
//! ```text
//! ROOT/containers/<id>/config.json    what it is to be
//! ROOT/containers/<id>/state.json     what has become of it
//! ROOT/containers/<id>/layers         the layers that it stands on, which a collection leaves alone
//! ROOT/containers/<id>/lock           locked by its monitor for as long as that lives, see flock(2)
//! ROOT/containers/<id>/control        the socket of its monitor
//! ROOT/containers/<id>/fs/, work/     what it has changed, as an upper directory of overlayfs
//! ROOT/containers/<id>/log.<number>   what it has written, in Docker's format, the newest last
//! ROOT/containers/.new-<id>/          one that is being made
//! ROOT/containers/.gone-<id>/         one that is being removed
//! ROOT/container-names/<name>         a symbolic link whose text is the id
//! ```
//!
//! A container is there when its directory has its name, and not before. Whether it runs the kernel knows: nobody can
//! take the lock of one whose monitor lives.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::Config;
use super::error::ContainerError;
use super::name::ID_DIGITS;
use super::state::State;

const CONTAINERS: &str = "containers";
const NAMES: &str = "container-names";
const NEW: &str = ".new-";
const GONE: &str = ".gone-";
/// Mode of directories that only their owner has a business in.
const PRIVATE: u32 = 0o700;
/// Mode of `/` in a container.
const ROOT_MODE: u32 = 0o755;
/// How often a name is tried for that somebody else is about to give back.
const NAME_ATTEMPTS_MAX: u32 = 16;

/// The directory of one container.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Of the store.
    root: PathBuf,
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

/// The lock of a container. While somebody holds it no monitor starts, and nobody removes it.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

/// What is left of a container that is gone. Whoever is killed before it is deleted leaves it to the next one that looks
/// around.
#[derive(Debug)]
pub(crate) struct Retired {
    home: Home,
    name: String,
    path: PathBuf,
    /// Keeps others from deleting it at the same time.
    _claim: Claim,
}

impl Retired {
    /// Deletes its name and its files.
    pub(crate) fn delete(self) -> Result<(), ContainerError> {
        self.home.drop_name(&self.name);
        fs::remove_dir_all(&self.path).map_err(|source| file(&self.path, source))
    }
}

pub(crate) fn now_unix_ns() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

impl Home {
    /// Where a container of this id is, or would be.
    pub(crate) fn new(root: &Path, id: &str) -> Self {
        Self { root: root.to_owned(), id: id.to_owned(), path: root.join(CONTAINERS).join(id) }
    }

    /// The directory of the store.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The container whose directory this is.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let id = path.file_name()?.to_str()?;
        let home = Self::new(path.parent()?.parent()?, id);
        (home.path == path).then_some(home)
    }

    /// Ids of all containers. What others left half-made or half-removed is removed.
    pub(crate) fn all(root: &Path) -> Result<Vec<String>, ContainerError> {
        let directory = root.join(CONTAINERS);
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(|source| file(&directory, source))?,
        };
        let mut ids = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|source| file(&directory, source))?;
            match entry.file_name().into_string() {
                Ok(name) if name.starts_with(NEW) || name.starts_with(GONE) => remove_orphan(&entry.path()),
                Ok(name) => ids.push(name),
                Err(_) => {}
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Makes the container of `config`, whose name must be free.
    pub(crate) fn create(root: &Path, config: &Config) -> Result<Self, ContainerError> {
        let home = Self::new(root, &config.id);
        for name in [CONTAINERS, NAMES] {
            make_directory(&root.join(name), PRIVATE)?;
        }
        let staged = root.join(CONTAINERS).join(format!("{NEW}{}", config.id));
        make_directory(&staged, PRIVATE)?;
        let claim = lock_file(&staged)?;
        let made = home.fill(&staged, config).and_then(|()| home.publish(&staged, config));
        if made.is_err() {
            // Best effort: the next one that looks around removes it.
            let _ = fs::remove_dir_all(&staged);
        }
        drop(claim);
        made?;
        Ok(home)
    }

    fn fill(&self, staged: &Path, config: &Config) -> Result<(), ContainerError> {
        let fs = staged.join("fs");
        make_directory(&fs, ROOT_MODE)?;
        // Whatever the umask is.
        fs::set_permissions(&fs, Permissions::from_mode(ROOT_MODE)).map_err(|source| file(&fs, source))?;
        write(&staged.join("layers"), config.layers.join("\n").as_bytes())?;
        write_json(&staged.join("config.json"), config)?;
        write_json(&staged.join("state.json"), &State::default())
    }

    /// The name first: a container without one is never seen.
    fn publish(&self, staged: &Path, config: &Config) -> Result<(), ContainerError> {
        self.take_name(&config.name)?;
        let renamed = fs::rename(staged, &self.path).map_err(|source| file(&self.path, source));
        if renamed.is_err() {
            self.drop_name(&config.name);
        }
        renamed
    }

    /// Makes the name mean this container.
    pub(crate) fn take_name(&self, name: &str) -> Result<(), ContainerError> {
        let link = self.root.join(NAMES).join(name);
        for _ in 0..NAME_ATTEMPTS_MAX {
            match symlink(&self.id, &link) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map_err(|source| file(&link, source)),
            }
            let Some(id) = named(&self.root, name) else { continue };
            if Self::new(&self.root, &id).is_there() {
                return Err(ContainerError::NameInUse { name: name.to_owned(), id });
            }
            // Its container is gone: whoever removed it was killed before it came to this.
            let _ = fs::remove_file(&link);
        }
        Err(ContainerError::NameInUse { name: name.to_owned(), id: "unknown".to_owned() })
    }

    /// Gives a name back, if it means this container.
    pub(crate) fn drop_name(&self, name: &str) {
        if named(&self.root, name).is_some_and(|id| id == self.id) {
            // The only error is that it is gone already.
            let _ = fs::remove_file(self.root.join(NAMES).join(name));
        }
    }

    /// Whether the container is there, or about to be.
    fn is_there(&self) -> bool {
        let staged = self.root.join(CONTAINERS).join(format!("{NEW}{}", self.id));
        staged.exists() || self.path.exists()
    }

    /// What the container is to be.
    pub(crate) fn config(&self) -> Result<Config, ContainerError> {
        self.read_json("config.json")
    }

    pub(crate) fn write_config(&self, config: &Config) -> Result<(), ContainerError> {
        write_json(&self.path.join("config.json"), config)
    }

    /// What its monitor has noted, which may be gone.
    pub(crate) fn state_as_it_is(&self) -> Result<State, ContainerError> {
        self.read_json("state.json")
    }

    /// What has become of it. If its monitor has been killed, that is noted.
    pub(crate) fn state(&self) -> Result<State, ContainerError> {
        let state: State = self.read_json("state.json")?;
        if !state.status.is_alive() {
            return Ok(state);
        }
        let Some(_claim) = self.claim()? else { return Ok(state) };
        // It may have ended since.
        let state: State = self.read_json("state.json")?;
        let settled = state.without_monitor(now_unix_ns());
        if settled != state {
            self.write_state(&settled)?;
        }
        Ok(settled)
    }

    pub(crate) fn write_state(&self, state: &State) -> Result<(), ContainerError> {
        write_json(&self.path.join("state.json"), state)
    }

    fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<T, ContainerError> {
        let path = self.path.join(name);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ContainerError::NoSuchContainer { name: self.id.clone() });
            }
            bytes => bytes.map_err(|source| file(&path, source))?,
        };
        serde_json::from_slice(&bytes).map_err(|error| file(&path, error.into()))
    }

    /// The lock of the container, unless somebody has it.
    pub(crate) fn claim(&self) -> Result<Option<Claim>, ContainerError> {
        match lock_file(&self.path) {
            Err(ContainerError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(ContainerError::NoSuchContainer { name: self.id.clone() })
            }
            result => result,
        }
    }

    /// Removes the container.
    pub(crate) fn remove(&self, name: &str, claim: Claim) -> Result<(), ContainerError> {
        self.retire(name, claim)?.delete()
    }

    /// Makes a container one that was: nobody sees it any more, and its name can be taken. Its files are still there.
    pub(crate) fn retire(&self, name: &str, claim: Claim) -> Result<Retired, ContainerError> {
        let path = self.root.join(CONTAINERS).join(format!("{GONE}{}", self.id));
        fs::rename(&self.path, &path).map_err(|source| file(&self.path, source))?;
        Ok(Retired { home: self.clone(), name: name.to_owned(), path, _claim: claim })
    }

    /// What the container has changed.
    pub(crate) fn upper(&self) -> PathBuf {
        self.path.join("fs")
    }

    /// An empty directory on the same file system, new for each start.
    pub(crate) fn fresh_work(&self) -> Result<PathBuf, ContainerError> {
        let work = self.path.join("work");
        match fs::remove_dir_all(&work) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(file(&work, error)),
            _ => {}
        }
        make_directory(&work, PRIVATE)?;
        Ok(work)
    }

    /// Its directory as a short path, for the address of a socket: these are limited to 108 bytes, see unix(7). Good for
    /// as long as the descriptor.
    pub(crate) fn socket(&self) -> Result<(OwnedFd, PathBuf), ContainerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|error| file(&self.path, error.into()))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/control", directory.as_raw_fd()));
        Ok((directory, path))
    }
}

/// The container of a name, an id or the beginning of one, in this order.
pub(crate) fn find(root: &Path, text: &str) -> Result<Home, ContainerError> {
    let no_such_container = || ContainerError::NoSuchContainer { name: text.to_owned() };
    let name = text.strip_prefix('/').unwrap_or(text);
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(no_such_container());
    }
    let is_there = |id: &str| Home::new(root, id).path.is_dir();
    if name.len() == ID_DIGITS && is_there(name) {
        return Ok(Home::new(root, name));
    }
    if let Some(id) = named(root, name).filter(|id| is_there(id)) {
        return Ok(Home::new(root, &id));
    }
    let candidates: Vec<String> = Home::all(root)?.into_iter().filter(|id| id.starts_with(name)).collect();
    match candidates.as_slice() {
        [] => Err(no_such_container()),
        [id] => Ok(Home::new(root, id)),
        _ => Err(ContainerError::Ambiguous { prefix: text.to_owned() }),
    }
}

/// The container that a name means.
pub(crate) fn named(root: &Path, name: &str) -> Option<String> {
    let id = fs::read_link(root.join(NAMES).join(name)).ok()?;
    id.into_os_string().into_string().ok()
}

/// Takes the lock in a container's directory, which is made if need be.
fn lock_file(directory: &Path) -> Result<Option<Claim>, ContainerError> {
    let path = directory.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = opened.map_err(|source| file(&path, source))?;
    match flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Claim { _file: lock })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(file(&path, error.into())),
    }
}

/// Removes what nobody works on any more.
fn remove_orphan(directory: &Path) {
    if let Ok(Some(_claim)) = lock_file(directory) {
        // Best effort: the next one that looks around does the same.
        let _ = fs::remove_dir_all(directory);
    }
}

pub(crate) fn file(path: &Path, source: io::Error) -> ContainerError {
    ContainerError::File { path: path.to_owned(), source }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), ContainerError> {
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(file(path, error)),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), ContainerError> {
    fs::write(path, bytes).map_err(|source| file(path, source))
}

/// Appears whole or not at all.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ContainerError> {
    let staged = path.with_extension("new");
    write(&staged, &serde_json::to_vec(value).expect("what is written has only text as keys"))?;
    fs::rename(&staged, path).map_err(|source| file(path, source))
}
