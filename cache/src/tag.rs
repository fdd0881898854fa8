//! Tags: names that people give to images.
//!
//! A tag can be given to another image, and the old value was promised to survive a power cut. So the old
//! file is kept under a second name (a hard link, no bytes are written) until the new value is durable:
//! after a power cut between the two, the tag is what it was before.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use image::{Digest, ImageId, Reference};
use rustix::fs::{AtFlags, linkat};

use crate::codec::{Damage, Decoder, Encoder};
use crate::stamp::{Stamp, lock};
use crate::{Store, StoreError};

const KIND: [u8; 4] = *b"rtag";
const VERSION: u32 = 1;
/// A reference is at most some 500 bytes long.
const TAG_RECORD_BYTES_MAX: u64 = 4 << 10;

#[derive(Debug, PartialEq, Eq)]
struct Tag {
    reference: String,
    id: ImageId,
}

impl Tag {
    fn encode(&self, stamp: &Stamp) -> Vec<u8> {
        let Self { reference, id } = self;
        let mut encoder = Encoder::new(KIND, VERSION);
        stamp.encode(&mut encoder);
        encoder.text(reference);
        encoder.raw(&id.0.0);
        encoder.finish()
    }

    fn decode(bytes: &[u8]) -> Result<(Stamp, Self), Damage> {
        let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
        let stamp = Stamp::decode(&mut decoder)?;
        let tag = Self { reference: decoder.text()?, id: ImageId(Digest(decoder.raw()?)) };
        decoder.finish()?;
        Ok((stamp, tag))
    }
}

impl Store {
    /// Gives an image this name, and returns which image had it before.
    pub fn tag(&self, reference: &Reference, id: &ImageId) -> Result<Option<ImageId>, StoreError> {
        let _lock = self.lock_name("tags")?;
        let name = tag_name(reference);
        let previous = self.load_current_tag(&name)?;
        if let Some((stamp, tag)) = &previous
            && self.is_durable(stamp)?
        {
            if tag.id == *id {
                return self.known(Some(tag.id));
            }
            self.keep_old_tag(&name)?;
        }
        let previous = match previous {
            Some((_, tag)) => self.known(Some(tag.id))?,
            None => self.resolve(reference)?,
        };
        let tag = Tag { reference: reference.to_string(), id: *id };
        self.publish_stamped(&name, |stamp| tag.encode(stamp))?;
        // There may be an old value, from now or from whoever died before this.
        lock(&self.inner.replaced_tags).push(name);
        Ok(previous)
    }

    /// Takes a name away; which image had it.
    pub fn untag(&self, reference: &Reference) -> Result<Option<ImageId>, StoreError> {
        let _lock = self.lock_name("tags")?;
        let name = tag_name(reference);
        let previous = self.load_tag(&name)?;
        let _publishing = self.inner.durability.publish();
        self.disk().remove(&old_name(&name))?;
        self.disk().remove(&name)?;
        self.known(previous.map(|(_, tag)| tag.id))
    }

    /// The image that has this name; `None` when no image has it, or the image is gone or not whole.
    pub fn resolve(&self, reference: &Reference) -> Result<Option<ImageId>, StoreError> {
        let found = self.load_tag(&tag_name(reference))?;
        self.known(found.map(|(_, tag)| tag.id))
    }

    /// All names and their images, in the order of the names.
    pub fn tags(&self) -> Result<Vec<(Reference, ImageId)>, StoreError> {
        let mut tags = BTreeMap::new();
        for tag in self.all_tags()? {
            if let (Ok(reference), Some(id)) = (tag.reference.parse(), self.known(Some(tag.id))?) {
                tags.insert(reference, id);
            }
        }
        Ok(tags.into_iter().collect())
    }

    /// The names of an image, in order. Looks at no other image.
    pub fn names_of(&self, id: &ImageId) -> Result<Vec<Reference>, StoreError> {
        let Some(id) = self.known(Some(*id))? else { return Ok(Vec::new()) };
        let tags = self.all_tags()?.into_iter().filter(|tag| tag.id == id);
        let names: BTreeSet<Reference> = tags.filter_map(|tag| tag.reference.parse().ok()).collect();
        Ok(names.into_iter().collect())
    }

    /// What is in the files of names, whether or not the images are there. One may be there twice.
    fn all_tags(&self) -> Result<Vec<Tag>, StoreError> {
        let mut tags = Vec::new();
        for file in self.disk().names("tags")? {
            let hex = file.strip_suffix(".old").unwrap_or(&file);
            tags.extend(self.load_tag(&format!("tags/{hex}"))?.map(|(_, tag)| tag));
        }
        Ok(tags)
    }

    /// The image that a file of a name tells, whether or not it is there.
    pub(crate) fn tagged_image(&self, file: &str) -> Result<Option<ImageId>, StoreError> {
        let hex = file.strip_suffix(".old").unwrap_or(file);
        let found = self.load_tag_file(&format!("tags/{file}"), &format!("tags/{hex}"))?;
        Ok(found.map(|(_, tag)| tag.id))
    }

    /// Ids of the images that have a name now or, while that does not hold, had one before. Takes no lease: an image
    /// may be gone.
    pub(crate) fn named_images(&self) -> Result<HashSet<ImageId>, StoreError> {
        let mut named = HashSet::new();
        for file in self.disk().names("tags")? {
            named.extend(self.tagged_image(&file)?);
        }
        Ok(named)
    }

    /// Only images that are there count.
    fn known(&self, id: Option<ImageId>) -> Result<Option<ImageId>, StoreError> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.image(&id)?.map(|image| image.id))
    }

    /// The value of a tag: the current one, or while that does not hold the one before.
    fn load_tag(&self, name: &str) -> Result<Option<(Stamp, Tag)>, StoreError> {
        match self.load_current_tag(name)? {
            Some(found) => Ok(Some(found)),
            None => self.load_tag_file(&old_name(name), name),
        }
    }

    fn load_current_tag(&self, name: &str) -> Result<Option<(Stamp, Tag)>, StoreError> {
        self.load_tag_file(name, name)
    }

    fn load_tag_file(&self, file: &str, name: &str) -> Result<Option<(Stamp, Tag)>, StoreError> {
        self.load_stamped(file, TAG_RECORD_BYTES_MAX, |bytes| {
            let (stamp, tag) = Tag::decode(bytes)?;
            let expected = format!("tags/{}", Digest::of(tag.reference.as_bytes()).hex());
            if expected == name { Ok((stamp, tag)) } else { Err(Damage::Fields) }
        })
    }

    /// Keeps the file of a durable tag under its second name. The caller holds the lock of the tags.
    fn keep_old_tag(&self, name: &str) -> Result<(), StoreError> {
        let old = old_name(name);
        // An earlier old value is no longer needed: the current one is durable.
        self.disk().remove(&old)?;
        linkat(self.disk().fd(), name, self.disk().fd(), &old, AtFlags::empty())
            .map_err(|error| self.disk().write_error(&old, error))?;
        Ok(())
    }

    /// Forgets the old values of tags whose new values are durable by now.
    pub(crate) fn forget_replaced_tags(&self) -> Result<(), StoreError> {
        let names = std::mem::take(&mut *lock(&self.inner.replaced_tags));
        if names.is_empty() {
            return Ok(());
        }
        let _lock = self.lock_name("tags")?;
        for name in names {
            // Another process may have changed the tag again, and need the old value.
            let is_settled = match self.load_current_tag(&name)? {
                Some((stamp, _)) => self.is_durable(&stamp)?,
                None => false,
            };
            if is_settled {
                self.disk().remove(&old_name(&name))?;
            }
        }
        Ok(())
    }
}

fn tag_name(reference: &Reference) -> String {
    format!("tags/{}", Digest::of(reference.to_string().as_bytes()).hex())
}

fn old_name(name: &str) -> String {
    format!("{name}.old")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::BootId;

    #[test]
    fn tag_v1_never_changes() {
        let tag = Tag { reference: "docker.io/library/a:latest".to_owned(), id: ImageId(Digest([0x11; 32])) };
        let stamp = Stamp { boot: BootId([0x66; 16]), session: 7, sequence: 8 };
        let bytes = tag.encode(&stamp);
        assert_eq!(Tag::decode(&bytes), Ok((stamp, tag)));
        assert_eq!(const_hex::encode(&bytes), include_str!("../testdata/tag-v1.hex").trim());
    }
}
