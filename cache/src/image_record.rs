//! Image records: which layers an image consists of, and what a list of images shows.

use std::collections::BTreeMap;

use image::{BlobDigest, Digest, ImageId};

use crate::codec::{Damage, Decoder, Encoder};
use crate::stamp::Stamp;
use crate::{LayerId, Store, StoreError};

const KIND: [u8; 4] = *b"imag";
const VERSION: u32 = 1;
/// A record lists layers and labels; labels come from an image config, which has a limit of its own.
const IMAGE_RECORD_BYTES_MAX: u64 = 16 << 20;

/// An image in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Digest of its config, which is a blob of the store.
    pub id: ImageId,
    /// Its manifest, a blob of the store, when it has one.
    pub manifest: Option<BlobDigest>,
    /// Its layers, lowest first, as many as the config has diff ids.
    pub layers: Vec<LayerId>,
    /// The modification time that later ones of its own layers are set to when they are written as a tar,
    /// in seconds since 1970.
    pub clamp_mtime: Option<i64>,
    /// `created` of the config, in seconds since 1970; 0 when it has none.
    pub created_unix_s: i64,
    /// Sum of the sizes of the layers' files.
    pub size_bytes: u64,
    /// Labels of the config, for filters.
    pub labels: BTreeMap<String, String>,
}

impl StoredImage {
    fn encode(&self, stamp: &Stamp) -> Vec<u8> {
        let Self { id, manifest, layers, clamp_mtime, created_unix_s, size_bytes, labels } = self;
        let mut encoder = Encoder::new(KIND, VERSION);
        stamp.encode(&mut encoder);
        encoder.raw(&id.0.0);
        encoder.option(manifest.as_ref(), |encoder, manifest| encoder.raw(&manifest.0.0));
        encoder.count(layers.len());
        layers.iter().for_each(|layer| encoder.raw(&layer.0));
        encoder.option(clamp_mtime.as_ref(), |encoder, clamp| encoder.i64(*clamp));
        encoder.i64(*created_unix_s);
        encoder.u64(*size_bytes);
        encoder.count(labels.len());
        for (name, value) in labels {
            encoder.text(name);
            encoder.text(value);
        }
        encoder.finish()
    }

    fn decode(bytes: &[u8]) -> Result<(Stamp, Self), Damage> {
        let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
        let stamp = Stamp::decode(&mut decoder)?;
        let image = Self {
            id: ImageId(Digest(decoder.raw()?)),
            manifest: decoder.option(|decoder| Ok(BlobDigest(Digest(decoder.raw()?))))?,
            layers: decoder.list(|decoder| Ok(LayerId(decoder.raw()?)))?,
            clamp_mtime: decoder.option(Decoder::i64)?,
            created_unix_s: decoder.i64()?,
            size_bytes: decoder.u64()?,
            labels: decoder.list(|decoder| Ok((decoder.text()?, decoder.text()?)))?.into_iter().collect(),
        };
        decoder.finish()?;
        Ok((stamp, image))
    }
}

impl Store {
    /// Keeps an image, whose config must be a blob already. An image that is there already stays as it is:
    /// one id is one content.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoLayer`] when it points at a layer that is not in the store.
    pub fn put_image(&self, image: &StoredImage) -> Result<(), StoreError> {
        self.require_layers(&image.layers)?;
        if let Some((stamp, found)) = self.load_image(&image.id)? {
            // Whoever made it may have died before it was durable; who relies on it promises it anew.
            let promised = self.is_durable(&stamp)?;
            if promised && self.have_layers(&found.layers)? {
                return Ok(());
            }
        }
        self.publish_stamped(&image_name(&image.id), |stamp| image.encode(stamp))
    }

    /// The image with this id. `None` when it is not there, or not whole.
    pub fn image(&self, id: &ImageId) -> Result<Option<StoredImage>, StoreError> {
        let Some((_, image)) = self.load_image(id)? else { return Ok(None) };
        Ok(self.have_layers(&image.layers)?.then_some(image))
    }

    /// All images, in the order of their ids.
    pub fn images(&self) -> Result<Vec<StoredImage>, StoreError> {
        let mut images = Vec::new();
        for id in self.image_ids()? {
            images.extend(self.image(&id)?);
        }
        Ok(images)
    }

    /// Forgets an image; whether it was there. Its layers and blobs stay until they are collected, its tags
    /// resolve to nothing.
    pub fn remove_image(&self, id: &ImageId) -> Result<bool, StoreError> {
        let _publishing = self.inner.durability.publish();
        self.disk().remove(&image_name(id))
    }

    /// Forgets an image unless it has a name; whether it did. Who names an image at the same time looks afterwards
    /// whether it is there, and puts it once more if it is not.
    pub fn forget_unnamed(&self, id: &ImageId) -> Result<bool, StoreError> {
        let Some(image) = self.image(id)? else { return Ok(false) };
        if self.named_images()?.contains(id) || !self.remove_image(id)? {
            return Ok(false);
        }
        if self.named_images()?.contains(id) {
            self.put_image(&image)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Ids of the images whose hexadecimal digits begin with `id_prefix`, in order.
    pub fn find_images(&self, id_prefix: &str) -> Result<Vec<ImageId>, StoreError> {
        if id_prefix.len() > 64 || !id_prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for id in self.image_ids()? {
            if id.0.hex().starts_with(id_prefix) && self.image(&id)?.is_some() {
                found.push(id);
            }
        }
        Ok(found)
    }

    pub(crate) fn image_ids(&self) -> Result<Vec<ImageId>, StoreError> {
        let names = self.disk().names("images")?;
        let mut ids: Vec<_> =
            names.iter().filter_map(|name| Digest::from_hex(name).ok()).map(ImageId).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The record of an image, whether or not its layers are there.
    pub(crate) fn load_image(&self, id: &ImageId) -> Result<Option<(Stamp, StoredImage)>, StoreError> {
        self.load_stamped(&image_name(id), IMAGE_RECORD_BYTES_MAX, |bytes| {
            let (stamp, image) = StoredImage::decode(bytes)?;
            if image.id == *id { Ok((stamp, image)) } else { Err(Damage::Fields) }
        })
    }
}

fn image_name(id: &ImageId) -> String {
    format!("images/{}", id.0.hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::BootId;

    #[test]
    fn image_record_v1_never_changes() {
        let image = StoredImage {
            id: ImageId(Digest([0x11; 32])),
            manifest: Some(BlobDigest(Digest([0x22; 32]))),
            layers: vec![LayerId([0x33; 16])],
            clamp_mtime: Some(-1),
            created_unix_s: 1_700_000_000,
            size_bytes: 5_000_000_000,
            labels: [("a".to_owned(), "b".to_owned())].into(),
        };
        let stamp = Stamp { boot: BootId([0x66; 16]), session: 7, sequence: 8 };
        let bytes = image.encode(&stamp);
        assert_eq!(StoredImage::decode(&bytes), Ok((stamp, image)));
        assert_eq!(const_hex::encode(&bytes), include_str!("../testdata/image-v1.hex").trim());
    }
}
