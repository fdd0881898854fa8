//! The tree of a container, whether it runs or not.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::error::CopyError;
use super::place::{Place, Tree, clean};
use crate::Engine;
use crate::containers::commit::unstacked;
use crate::containers::error::ContainerError;
use crate::containers::home::{self, Claim, Home};
use crate::containers::session::{PATIENCE, PAUSE, ask_for_root};
use crate::containers::start;

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

/// The tree of a container. One that does not run stays like this for as long as somebody writes to it.
pub(super) struct Root {
    tree: Tree,
    /// Where something will be mounted when it runs, and is not now.
    targets: Vec<PathBuf>,
    _claim: Option<Claim>,
}

impl Root {
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// As [`Tree::locate`]. Refuses what is hidden as soon as the container runs.
    pub(super) fn locate(&self, path: &Path, follows: bool) -> Result<Place, CopyError> {
        self.require_outside_mounts(&clean(path))?;
        let place = self.tree.locate(path, follows)?;
        self.require_outside_mounts(&place.whole_path())?;
        Ok(place)
    }

    fn require_outside_mounts(&self, path: &Path) -> Result<(), CopyError> {
        match self.targets.iter().find(|target| path.starts_with(target)) {
            None => Ok(()),
            Some(target) => Err(CopyError::Refused(format!(
                "`{}` is in what is mounted on `{}`, which is there while the container runs: start it first",
                path.display(),
                target.display()
            ))),
        }
    }
}

impl Engine {
    /// The tree of a container as it is now.
    pub(super) fn container_root(&self, name: &str, access: Access) -> Result<Root, ContainerError> {
        let home = self.home(name)?;
        let root = self.find_root(&home, name, access)?;
        self.tell(&home.config()?, access.action());
        Ok(root)
    }

    fn find_root(&self, home: &Home, name: &str, access: Access) -> Result<Root, ContainerError> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(root) = ask_for_root(home)? {
                let tree = Tree::of_container(root, name);
                return Ok(Root { tree, targets: Vec::new(), _claim: None });
            }
            match (home.claim()?, access) {
                (claim @ Some(_), Access::Write) => return self.root_at_rest(home, name, access, claim),
                (_, Access::Read) => return self.root_at_rest(home, name, access, None),
                // Its monitor waits for something.
                (None, Access::Write) => std::thread::sleep(PAUSE),
            }
        }
        let problem = "does not run, and is about to be started again: try again, or stop it".to_owned();
        Err(ContainerError::WrongState { id: home.id.clone(), problem })
    }

    fn root_at_rest(
        &self,
        home: &Home,
        name: &str,
        access: Access,
        claim: Option<Claim>,
    ) -> Result<Root, ContainerError> {
        let config = home.config()?;
        let layers = start::layers(&config);
        let root = match (unstacked(home)?, access) {
            (Some(upper), _) => upper,
            (None, Access::Read) => {
                let view = self.store.view_below(&layers, &home.upper())?;
                let root = view.root().try_clone_to_owned();
                root.map_err(|source| home::file(&home.upper(), source))?
            }
            (None, Access::Write) => {
                let work = home.fresh_work()?;
                let view = self.store.view_with(&layers, &home.upper(), &work)?;
                let root = view.as_fd().try_clone_to_owned();
                root.map_err(|source| home::file(&home.upper(), source))?
            }
        };
        let targets = config.mounts.iter().map(|request| PathBuf::from(&request.target)).collect();
        Ok(Root { tree: Tree::of_container(root, name), targets, _claim: claim })
    }
}
