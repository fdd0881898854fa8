//! Images, and their names.

use image::{BlobDigest, Digest, ImageId};

use super::{Check, Fault};
use crate::{StoreError, StoredImage};

impl Check<'_> {
    pub(super) fn images(&mut self) -> Result<(), StoreError> {
        for name in self.store.disk().names("images")? {
            let path = format!("images/{name}");
            let Ok(id) = Digest::from_hex(&name) else { continue };
            if !self.envelope(&path)? {
                continue;
            }
            self.checked.images += 1;
            match self.store.load_image(&ImageId(id))? {
                Some((_, image)) => {
                    if let Some(fault) = self.fault_of(&image)? {
                        self.found(&path, fault)?;
                    }
                }
                None => self.misnamed(&path)?,
            }
        }
        Ok(())
    }

    fn fault_of(&self, image: &StoredImage) -> Result<Option<Fault>, StoreError> {
        if let Some(layer) = self.missing(&image.layers)? {
            return Ok(Some(Fault::NoLayer { layer }));
        }
        let blobs = [Some(image.id.0), image.manifest.map(|manifest| manifest.0)];
        for blob in blobs.into_iter().flatten() {
            if !self.store.disk().exists(&crate::blob::blob_name(&BlobDigest(blob)))? {
                return Ok(Some(Fault::NoBlob { blob }));
            }
        }
        Ok(None)
    }

    pub(super) fn tags(&mut self) -> Result<(), StoreError> {
        for name in self.store.disk().names("tags")? {
            let path = format!("tags/{name}");
            if !self.envelope(&path)? {
                continue;
            }
            self.checked.tags += 1;
            match self.store.tagged_image(&name)? {
                Some(image) if !self.store.disk().exists(&format!("images/{}", image.0.hex()))? => {
                    self.found(&path, Fault::NoImage { image: image.0 })?;
                }
                Some(_) => {}
                None => self.misnamed(&path)?,
            }
        }
        Ok(())
    }
}
