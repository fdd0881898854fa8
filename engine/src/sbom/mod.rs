//! Which packages are in an image: what package managers and compilers left in its files.
//!
//! Known are the databases of dpkg and apk, the metadata of Python's and Node's packages, and what Go and
//! cargo-auditable write into programs. Everything read is foreign: files are bounded, and what cannot be read is no
//! package.

mod apk;
mod dpkg;
mod elf;
mod go;
mod node;
mod package;
mod purl;
mod python;
mod rust;
mod spdx;
mod walk;

use cache::Store;
use image::ImageId;

use crate::images::{ImageError, Predicate, read_config, stored};
pub use package::{Ecosystem, Package};

/// Of SPDX documents, as in BuildKit.
const PREDICATE_TYPE: &str = "https://spdx.dev/Document";

/// The list of the packages of an image.
pub(crate) fn predicate(store: &Store, id: &ImageId) -> Result<Predicate, ImageError> {
    let image = stored(store, id)?;
    let view = store.view(&image.layers)?;
    let contents = walk::packages(view.root())?;
    let value = spdx::document(&id.to_string(), &read_config(store, id)?, &contents);
    Ok(Predicate { kind: PREDICATE_TYPE.to_owned(), value })
}

/// What the files of one ecosystem say, for whoever tries the readers out.
pub fn read(ecosystem: Ecosystem, bytes: &[u8]) -> Vec<Package> {
    match ecosystem {
        Ecosystem::Debian => dpkg::read(bytes),
        Ecosystem::Alpine => apk::read(bytes),
        Ecosystem::Python => python::read(bytes).into_iter().collect(),
        Ecosystem::Node => node::read(bytes).into_iter().collect(),
        Ecosystem::Go => elf::section(&bytes, go::SECTION).map_or_else(Vec::new, |it| go::read(&it)),
        Ecosystem::Rust => elf::section(&bytes, rust::SECTION).map_or_else(Vec::new, |it| rust::read(&it)),
    }
}
