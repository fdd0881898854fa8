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
//! ROOT/containers/<id>/volumes        volumes that go with it, while it is made or removed
//! ROOT/containers/.new-<id>/          one that is being made
//! ROOT/containers/.gone-<id>/         one that is being removed
//! ROOT/container-names/<name>         a symbolic link whose text is the id
//! ```
//!
//! A container is there when its directory has its name, and not before. Whether it runs the kernel knows: nobody can
//! take the lock of one whose monitor lives.

mod lock;
mod names;

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::config::Config;
use super::error::ContainerError;
use super::state::{State, Status};
pub(crate) use lock::{Claim, Retired};
use lock::{lock_file, remove_orphan};
pub(crate) use names::{find, name_of};

const CONTAINERS: &str = "containers";
const NAMES: &str = "container-names";
/// What a container says whose state was cut.
const LOST: &str = "what has become of it was lost when the machine went down";
const NEW: &str = ".new-";
const GONE: &str = ".gone-";
const VOLUMES: &str = "volumes";
/// Mode of directories that only their owner has a business in.
const PRIVATE: u32 = 0o700;
/// Mode of `/` in a container.
const ROOT_MODE: u32 = 0o755;
/// The directory of one container.
#[derive(Debug, Clone)]
pub(crate) struct Home {
    /// Of the store.
    root: PathBuf,
    pub(crate) id: String,
    pub(crate) path: PathBuf,
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
                Ok(name) if name.starts_with(NEW) || name.starts_with(GONE) => {
                    remove_orphan(root, &entry.path());
                }
                Ok(name) => ids.push(name),
                Err(_) => {}
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// Begins to make a container.
    pub(crate) fn stage(root: &Path, id: &str) -> Result<Staged, ContainerError> {
        for name in [CONTAINERS, NAMES] {
            make_directory(&root.join(name), PRIVATE)?;
        }
        let path = root.join(CONTAINERS).join(format!("{NEW}{id}"));
        make_directory(&path, PRIVATE)?;
        let _claim = lock_file(&path)?;
        Ok(Staged { home: Self::new(root, id), path, _claim })
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

    /// Notes which volumes go with the container if whoever removes it is killed before they are gone.
    pub(crate) fn note_volumes(&self, volumes: &[String]) {
        let path = self.path.join(VOLUMES);
        // Best effort, as the removal of volumes is.
        let _ = if volumes.is_empty() { fs::remove_file(path) } else { fs::write(path, lines(volumes)) };
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

    /// What the container is to be.
    pub(crate) fn config(&self) -> Result<Config, ContainerError> {
        self.read_json("config.json")
    }

    pub(crate) fn write_config(&self, config: &Config) -> Result<(), ContainerError> {
        write_json(&self.path.join("config.json"), config)
    }

    /// What its monitor has noted, which may be gone.
    pub(crate) fn state_as_it_is(&self) -> Result<State, ContainerError> {
        match self.read_json("state.json") {
            // Cut when the machine went down: what is lost is only whether it still ran then.
            Err(ContainerError::Damaged { .. }) => {
                Ok(State { status: Status::Running, error: LOST.to_owned(), ..State::default() })
            }
            state => state,
        }
    }

    /// What has become of it. If its monitor has been killed, that is noted.
    pub(crate) fn state(&self) -> Result<State, ContainerError> {
        let state = self.state_as_it_is()?;
        if !state.status.is_alive() {
            return Ok(state);
        }
        let Some(_claim) = self.claim()? else { return Ok(state) };
        // It may have ended since.
        let state = self.state_as_it_is()?;
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
        serde_json::from_slice(&bytes).map_err(|_| ContainerError::Damaged { id: self.id.clone(), path })
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

    /// Its socket by a short path: an address is limited to 108 bytes, see unix(7). Good for as long as the descriptor.
    pub(crate) fn socket(&self) -> Result<(OwnedFd, PathBuf), ContainerError> {
        let (directory, path) = self.directory()?;
        Ok((directory, path.join("control")))
    }

    /// Its directory by a path that stays the same when the container is removed. Good for as long as the descriptor.
    pub(crate) fn directory(&self) -> Result<(OwnedFd, PathBuf), ContainerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|error| file(&self.path, error.into()))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        Ok((directory, path))
    }
}

/// A container that is being made. What is not published is removed.
pub(crate) struct Staged {
    home: Home,
    path: PathBuf,
    _claim: Option<Claim>,
}

impl Staged {
    /// Notes that a volume, which is about to be made, is for this container alone: without the container it goes, also when
    /// whoever makes both is killed.
    pub(crate) fn note_volume(&self, name: &str) {
        let file = File::options().create(true).append(true).open(self.path.join(VOLUMES));
        // On a full disk the volume cannot be made either.
        let _ = file.and_then(|mut file| file.write_all(lines(&[name.to_owned()]).as_bytes()));
    }

    /// Makes the container of `config` visible, if its name is free.
    pub(crate) fn publish(&self, config: &Config) -> Result<(), ContainerError> {
        self.home.fill(&self.path, config)?;
        self.home.publish(&self.path, config)?;
        self.home.note_volumes(&[]);
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Best effort: the next one that looks around does the same. One that was published is elsewhere.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn lines(names: &[String]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
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
