//! The tree of a container, whether it runs or not.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Instant;

use executor::Mount;

use super::at_rest::{Mounted, mounted};
use super::error::CopyError;
use super::place::{Place, Tree, clean};
use crate::Engine;
use crate::containers::ask::{PATIENCE, PAUSE, ask_for_root};
use crate::containers::commit::unstacked;
use crate::containers::error::ContainerError;
use crate::containers::home::{self, Claim, Home};
use crate::containers::{Config, start};

/// A file system in memory, as volumes with driver options may be.
const TMPFS: &str = "tmpfs";

/// What is to be done with a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Access {
    /// Docker's word for the event.
    fn action(self) -> &'static str {
        match self {
            Self::Read => "archive-path",
            Self::Write => "extract-to-dir",
        }
    }
}

/// The tree of a container that a path is in. One that does not run stays like this for as long as somebody writes to it.
pub(super) struct Root {
    tree: Tree,
    /// From the root of the tree.
    path: PathBuf,
    /// Where something will be mounted when it runs, and is not now.
    hidden: Vec<PathBuf>,
    /// Of one that does not run.
    config: Option<Config>,
    _claim: Option<Claim>,
}

impl Root {
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// As [`Tree::locate`]. Refuses what is hidden as soon as the container runs.
    pub(super) fn locate(&self, follows: bool) -> Result<Place, CopyError> {
        let place = self.tree.locate(&self.path, follows)?;
        let path = place.whole_path();
        match self.hidden.iter().find(|target| path.starts_with(target)) {
            None => Ok(place),
            Some(target) => Err(is_mounted_later(&path, target)),
        }
    }
}

/// What is there only while the container runs.
pub(super) fn is_mounted_later(path: &Path, target: &Path) -> CopyError {
    CopyError::Refused(format!(
        "`{}` is in what is mounted on `{}`, which is there while the container runs: start it first",
        path.display(),
        target.display()
    ))
}

impl Engine {
    /// The tree of a container as it is now, for something at a path.
    pub(super) fn container_root(
        &self,
        name: &str,
        path: &Path,
        access: Access,
    ) -> Result<Root, ContainerError> {
        let home = self.home(name)?;
        let root = self.find_root(&home, name, path, access)?;
        self.tell(&home.config()?, access.action());
        Ok(root)
    }

    fn find_root(
        &self,
        home: &Home,
        name: &str,
        path: &Path,
        access: Access,
    ) -> Result<Root, ContainerError> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(root) = ask_for_root(home)? {
                let (tree, path) = (Tree::of_container(root, name), path.to_owned());
                return Ok(Root { tree, path, hidden: Vec::new(), config: None, _claim: None });
            }
            let claim = match (home.claim()?, access) {
                (claim @ Some(_), Access::Write) => claim,
                (_, Access::Read) => None,
                // Its monitor waits for something.
                (None, Access::Write) => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
            };
            let root = self.root_at_rest(home, name, path, access)?;
            return Ok(Root { _claim: claim, ..root });
        }
        let problem = "does not run, and is about to be started again: try again, or stop it".to_owned();
        Err(ContainerError::WrongState { id: home.id.clone(), problem })
    }

    /// Of one that does not run: its layers, or what is to be mounted where the path is.
    fn root_at_rest(
        &self,
        home: &Home,
        name: &str,
        path: &Path,
        access: Access,
    ) -> Result<Root, ContainerError> {
        let config = home.config()?;
        let targets = config.mounts.iter().map(|request| PathBuf::from(&request.target));
        let hidden: Vec<PathBuf> = targets.collect();
        let at = clean(path);
        let target = hidden.iter().filter(|target| at.starts_with(target));
        let (tree, path, hidden) = match target.max_by_key(|target| target.as_os_str().len()) {
            None => (
                Tree::of_container(self.layers_at_rest(home, &config, access)?, name),
                path.to_owned(),
                hidden,
            ),
            Some(target) => {
                let mounts = self.volume_mounts(&config)?;
                let root = mounted(&mounts, target, &at, access)?;
                (Tree::of_mount(root, name, target), inside(path, &at, target), Vec::new())
            }
        };
        Ok(Root { tree, path, hidden, config: Some(config), _claim: None })
    }

    /// What is mounted beneath a place while the container runs, and is not now.
    pub(super) fn mounted_below(&self, root: &Root, place: &Place) -> Result<Vec<Mounted>, ContainerError> {
        let Some(config) = root.config.as_ref().filter(|_| place.is_directory()) else {
            return Ok(Vec::new());
        };
        let at = place.container_path();
        let below = |target: &str| {
            let target = root.tree.real(Path::new(target));
            target.strip_prefix(&at).ok().filter(|path| *path != Path::new("")).map(Path::to_owned)
        };
        if !config.mounts.iter().any(|request| below(&request.target).is_some()) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for mount in self.volume_mounts(config)? {
            match &mount {
                Mount::Bind { source, subpath, target, .. } => {
                    if let Some(path) = below(target) {
                        found.push(Mounted::new(&path, source, subpath)?);
                    }
                }
                // What is in memory is empty before the container runs.
                Mount::FileSystem { fstype, target, .. } if fstype != TMPFS && below(target).is_some() => {
                    return Err(is_mounted_later(&at, Path::new(target)).into());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn layers_at_rest(
        &self,
        home: &Home,
        config: &Config,
        access: Access,
    ) -> Result<OwnedFd, ContainerError> {
        let layers = start::layers(config);
        let root = match (unstacked(home)?, access) {
            (Some(upper), _) => return Ok(upper),
            (None, Access::Read) => {
                self.store.view_below(&layers, &home.upper())?.root().try_clone_to_owned()
            }
            (None, Access::Write) => {
                let work = home.fresh_work()?;
                self.store.view_with(&layers, &home.upper(), &work)?.as_fd().try_clone_to_owned()
            }
        };
        root.map_err(|source| home::file(&home.upper(), source))
    }
}

/// The rest of a path behind a mount, with what its end says.
fn inside(path: &Path, clean: &Path, target: &Path) -> PathBuf {
    let rest = Path::new("/").join(clean.strip_prefix(target).unwrap_or(clean));
    let text = path.as_os_str().as_encoded_bytes();
    match text {
        _ if text.ends_with(b"/.") => rest.join("."),
        _ if text.ends_with(b"/") => rest.join(""),
        _ => rest,
    }
}
