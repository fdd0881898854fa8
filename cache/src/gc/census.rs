//! One look at everything in the store, that takes no lease: what there is, and what points at what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{DiffId, Digest, ImageId};
use rustix::fs::{AtFlags, Stat, statat};
use rustix::io::Errno;

use super::news::Version;
use super::size::tree_size;
use super::touch::now_unix_ns;
use crate::disk::Disk;
use crate::record::record_name;
use crate::snapshot::packed_name;
use crate::{Amount, Key, LayerId, Record, Store, StoreError};

/// In a second.
pub(crate) const NANOSECONDS: i64 = 1_000_000_000;

/// Which images keep their layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// All of them.
    Images,
    /// Those that have a name. One without is as good as the cache that it was made from.
    NamedImages,
}

/// What a file that points at layers is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// A key record.
    Record,
    /// An image that does not keep its layers, and goes with them.
    Image,
}

/// A key record that counts, or an image that goes with its layers.
pub(crate) struct SeenRecord {
    pub(crate) pointer: Pointer,
    /// Its file, below the root of the store.
    pub(crate) file: String,
    pub(crate) layers: Vec<LayerId>,
    pub(crate) blobs: Vec<Digest>,
    pub(crate) size_bytes: u64,
    pub(crate) created_unix_s: i64,
    pub(crate) used_unix_ns: i64,
    pub(crate) description: String,
}

/// A layer that is there.
#[derive(Clone, Default)]
pub(crate) struct SeenLayer {
    pub(crate) size_bytes: u64,
    /// Whether its files are there.
    pub(crate) is_whole: bool,
    /// The blob that it was unpacked from.
    pub(crate) blob: Option<Digest>,
}

/// A file or directory that nothing points at and that is used by name.
#[derive(Clone)]
pub(crate) struct SeenPlain {
    /// Below the root of the store.
    pub(crate) name: String,
    pub(crate) size_bytes: u64,
    pub(crate) used_unix_ns: i64,
}

/// Everything in a store.
#[derive(Default)]
pub(crate) struct Census {
    pub(crate) records: Vec<SeenRecord>,
    /// Files of records that are no use: damaged, of another boot, or without one of their layers.
    pub(crate) useless_records: Vec<String>,
    pub(crate) layers: BTreeMap<LayerId, SeenLayer>,
    /// Files that name a layer by its diff id, and the layer; none when they are damaged.
    pub(crate) diff_ids: Vec<(String, Option<LayerId>)>,
    pub(crate) blobs: BTreeMap<Digest, u64>,
    /// How many images stand on each layer.
    pub(crate) image_layers: HashMap<LayerId, u64>,
    /// On which layers containers stand.
    pub(crate) container_layers: BTreeSet<LayerId>,
    /// Configs and manifests.
    pub(crate) image_blobs: BTreeSet<Digest>,
    pub(crate) images: u64,
    pub(crate) mounts: Vec<SeenPlain>,
    pub(crate) contexts: Vec<SeenPlain>,
    pub(crate) clients: Vec<SeenPlain>,
    pub(crate) logs: Vec<SeenPlain>,
    /// The files of records and images.
    pub(super) known: HashMap<String, Version>,
    /// When it was begun.
    pub(super) began_unix_ns: i64,
}

impl Census {
    pub(crate) fn take(store: &Store, keeping: Keeping) -> Result<Self, StoreError> {
        let mut census = Self { began_unix_ns: now_unix_ns(), ..Self::default() };
        // Layers come before what points at them, so they are looked at after it: all that are pointed at
        // are seen.
        census.take_images(store, keeping)?;
        census.take_records(store)?;
        for name in store.disk().names("layers")? {
            let Ok(id) = name.parse() else { continue };
            if let Some(layer) = look_at_layer(store, &id)? {
                census.layers.insert(id, layer);
            }
        }
        census.sort_out_useless_records();
        for name in store.disk().names("diff-ids")? {
            let Ok(diff_id) = Digest::from_hex(&name) else { continue };
            census.diff_ids.push((format!("diff-ids/{name}"), store.named_layer(&DiffId(diff_id))?));
        }
        for name in store.disk().names("blobs/sha256")? {
            let Ok(digest) = Digest::from_hex(&name) else { continue };
            if let Some(stat) = stat(store.disk(), &format!("blobs/sha256/{name}"))? {
                census.blobs.insert(digest, size_of(&stat));
            }
        }
        census.take_plain(store)?;
        Ok(census)
    }

    fn take_images(&mut self, store: &Store, keeping: Keeping) -> Result<(), StoreError> {
        // Images come before their names, so they are looked at first: one that is new stays, see `news`.
        let names = image_names(store)?;
        let named = match keeping {
            Keeping::Images => None,
            Keeping::NamedImages => Some(store.named_images()?),
        };
        self.container_layers = layers_of_containers(store)?.into_iter().collect();
        for name in names {
            let Some(stat) = stat(store.disk(), &name)? else { continue };
            let Some((layers, blobs)) = look_at_image(store, &name)? else { continue };
            self.images += 1;
            if named.as_ref().is_some_and(|named| !named.contains(&ImageId(blobs[0]))) {
                self.known.insert(name.clone(), Version::of(&stat));
                self.records.push(SeenRecord::of_image(name, layers, blobs, &stat));
                continue;
            }
            layers.into_iter().for_each(|layer| *self.image_layers.entry(layer).or_default() += 1);
            self.image_blobs.extend(blobs);
            self.known.insert(name, Version::of(&stat));
        }
        Ok(())
    }

    /// Whether an image or a container stands on a layer.
    pub(crate) fn is_stood_on(&self, layer: &LayerId) -> bool {
        self.image_layers.contains_key(layer) || self.container_layers.contains(layer)
    }

    fn take_records(&mut self, store: &Store) -> Result<(), StoreError> {
        for (name, key) in records(store)? {
            let Some(stat) = stat(store.disk(), &name)? else { continue };
            match store.load_record(&key)? {
                Some(record) => {
                    self.records.push(SeenRecord::of_step(record, &stat));
                    self.known.insert(name, Version::of(&stat));
                }
                None => self.useless_records.push(name),
            }
        }
        Ok(())
    }

    fn sort_out_useless_records(&mut self) {
        let layers = &self.layers;
        let is_whole = |id: &LayerId| layers.get(id).is_some_and(|layer| layer.is_whole);
        let useless = self.records.extract_if(.., |record| !record.layers.iter().all(is_whole));
        self.useless_records.extend(useless.map(|record| record.file));
    }

    fn take_plain(&mut self, store: &Store) -> Result<(), StoreError> {
        let disk = store.disk();
        for base in disk.names("mounts")? {
            for number in disk.names(&format!("mounts/{base}"))? {
                let name = format!("mounts/{base}/{number}");
                let Some(stat) = stat(disk, &name)? else { continue };
                let size_bytes = tree_size(disk, &format!("{name}/data"))?.unwrap_or(0);
                self.mounts.push(SeenPlain { name, size_bytes, used_unix_ns: modified_unix_ns(&stat) });
            }
        }
        for client in disk.names("clients")? {
            for number in disk.names(&format!("clients/{client}"))? {
                let name = format!("clients/{client}/{number}");
                let Some(stat) = stat(disk, &format!("{name}/lock"))? else { continue };
                let Some(size_bytes) = tree_size(disk, &format!("{name}/files"))? else { continue };
                self.clients.push(SeenPlain { name, size_bytes, used_unix_ns: modified_unix_ns(&stat) });
            }
        }
        for name in disk.names("contexts")? {
            let name = format!("contexts/{name}");
            let Some(stat) = stat(disk, &name)? else { continue };
            self.contexts.push(SeenPlain {
                name,
                size_bytes: size_of(&stat),
                used_unix_ns: modified_unix_ns(&stat),
            });
        }
        for name in disk.names("logs")? {
            let name = format!("logs/{name}");
            let (Some(stat), Some(size_bytes)) = (stat(disk, &name)?, tree_size(disk, &name)?) else {
                continue;
            };
            self.logs.push(SeenPlain { name, size_bytes, used_unix_ns: modified_unix_ns(&stat) });
        }
        for name in disk.names("builds")? {
            let name = format!("builds/{name}");
            let Some(stat) = stat(disk, &name)? else { continue };
            self.logs.push(SeenPlain {
                name,
                size_bytes: size_of(&stat),
                used_unix_ns: modified_unix_ns(&stat),
            });
        }
        Ok(())
    }

    /// Adds up the small files that are none of the others: what images are called and made of, what is known of
    /// layers, what is durable.
    pub(crate) fn names(&self, store: &Store) -> Result<Amount, StoreError> {
        let mut files = vec!["format".to_owned(), "filling".to_owned()];
        for directory in ["images", "tags", "diff-ids", "durable"] {
            files.extend(store.disk().names(directory)?.iter().map(|name| format!("{directory}/{name}")));
        }
        for mount in &self.mounts {
            let stamps = store.disk().names(&mount.name)?;
            files.extend(
                stamps.iter().filter(|it| it.starts_with("used.")).map(|it| format!("{}/{it}", mount.name)),
            );
        }
        files.extend(self.layers.keys().map(|id| format!("{}/facts", crate::snapshot::layer_name(id))));
        let mut amount = Amount::default();
        for name in files {
            if let Some(stat) = stat(store.disk(), &name)? {
                amount.add(size_of(&stat));
            }
        }
        Ok(amount)
    }
}

impl SeenRecord {
    fn of_step(record: Record, stat: &Stat) -> Self {
        let Record { key, offered: _, layers, content, created_unix_ns, description, ingredients: _ } =
            record;
        Self {
            pointer: Pointer::Record,
            file: record_name(&key),
            layers,
            blobs: content.into_iter().collect(),
            size_bytes: size_of(stat),
            created_unix_s: created_unix_ns.div_euclid(1_000_000_000),
            used_unix_ns: modified_unix_ns(stat),
            description,
        }
    }

    fn of_image(file: String, layers: Vec<LayerId>, blobs: Vec<Digest>, stat: &Stat) -> Self {
        Self {
            pointer: Pointer::Image,
            file,
            layers,
            blobs,
            size_bytes: size_of(stat),
            created_unix_s: stat.st_mtime,
            used_unix_ns: modified_unix_ns(stat),
            description: String::new(),
        }
    }

    /// Its name among its like: the key, or the image id.
    pub(crate) fn id(&self) -> &str {
        self.file.rsplit_once('/').map_or(self.file.as_str(), |(_, id)| id)
    }
}

fn look_at_layer(store: &Store, id: &LayerId) -> Result<Option<SeenLayer>, StoreError> {
    let fs = format!("{}/fs", crate::snapshot::layer_name(id));
    let is_directory = store.disk().exists(&fs)?;
    let packed = if is_directory { None } else { stat(store.disk(), &packed_name(id))? };
    if !is_directory && packed.is_none() {
        // Left of one that was removed by halves; it is nobody's.
        return Ok(Some(SeenLayer::default()));
    }
    let (size_bytes, blob) = store.known_of_layer(id)?;
    let size_bytes = match size_bytes {
        Some(size_bytes) => size_bytes,
        None if packed.is_some() => packed.as_ref().map_or(0, size_of),
        None => match tree_size(store.disk(), &fs)? {
            Some(size_bytes) => size_bytes,
            None => return Ok(None),
        },
    };
    let unpacked = tree_size(store.disk(), &store.unpacked_name(id))?.unwrap_or(0);
    let size_bytes = size_bytes + if is_directory { 0 } else { unpacked };
    Ok(Some(SeenLayer { size_bytes, is_whole: true, blob }))
}

pub(super) fn image_names(store: &Store) -> Result<Vec<String>, StoreError> {
    Ok(store.disk().names("images")?.iter().map(|name| format!("images/{name}")).collect())
}

/// What containers stand on, also when their images are gone: a file of each names its layers, a line for each.
pub(super) fn layers_of_containers(store: &Store) -> Result<Vec<LayerId>, StoreError> {
    let mut layers = Vec::new();
    let all = store.disk().names("containers")?;
    for id in all.iter().filter(|id| !id.starts_with(CONTAINER_GONE)) {
        let name = format!("containers/{id}/layers");
        // One that is removed in this moment stands on nothing any more.
        let Some(bytes) = store.disk().read(&name, CONTAINER_LAYERS_BYTES_MAX)? else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        layers.extend(text.lines().filter_map(|line| line.parse::<LayerId>().ok()));
    }
    Ok(layers)
}

/// How the names of directories begin whose containers have ended, and which only have to be deleted.
const CONTAINER_GONE: &str = ".gone-";

/// An image has some hundred layers at most, and the name of each is 32 bytes.
const CONTAINER_LAYERS_BYTES_MAX: u64 = 1 << 20;

/// Layers and blobs of an image.
pub(super) type SeenImage = (Vec<LayerId>, Vec<Digest>);

/// What an image stands on; none when the image does not count.
pub(super) fn look_at_image(store: &Store, name: &str) -> Result<Option<SeenImage>, StoreError> {
    let Ok(id) = Digest::from_hex(name.trim_start_matches("images/")) else { return Ok(None) };
    let Some((_, image)) = store.load_image(&ImageId(id))? else { return Ok(None) };
    let blobs = [Some(image.id.0), image.manifest.map(|manifest| manifest.0)];
    Ok(Some((image.layers, blobs.into_iter().flatten().collect())))
}

pub(super) fn records(store: &Store) -> Result<Vec<(String, Key)>, StoreError> {
    let mut records = Vec::new();
    for shard in store.disk().names("records")? {
        for name in store.disk().names(&format!("records/{shard}"))? {
            if let Ok(digest) = Digest::from_hex(&name) {
                records.push((format!("records/{shard}/{name}"), Key(digest)));
            }
        }
    }
    Ok(records)
}

pub(super) fn stat(disk: &Disk, name: &str) -> Result<Option<Stat>, StoreError> {
    match statat(disk.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(disk.read_error(name, error)),
    }
}

fn size_of(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn modified_unix_ns(stat: &Stat) -> i64 {
    unix_ns(stat.st_mtime, stat.st_mtime_nsec)
}

pub(super) fn unix_ns(seconds: i64, nanoseconds: u64) -> i64 {
    seconds.saturating_mul(NANOSECONDS).saturating_add(i64::try_from(nanoseconds).unwrap_or(0))
}
