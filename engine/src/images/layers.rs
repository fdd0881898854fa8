//! The layers of an image as tars: which bytes they are, how many, and that they are the right ones.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use cache::{Key, Layer, Record, Store, StoredImage};
use image::{DiffId, Hasher, ImageConfig, ImageId, Sha256};

use super::{ImageError, OnProgress};

/// Where a record of a tar's size keeps it.
const SIZE_INGREDIENT: &str = "size-bytes";

/// One layer of an image, as a tar with the diff id that the image's config names.
pub(crate) struct LayerTar {
    image: ImageId,
    pub(crate) diff_id: DiffId,
    pub(crate) layer: Layer,
    clamp_mtime: Option<i64>,
}

/// The layers of an image, lowest first.
///
/// # Errors
///
/// [`ImageError::Damaged`] when the image and its config have different layers, or one is gone.
pub(crate) fn layer_tars(
    store: &Store,
    image: &StoredImage,
    config: &ImageConfig,
) -> Result<Vec<LayerTar>, ImageError> {
    let diff_ids = &config.rootfs.diff_ids;
    let damaged = |what| ImageError::Damaged { id: image.id, what };
    if image.layers.len() != diff_ids.len() {
        let (layers, named) = (image.layers.len(), diff_ids.len());
        return Err(damaged(format!("it has {layers} layers, its config names {named}")));
    }
    let mut tars = Vec::with_capacity(diff_ids.len());
    for (id, diff_id) in image.layers.iter().zip(diff_ids) {
        let layer = store.layer(id)?.ok_or_else(|| damaged(format!("layer {id} is gone")))?;
        let clamp_mtime = clamp_of(image, &layer, *diff_id)?;
        tars.push(LayerTar { image: image.id, diff_id: *diff_id, layer, clamp_mtime });
    }
    Ok(tars)
}

/// Whether the layers of an image are those that its config names, by what is known of them.
///
/// # Errors
///
/// As [`layer_tars`].
pub(crate) fn layers_of(store: &Store, image: &StoredImage, config: &ImageConfig) -> Result<(), ImageError> {
    layer_tars(store, image, config).map(drop)
}

/// An image made with a clamp may stand on layers that were made without.
fn clamp_of(image: &StoredImage, layer: &Layer, expected: DiffId) -> Result<Option<i64>, ImageError> {
    let mut actual = layer.diff_id(image.clamp_mtime)?;
    if actual == expected {
        return Ok(image.clamp_mtime);
    }
    if image.clamp_mtime.is_some() {
        actual = layer.diff_id(None)?;
        if actual == expected {
            return Ok(None);
        }
    }
    Err(ImageError::LayerChanged { id: image.id, diff_id: expected, actual })
}

impl LayerTar {
    /// A layer of an image that is known to have this diff id with this clamp.
    pub(crate) fn new(image: ImageId, diff_id: DiffId, layer: Layer, clamp_mtime: Option<i64>) -> Self {
        Self { image, diff_id, layer, clamp_mtime }
    }

    /// Writes the tar.
    ///
    /// # Errors
    ///
    /// [`ImageError::LayerChanged`] at the end, when the files are no longer those of the image: what was
    /// written must then not be used.
    pub(crate) fn write(
        &self,
        to: &mut dyn Write,
        total_bytes: Option<u64>,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ImageError> {
        let part = format!("layer {}", super::short_digest(&self.diff_id.0));
        let mut to = Hashed {
            to,
            hash: Sha256::new(),
            count_bytes: 0,
            failed: None,
            total_bytes,
            on_progress,
            part: &part,
        };
        let written = self.layer.write_tar(&mut to, self.clamp_mtime);
        // What the destination said is the cause, whatever the writer of the tar made of it.
        if let Some(source) = to.failed.take() {
            return Err(ImageError::WriteStream { source });
        }
        written?;
        let actual = DiffId(to.hash.finish());
        if actual != self.diff_id {
            return Err(ImageError::LayerChanged { id: self.image, diff_id: self.diff_id, actual });
        }
        Ok(())
    }

    /// The number of bytes of the tar. Computed once and kept.
    pub(crate) fn size_bytes(&self, store: &Store) -> Result<u64, ImageError> {
        let key = Key(Hasher::new("layer-tar-size/v1").field("diff-id", self.diff_id.0.0).finish());
        let kept = store.record(&key)?.and_then(|record| {
            let (_, size) = record.ingredients.into_iter().find(|(name, _)| name == SIZE_INGREDIENT)?;
            size.parse().ok()
        });
        if let Some(size_bytes) = kept {
            return Ok(size_bytes);
        }
        // Whoever writes the tar afterwards verifies it.
        let mut count = Count::default();
        self.layer.write_tar(&mut count, self.clamp_mtime)?;
        let Count(size_bytes) = count;
        store.put_record(&Record {
            key,
            offered: None,
            layers: Vec::new(),
            content: None,
            created_unix_ns: now_unix_ns(),
            description: format!("size of the tar of layer {}", self.diff_id),
            ingredients: vec![(SIZE_INGREDIENT.to_owned(), size_bytes.to_string())],
        })?;
        Ok(size_bytes)
    }
}

/// Nanoseconds since 1970.
pub(super) fn now_unix_ns() -> i64 {
    let age = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(age.as_nanos()).unwrap_or(i64::MAX)
}

/// Counts what passes by.
#[derive(Default)]
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hashes and counts what passes through, and remembers what the destination said.
struct Hashed<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
    count_bytes: u64,
    failed: Option<io::Error>,
    total_bytes: Option<u64>,
    on_progress: OnProgress<'a>,
    part: &'a str,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write(bytes) {
            Ok(count) => {
                self.hash.update(&bytes[..count]);
                self.count_bytes += count as u64;
                (self.on_progress)(self.part, self.count_bytes, self.total_bytes);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
