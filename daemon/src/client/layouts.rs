//! OCI layouts of ours in a build: what of them a daemon gets, and what they name afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::images::{name_in_layout, named_in_layout};
use image::{BlobDigest, Descriptor, Digest, MediaType, Reference};
use serde::Deserialize;

use super::ClientError;
use super::build::{BuildOrder, CacheOrder};
use super::stores::{Access, Store};
use super::take::Target;
use crate::content::{CACHE_PREFIX, EXPORT, LAYOUT_PREFIX};

/// The kind of a cache in a directory.
const LOCAL: &str = "local";
/// Its name there when nobody says another one.
const TAG: &str = "latest";
const REF_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
const NAME_ANNOTATION: &str = "io.containerd.image.name";

/// The layouts of a build.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// By the names that the daemon asks for.
    pub(super) stores: BTreeMap<String, Store>,
    /// The caches to read, those in directories by their digests.
    pub(super) cache_imports: Vec<CacheOrder>,
    /// Where caches are written, with their names there.
    caches: Vec<(PathBuf, String)>,
    /// Where the image goes.
    image: Option<PathBuf>,
}

/// A manifest, as daemons tell of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    media_type: String,
    digest: Digest,
    size: u64,
}

impl Told {
    fn descriptor(self) -> Descriptor {
        let descriptor = Descriptor::new(MediaType::Manifest, BlobDigest(self.digest), self.size);
        Descriptor { media_type: self.media_type, ..descriptor }
    }
}

fn wrong(path: &Path) -> impl Fn(io::Error) -> ClientError + use<'_> {
    move |source| ClientError::Offer { what: format!("`{}`", path.display()), source }
}

impl Layouts {
    pub(super) fn of(order: &BuildOrder) -> Result<Self, ClientError> {
        let mut layouts = Self::default();
        for (name, path) in &order.layouts {
            let store = Store { path: path.clone(), access: Access::Read };
            layouts.stores.insert(format!("{LAYOUT_PREFIX}{name}"), store);
        }
        for cache in &order.cache_imports {
            let import = layouts.import(cache)?;
            layouts.cache_imports.extend(import);
        }
        for cache in order.cache_exports.iter().filter(|cache| cache.kind == LOCAL) {
            let path = directory(cache, "dest")?;
            let store = Store { path: path.clone(), access: Access::Write };
            layouts.stores.insert(format!("{CACHE_PREFIX}{}", path.display()), store);
            layouts.caches.push((path, tag(cache)));
        }
        let mut images = order.outputs.iter().filter_map(|output| match &output.target {
            Some(Target::Layout(path)) => Some(path.clone()),
            _ => None,
        });
        layouts.image = images.next();
        if let Some(path) = &layouts.image {
            let store = Store { path: path.clone(), access: Access::Write };
            layouts.stores.insert(EXPORT.to_owned(), store);
        }
        match images.next() {
            None => Ok(layouts),
            Some(second) => Err(wrong(&second)(io::Error::other(
                "only one image of a build goes to a directory of its own",
            ))),
        }
    }

    /// A cache that is read, as the daemon knows it; none where there is none yet.
    fn import(&mut self, cache: &CacheOrder) -> Result<Option<CacheOrder>, ClientError> {
        if cache.kind != LOCAL {
            return Ok(Some(cache.clone()));
        }
        let path = directory(cache, "src")?;
        let mut cache = cache.clone();
        if !cache.attributes.contains_key("digest") {
            let Some(found) = named_in_layout(&path, &tag(&cache)).map_err(wrong(&path))? else {
                tracing::warn!(path = %path.display(), "there is no cache yet");
                return Ok(None);
            };
            cache.attributes.insert("digest".to_owned(), found.digest.to_string());
        }
        let name = format!("{CACHE_PREFIX}{}", path.display());
        self.stores.entry(name).or_insert(Store { path, access: Access::Read });
        Ok(Some(cache))
    }

    /// Gives what has arrived its names.
    pub(super) fn name(&self, facts: &BTreeMap<String, String>) -> Result<(), ClientError> {
        let told = |text: &[u8]| serde_json::from_slice::<Told>(text).ok().map(Told::descriptor);
        if let Some(manifest) = facts.get("cache.manifest").and_then(|text| told(text.as_bytes())) {
            for (path, tag) in &self.caches {
                let mut manifest = manifest.clone();
                manifest.annotations.insert(REF_NAME_ANNOTATION.to_owned(), tag.clone());
                name_in_layout(path, manifest).map_err(wrong(path))?;
            }
        }
        let manifest = facts.get("containerimage.descriptor").and_then(|text| STANDARD.decode(text).ok());
        let (Some(path), Some(manifest)) = (&self.image, manifest.and_then(|text| told(&text))) else {
            return Ok(());
        };
        let names = facts.get("image.name").map(String::as_str).unwrap_or_default();
        let names: Vec<Reference> = names.split(',').filter_map(|name| name.parse().ok()).collect();
        for name in names.iter().map(Some).chain(names.is_empty().then_some(None)) {
            let mut manifest = manifest.clone();
            let tag = name.and_then(Reference::tag).unwrap_or(TAG).to_owned();
            manifest.annotations.insert(REF_NAME_ANNOTATION.to_owned(), tag);
            if let Some(name) = name {
                manifest.annotations.insert(NAME_ANNOTATION.to_owned(), name.to_string());
            }
            name_in_layout(path, manifest).map_err(wrong(path))?;
        }
        Ok(())
    }
}

fn directory(cache: &CacheOrder, name: &str) -> Result<PathBuf, ClientError> {
    let missing = || ClientError::Offer {
        what: "a cache in a directory".to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, format!("it needs `{name}=DIRECTORY`")),
    };
    cache.attributes.get(name).filter(|path| !path.is_empty()).map(PathBuf::from).ok_or_else(missing)
}

fn tag(cache: &CacheOrder) -> String {
    cache.attributes.get("tag").filter(|tag| !tag.is_empty()).cloned().unwrap_or_else(|| TAG.to_owned())
}
