//! What was published since a census was taken.

use std::collections::BTreeSet;

use image::Digest;
use rustix::fs::Stat;

use super::census::{Census, image_names, layers_of_containers, look_at_image, records, stat, unix_ns};
use crate::{LayerId, Store, StoreError};

/// The coarsest clock of files: a tick of a kernel with `HZ=100`, twice.
const FILE_CLOCK_NS_MAX: i64 = 20_000_000;

/// Which file it is that has a name. A number alone does not tell: file systems give it to the next new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    inode: u64,
    changed_unix_ns: i64,
}

impl Version {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { inode: stat.st_ino, changed_unix_ns: unix_ns(stat.st_ctime, stat.st_ctime_nsec) }
    }
}

/// What was published since a census.
#[derive(Default)]
pub(crate) struct News {
    pub(crate) layers: BTreeSet<LayerId>,
    pub(crate) blobs: BTreeSet<Digest>,
}

impl Census {
    /// Whether the census has seen this very file. One from just before it cannot be told from the next one, when
    /// clocks of files are as coarse as they may be.
    fn is_known(&self, name: &str, version: Version) -> bool {
        self.known.get(name) == Some(&version)
            && version.changed_unix_ns < self.began_unix_ns.saturating_sub(FILE_CLOCK_NS_MAX)
    }

    /// What records, images and layers point at that were published since this census was taken. `removed`
    /// are files of records that we have removed since: one of that name is a new one.
    pub(crate) fn news(&self, store: &Store, removed: &BTreeSet<String>) -> Result<News, StoreError> {
        let mut news = News::default();
        let is_new = |name: &String| -> Result<bool, StoreError> {
            let Some(stat) = stat(store.disk(), name)? else { return Ok(false) };
            Ok(removed.contains(name) || !self.is_known(name, Version::of(&stat)))
        };
        for name in image_names(store)? {
            if is_new(&name)?
                && let Some((layers, blobs)) = look_at_image(store, &name)?
            {
                news.layers.extend(layers);
                news.blobs.extend(blobs);
            }
        }
        news.layers.extend(layers_of_containers(store)?);
        for (name, key) in records(store)? {
            if is_new(&name)?
                && let Some(record) = store.load_record(&key)?
            {
                news.layers.extend(record.layers);
                news.blobs.extend(record.content);
            }
        }
        for name in store.disk().names("layers")? {
            if let Ok(id) = name.parse::<LayerId>()
                && !self.layers.contains_key(&id)
            {
                news.blobs.extend(store.known_of_layer(&id)?.1);
            }
        }
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use image::{BlobDigest, ImageId};

    use std::collections::BTreeMap;

    use super::super::census::Keeping;
    use super::*;
    use crate::StoredImage;

    fn layer(store: &Store) -> LayerId {
        store.begin_layer().unwrap().commit().unwrap().id()
    }

    fn put_image(store: &Store, config: BlobDigest, layer: LayerId) -> String {
        let image = StoredImage {
            id: ImageId(config.0),
            manifest: None,
            layers: vec![layer],
            clamp_mtime: None,
            created_unix_s: 0,
            size_bytes: 0,
            labels: BTreeMap::new(),
        };
        store.put_image(&image).unwrap();
        format!("images/{}", config.0.hex())
    }

    #[test]
    fn an_image_that_got_the_inode_of_the_one_before_is_news() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let config = store.put_blob(b"{}").unwrap();
        let (old, new) = (layer(&store), layer(&store));
        let file = dir.path().join(put_image(&store, config, new));
        let bytes = std::fs::read(&file).unwrap();
        store.remove_image(&ImageId(config.0)).unwrap();
        put_image(&store, config, old);
        let census = Census::take(&store, Keeping::Images).unwrap();
        // As a new file does whose inode was free: the same number, other bytes.
        std::fs::write(&file, bytes).unwrap();
        let news = census.news(&store, &BTreeSet::new()).unwrap();
        assert_eq!(news.layers, BTreeSet::from([new]));
    }
}
