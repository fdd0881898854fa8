//! Manifests that say something about another one, see the OCI distribution specification, "Referrers".

use image::{BlobDigest, Descriptor, Index, MediaType, Reference};

use crate::{RegistryError, Repository};

/// With this header a registry says that it lists referrers itself.
pub(crate) const SUBJECT_HEADER: &str = "oci-subject";

impl Repository {
    /// Writes a manifest with a subject. With a registry that does not list referrers itself, the list is an index
    /// whose tag is the digest of the subject: the manifest is added to it.
    ///
    /// Two writers at a time may lose one of their entries, as the specification says.
    ///
    /// # Errors
    ///
    /// Those of [`Repository::put_manifest`] and [`Repository::manifest`].
    pub async fn put_referrer(
        &self,
        referrer: &Descriptor,
        artifact_type: &str,
        bytes: &[u8],
        subject: &BlobDigest,
    ) -> Result<(), RegistryError> {
        let name = self.reference(&format!("@{}", referrer.digest));
        let (_, lists_referrers) = self.put_document(&name, &referrer.media_type, bytes).await?;
        if lists_referrers {
            return Ok(());
        }
        let list = self.reference(&format!(":sha256-{}", subject.0.hex()));
        let mut index = match self.manifest(&list).await {
            // What is there and is no index is not ours to keep.
            Ok(found) => Index::parse(&found.bytes).unwrap_or_else(|_| Index::new(Vec::new())),
            Err(RegistryError::NoManifest { .. }) => Index::new(Vec::new()),
            Err(error) => return Err(error),
        };
        if index.manifests.iter().any(|known| known.digest == referrer.digest) {
            return Ok(());
        }
        let mut entry = Descriptor::new(MediaType::Manifest, referrer.digest, referrer.size_bytes);
        entry.media_type.clone_from(&referrer.media_type);
        entry.artifact_type = Some(artifact_type.to_owned());
        index.manifests.push(entry);
        self.put_manifest(&list, MediaType::Index.as_str(), &index.to_json()).await?;
        Ok(())
    }

    /// A name of this repository; what says which begins with `:` or `@`.
    fn reference(&self, which: &str) -> Reference {
        let name = format!("{}/{}{which}", self.domain(), self.path());
        name.parse().expect("a repository with a tag or a digest is a name")
    }
}
