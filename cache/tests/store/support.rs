//! A store with something in it, and looks at all of it.

use std::fs;
use std::path::{Path, PathBuf};

use cache::{Key, Layer, LayerId, Record, Store, StoreError, StoredImage};
use image::{BlobDigest, Digest, ImageId, Reference};

/// A directory that is removed at the end of the test, with a store in it.
pub(crate) struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A new opening, which remembers nothing.
    pub(crate) fn open(&self) -> Store {
        Store::open(&self.root()).expect("the store opens")
    }
}

pub(crate) fn key(name: &str) -> Key {
    Key(Digest::of(name.as_bytes()))
}

pub(crate) fn reference(text: &str) -> Reference {
    text.parse().expect("a reference")
}

/// A layer with one file.
pub(crate) fn layer(store: &Store, file: &str, content: &str) -> Layer {
    let active = store.begin_layer().expect("a layer begins");
    fs::write(active.fs_path().join(file), content).expect("the file is written");
    active.commit().expect("the layer is committed")
}

pub(crate) fn record(name: &str, layers: &[LayerId]) -> Record {
    Record {
        key: key(name),
        offered: None,
        layers: layers.to_vec(),
        content: Some(Digest::of(b"content")),
        created_unix_ns: 5,
        description: name.to_owned(),
        ingredients: vec![("argv".to_owned(), name.to_owned())],
    }
}

pub(crate) fn image(config: BlobDigest, layers: &[LayerId]) -> StoredImage {
    StoredImage {
        id: ImageId(config.0),
        manifest: None,
        layers: layers.to_vec(),
        clamp_mtime: None,
        created_unix_s: 7,
        size_bytes: 8,
        labels: [("key".to_owned(), "value".to_owned())].into(),
    }
}

/// One of everything, each under `name`.
pub(crate) fn put_all(store: &Store, name: &str) -> Result<(), StoreError> {
    let active = store.begin_layer()?;
    fs::write(active.fs_path().join("file"), name)
        .map_err(|source| StoreError::Write { path: active.fs_path(), source })?;
    let layer = active.commit()?;
    layer.diff_id(None)?;
    layer.diff_id(Some(0))?;
    store.put_record(&record(name, &[layer.id()]))?;
    let config = store.put_blob(name.as_bytes())?;
    store.put_image(&image(config, &[layer.id()]))?;
    store.tag(&reference(name), &ImageId(config.0))?;
    store.make_durable()
}

/// Everything of [`put_all`] that is there, as text; panics when something is there only in part.
pub(crate) fn look_at_all(store: &Store, name: &str) -> Result<Vec<String>, StoreError> {
    let mut seen = Vec::new();
    let check = |ids: &[LayerId]| {
        for id in ids {
            let layer = store.layer(id)?.expect("a record points at layers that are there");
            let content =
                fs::read_to_string(layer.fs_path().unwrap().join("file")).expect("a layer is whole");
            assert_eq!(content, name);
            layer.diff_id(None)?;
            layer.diff_id(Some(0))?;
            layer.content_digest()?;
            layer.size_bytes()?;
        }
        Ok::<_, StoreError>(())
    };
    if let Some(found) = store.record(&key(name))? {
        check(&found.layers)?;
        assert_eq!(found, record(name, &found.layers));
        let diff_id = store.layer(&found.layers[0])?.expect("checked above").diff_id(None)?;
        seen.extend(store.layer_by_diff_id(&diff_id)?.map(|_| "diff id".to_owned()));
        seen.push("record".to_owned());
    }
    let digest = BlobDigest(Digest::of(name.as_bytes()));
    if let Some(found) = store.image(&ImageId(digest.0))? {
        check(&found.layers)?;
        assert_eq!(found, image(digest, &found.layers));
        seen.push("image".to_owned());
    }
    if let Some(id) = store.resolve(&reference(name))? {
        assert_eq!(id, ImageId(digest.0));
        seen.push("tag".to_owned());
    }
    if let Some(bytes) = store.read_blob(&digest, 1 << 20)? {
        assert_eq!(bytes, name.as_bytes());
        seen.push("blob".to_owned());
    }
    // A writer that was killed before it tagged leaves an image without a name; it is whole all the same.
    for left in store.images()? {
        for id in &left.layers {
            assert!(store.layer(id)?.is_some(), "image {} points at layers that are there", left.id);
        }
    }
    store.find_images("")?;
    seen.sort();
    Ok(seen)
}

/// Names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = match fs::read_dir(directory) {
        Ok(entries) => entries
            .map(|entry| entry.expect("an entry").file_name().into_string().expect("a UTF-8 name"))
            .collect(),
        Err(_) => Vec::new(),
    };
    names.sort();
    names
}
