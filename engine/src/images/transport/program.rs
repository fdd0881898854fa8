//! The store of Podman and Buildah, through skopeo(1).
//!
//! Its files belong to a library of Go's: there is no description of them that others could follow, and whoever writes
//! there without its locks damages it.

use std::io;
use std::process::Stdio;

use cache::Store;
use image::{ImageId, Platform, Reference};
use tokio::process::Command;

use super::layout;
use crate::blocking::blocking;
use crate::images::archive::Archive;
use crate::images::load::one_archived;
use crate::images::{ImageError, LayoutName};

const PROGRAM: &str = "skopeo";
/// Of the image in the layout between the two programs.
const TAG: &str = "image";
/// Of what the program says, for an error.
const SAID_BYTES_MAX: usize = 4096;

/// Takes an image out of the other store.
pub(super) async fn fetch(
    store: &Store,
    name: &Reference,
    platform: &Platform,
) -> Result<ImageId, ImageError> {
    let between = store.stage_directory()?;
    copy(&of(name), &format!("oci:{}:{TAG}", between.path().display())).await?;
    let (store, platform) = (store.clone(), platform.clone());
    blocking(move || {
        let archive = Archive::directory(between.path())?;
        one_archived(&store, &archive, Some(&LayoutName::Tag(TAG.to_owned())), &platform, super::NO_PROGRESS)
    })
    .await
}

/// Puts an image into the other store.
pub(super) async fn send(store: &Store, id: ImageId, name: &Reference) -> Result<(), ImageError> {
    let between = store.stage_directory()?;
    let (store, path) = (store.clone(), between.path().to_owned());
    blocking(move || layout::write(&store, &id, &path, Some(TAG))).await?;
    copy(&format!("oci:{}:{TAG}", between.path().display()), &of(name)).await
}

fn of(name: &Reference) -> String {
    format!("containers-storage:{name}")
}

async fn copy(from: &str, to: &str) -> Result<(), ImageError> {
    let failed = |source| ImageError::Program { program: PROGRAM, source };
    let mut command = Command::new(PROGRAM);
    command.args(["copy", "--quiet", "--insecure-policy", from, to]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = &output.stderr[..output.stderr.len().min(SAID_BYTES_MAX)];
    Err(failed(io::Error::other(String::from_utf8_lossy(said).trim().to_owned())))
}
