//! OCI layouts that travel: those of a client are brought here as far as a build needs them, and ours go to a client.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use image::{BlobDigest, Descriptor, Digest, Index, Manifest, MediaType, Platform};
use tonic::Status;

use super::content::ClientStore;
use super::files::joined;

/// A manifest that is larger is refused by registries as well.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// What can be unpacked is smaller than this.
const BLOB_BYTES_MAX: u64 = 1 << 40;
/// Indexes in indexes.
const DEPTH_MAX: usize = 8;
/// Blobs of one layout.
const BLOBS_MAX: usize = 100_000;
/// Under which name it is found here.
pub(crate) const TAG: &str = "latest";
const INDEX: &str = "index.json";
const REF_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// The file that makes a directory a layout, and what is in it.
const MARK: (&str, &[u8]) = ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);

fn blobs(layout: &Path) -> PathBuf {
    layout.join("blobs/sha256")
}

fn blob(layout: &Path, digest: &BlobDigest) -> PathBuf {
    blobs(layout).join(digest.0.hex())
}

fn disk(path: &Path) -> impl Fn(io::Error) -> Status + use<'_> {
    move |error| Status::internal(format!("`{}`: {error}", path.display()))
}

fn is_document(descriptor: &Descriptor) -> bool {
    matches!(MediaType::parse(&descriptor.media_type), Some(MediaType::Manifest | MediaType::Index))
}

/// What a manifest or an index names, and its own type.
fn named_by(digest: &BlobDigest, bytes: &[u8]) -> Result<(String, Vec<Descriptor>), Status> {
    // An index has no config, and a manifest has one.
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            let all = std::iter::once(manifest.config).chain(manifest.layers);
            Ok((manifest.media_type, all.collect()))
        }
        Err(_) => {
            let wrong = |error| Status::invalid_argument(format!("{digest}: {error}"));
            let index = Index::parse(bytes).map_err(wrong)?;
            Ok((index.media_type, index.manifests))
        }
    }
}

fn is_wanted(descriptor: &Descriptor, platforms: &[Platform]) -> bool {
    let named = descriptor.platform.as_ref().filter(|_| !platforms.is_empty());
    named.is_none_or(|of| platforms.iter().any(|it| (&it.os, &it.architecture) == (&of.os, &of.architecture)))
}

/// Brings what a digest names into a directory that is kept, asking only for what is not there; of an image for many
/// platforms those for `platforms`, all when there are none. Other blobs in the directory are removed.
pub(crate) async fn bring(
    store: &ClientStore,
    layout: &Path,
    root: &BlobDigest,
    platforms: &[Platform],
) -> Result<(), Status> {
    let missing = || Status::not_found(format!("the client has no {root} in this store"));
    let size_bytes = store.size_bytes(root).await?.ok_or_else(missing)?;
    let mut top = Descriptor::new(MediaType::Manifest, *root, size_bytes);
    let mut seen = HashSet::from([*root]);
    let mut waiting = vec![(top.clone(), 0)];
    while let Some((descriptor, depth)) = waiting.pop() {
        let is_document = is_document(&descriptor);
        let bytes_max = if is_document { DOCUMENT_BYTES_MAX } else { BLOB_BYTES_MAX };
        let path = blob(layout, &descriptor.digest);
        if !is_there(path.clone(), descriptor.size_bytes).await? {
            store.fetch(&descriptor.digest, bytes_max, path.clone()).await?;
        }
        if !is_document {
            continue;
        }
        if depth > DEPTH_MAX {
            return Err(Status::invalid_argument(format!(
                "{root} has more than {DEPTH_MAX} indexes in one another"
            )));
        }
        let bytes = joined(crate::blocking::spawn_blocking(move || read(&path))).await??;
        let (media_type, named) = named_by(&descriptor.digest, &bytes)?;
        if descriptor.digest == *root {
            top.media_type = media_type;
        }
        for next in named {
            if is_wanted(&next, platforms) && seen.insert(next.digest) {
                waiting.push((next, depth + 1));
            }
        }
        if seen.len() > BLOBS_MAX {
            return Err(Status::resource_exhausted(format!("{root} has more than {BLOBS_MAX} blobs")));
        }
    }
    let layout = layout.to_owned();
    joined(crate::blocking::spawn_blocking(move || name(&layout, top, &seen))).await?
}

/// The config of what a digest names: of the image, or of the one for a platform.
pub(crate) async fn config(
    store: &ClientStore,
    root: &BlobDigest,
    platform: &Platform,
) -> Result<Vec<u8>, Status> {
    let mut digest = *root;
    for _ in 0..=DEPTH_MAX {
        let bytes = store.document(&digest, DOCUMENT_BYTES_MAX).await?;
        if let Ok(manifest) = Manifest::parse(&bytes) {
            return store.document(&manifest.config.digest, DOCUMENT_BYTES_MAX).await;
        }
        let (_, named) = named_by(&digest, &bytes)?;
        let none = || Status::not_found(format!("{root} has no image for {platform}"));
        let wanted = named.into_iter().find(|it| is_wanted(it, std::slice::from_ref(platform)));
        digest = wanted.ok_or_else(none)?.digest;
    }
    Err(Status::invalid_argument(format!("{root} has more than {DEPTH_MAX} indexes in one another")))
}

/// Whether a blob that was brought before is still there.
async fn is_there(path: PathBuf, size_bytes: u64) -> Result<bool, Status> {
    let look = move || fs::metadata(path).is_ok_and(|found| found.len() == size_bytes);
    joined(crate::blocking::spawn_blocking(look)).await
}

fn read(path: &Path) -> Result<Vec<u8>, Status> {
    let size_bytes = fs::metadata(path).map_err(disk(path))?.len();
    if size_bytes > DOCUMENT_BYTES_MAX {
        return Err(Status::resource_exhausted(format!(
            "a document of {size_bytes} bytes, which is more than {DOCUMENT_BYTES_MAX}"
        )));
    }
    fs::read(path).map_err(disk(path))
}

/// Writes the index of a layout whose blobs are there, and removes those that it does not name.
fn name(layout: &Path, mut top: Descriptor, seen: &HashSet<BlobDigest>) -> Result<(), Status> {
    let directory = blobs(layout);
    let names: HashSet<String> = seen.iter().map(|digest| digest.0.hex()).collect();
    for entry in fs::read_dir(&directory).map_err(disk(&directory))? {
        let entry = entry.map_err(disk(&directory))?;
        if entry.file_name().to_str().is_none_or(|name| !names.contains(name)) {
            fs::remove_file(entry.path()).map_err(disk(&directory))?;
        }
    }
    top.annotations.insert(REF_NAME_ANNOTATION.to_owned(), TAG.to_owned());
    for (name, bytes) in [(INDEX, &*Index::new(vec![top]).to_json()), (MARK.0, MARK.1)] {
        let path = layout.join(name);
        fs::write(&path, bytes).map_err(disk(&path))?;
    }
    Ok(())
}

/// Empties a directory in which there may be a layout.
pub(crate) fn clear(layout: &Path) -> Result<(), Status> {
    for entry in fs::read_dir(layout).map_err(disk(layout))? {
        let entry = entry.map_err(disk(layout))?;
        let path = entry.path();
        let is_directory = entry.file_type().map_err(disk(&path))?.is_dir();
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(disk(&path))?;
    }
    Ok(())
}

/// Sends what a layout here names to a client, each blob after those that it names; what it was.
pub(crate) async fn send(store: &ClientStore, layout: &Path) -> Result<Descriptor, Status> {
    let from = layout.to_owned();
    let (top, all) = joined(crate::blocking::spawn_blocking(move || contents(&from))).await??;
    for descriptor in all.into_iter().rev() {
        store.send(&descriptor, blob(layout, &descriptor.digest)).await?;
    }
    Ok(top)
}

/// What a layout of ours names, and all blobs of that, each before those that it names.
fn contents(layout: &Path) -> Result<(Descriptor, Vec<Descriptor>), Status> {
    let path = layout.join(INDEX);
    let own = |error: image::ManifestError| Status::internal(format!("`{}`: {error}", path.display()));
    let index = Index::parse(&read(&path)?).map_err(own)?;
    let nothing = || Status::internal(format!("`{}` names nothing", path.display()));
    let mut top = index.manifests.into_iter().next_back().ok_or_else(nothing)?;
    top.annotations.clear();
    let mut all = vec![top.clone()];
    let mut seen = HashSet::from([top.digest]);
    let mut at = 0;
    while at < all.len() {
        if is_document(&all[at]) {
            let digest = all[at].digest;
            let (_, named) = named_by(&digest, &read(&blob(layout, &digest))?)?;
            all.extend(named.into_iter().filter(|next| seen.insert(next.digest)));
        }
        at += 1;
    }
    Ok((top, all))
}

/// A digest as clients write it.
pub(crate) fn digest(text: &str) -> Result<BlobDigest, Status> {
    let wrong = |_| Status::invalid_argument(format!("`{text}` is no digest"));
    text.parse::<Digest>().map(BlobDigest).map_err(wrong)
}
