//! `image cp`: an image from one place to another, through the store.
//!
//! Layers that the store, the registry or the layout has already do not move. What only passes through leaves no image
//! in the store; its layers stay until they are collected, so that the next copy finds them.

mod daemon;
mod layout;
mod place;
mod program;

use std::fs::File;

use cache::Store;
use image::{ImageId, Platform, Reference};

use super::archive::{self, Archive, ArchiveError, LayoutName, Source};
use super::bundle::ArchiveKind;
use super::destination::write_file;
use super::form::ImageForm;
use super::load::one_archived;
use super::pull::Naming;
use super::{ImageError, OnProgress, OnTransfer, PullRequest, PushRequest, export_archive, find};
use crate::Engine;
use crate::blocking::blocking;
pub use place::{Place, PlaceError};

/// What is to be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRequest {
    /// From where.
    pub from: Place,
    /// To where.
    pub to: Place,
    /// Of an image for several platforms, which one; none is the host's.
    pub platform: Option<Platform>,
}

impl Engine {
    /// Copies an image. It is whole and durable at its new place when this returns.
    ///
    /// # Errors
    ///
    /// Those of a pull, a push, a load and an export, by the places; [`ImageError::Program`] for a place that another
    /// program keeps, when that program is missing or fails.
    pub async fn copy_image(
        &self,
        request: &CopyRequest,
        on_transfer: &OnTransfer,
    ) -> Result<ImageId, ImageError> {
        let before = self.store.images()?.into_iter().map(|image| image.id).collect::<Vec<_>>();
        let id = self.copy_in(request, on_transfer).await?;
        let sent = self.copy_out(id, &request.to, on_transfer).await;
        let is_named = self.store.tags()?.iter().any(|(_, other)| *other == id);
        if !before.contains(&id) && !is_named {
            self.store.remove_image(&id)?;
        }
        sent.map(|()| id)
    }

    /// The image in the store, without a name of its own.
    async fn copy_in(&self, request: &CopyRequest, on_transfer: &OnTransfer) -> Result<ImageId, ImageError> {
        let store = self.store.clone();
        let platform = request.platform.clone().unwrap_or_else(Platform::host);
        match request.from.clone() {
            Place::Store(name) => find(&store, &name),
            Place::Registry(reference) => {
                let platform = request.platform.clone();
                let pull = PullRequest { reference, platform, naming: Naming::Nothing };
                Ok(self.pull(&pull, on_transfer).await?.id)
            }
            Place::Layout { path, tag } => {
                let name = tag.map(LayoutName::Tag);
                blocking(move || {
                    // The file or directory that is missing has a name.
                    std::fs::metadata(&path)
                        .map_err(|source| ImageError::OpenArchive { path: path.clone(), source })?;
                    let archive = Archive::directory(&path)?;
                    if !archive.has(archive::INDEX) {
                        return Err(ArchiveError::NotALayout.into());
                    }
                    one_archived(&store, &archive, name.as_ref(), &platform, &|_, _, _| ())
                })
                .await
            }
            Place::OciArchive { path, tag } => {
                let name = tag.map(LayoutName::Tag);
                blocking(move || from_file(&store, &path, name.as_ref(), &platform)).await
            }
            Place::DockerArchive { path, name } => {
                let name = name.map(|name| LayoutName::Tag(name.to_string()));
                blocking(move || from_file(&store, &path, name.as_ref(), &platform)).await
            }
            Place::Daemon(name) => daemon::fetch(&store, &name, &platform).await,
            Place::Containers(name) => program::fetch(&store, &name, &platform).await,
        }
    }

    async fn copy_out(&self, id: ImageId, to: &Place, on_transfer: &OnTransfer) -> Result<(), ImageError> {
        let store = self.store.clone();
        match to.clone() {
            Place::Store(name) => {
                let name: Reference = name.parse()?;
                super::tag::check_target(&name)?;
                store.tag(&name, &id)?;
                Ok(store.make_durable()?)
            }
            Place::Registry(reference) => {
                let names = [reference.clone()];
                let request = PushRequest::new(reference);
                let (before, set) = (self.store.tags()?, id.into());
                self.push_set(&request, &set, on_transfer).await?;
                self.forget_digests(&names[0], &before)
            }
            Place::Layout { path, tag } => {
                blocking(move || layout::write(&store, &id, &path, tag.as_deref())).await
            }
            Place::OciArchive { path, tag } => {
                blocking(move || write_file(&path, |to| layout::write_tar(&store, &id, tag.as_deref(), to)))
                    .await
            }
            Place::DockerArchive { path, name } => {
                blocking(move || {
                    let names: Vec<_> = name.into_iter().collect();
                    let (kind, form) = (ArchiveKind::Docker, ImageForm::default());
                    let write = |to: &mut dyn std::io::Write| {
                        export_archive(&store, &id.into(), &names, kind, &form, to, NO_PROGRESS).map(drop)
                    };
                    write_file(&path, write)
                })
                .await
            }
            Place::Daemon(name) => daemon::send(&store, id, name).await,
            Place::Containers(name) => program::send(&store, id, &name).await,
        }
    }

    /// Takes back the names by digest that a push gave, but for those that were there before.
    fn forget_digests(&self, pushed: &Reference, before: &[(Reference, ImageId)]) -> Result<(), ImageError> {
        for (name, _) in self.store.tags()? {
            let is_same = (name.domain(), name.path()) == (pushed.domain(), pushed.path());
            if is_same && name.digest().is_some() && before.iter().all(|(known, _)| *known != name) {
                self.store.untag(&name)?;
            }
        }
        Ok(())
    }
}

/// Who copies sees whole layers only.
const NO_PROGRESS: OnProgress<'static> = &|_, _, _| ();

fn from_file(
    store: &Store,
    path: &std::path::Path,
    name: Option<&LayoutName>,
    platform: &Platform,
) -> Result<ImageId, ImageError> {
    let file =
        File::open(path).map_err(|source| ImageError::OpenArchive { path: path.to_owned(), source })?;
    let archive = archive::open(store, Source::File(file), NO_PROGRESS)?;
    one_archived(store, &archive, name, platform, NO_PROGRESS)
}
