//! In which form an image leaves: how its layers are compressed, which media types and annotations it has.

use image::{Descriptor, Manifest, MediaType, Platform};

use super::annotations::{AnnotationLevel, Annotations};

/// How layers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952, with a level of 0 to 12.
    Gzip {
        /// None is the level that is fast and dense.
        level: Option<i32>,
    },
    /// RFC 8878, with a level of 1 to 22.
    Zstd {
        /// None is 3, as in BuildKit.
        level: Option<i32>,
    },
    /// Not at all.
    None,
}

/// What becomes of layers that came compressed from elsewhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Existing {
    /// They leave as they came.
    #[default]
    Keep,
    /// They are compressed anew.
    Recompress,
}

/// How the layers of an image leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerForm {
    /// None is gzip, or for a Docker archive nothing.
    pub compression: Option<Compression>,
    /// `force-compression`.
    pub existing: Existing,
}

/// Whose names for the parts of an image are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MediaTypes {
    /// Those of the OCI image specification.
    #[default]
    Oci,
    /// Those of Docker's manifests, schema 2.
    Docker,
}

/// What becomes of the times of the image's own files. Those of its base image stay in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FileTimes {
    /// As the build made them: with `SOURCE_DATE_EPOCH` none of them is later.
    #[default]
    AsBuilt,
    /// None is later than `SOURCE_DATE_EPOCH`, without which the build fails (`rewrite-timestamp`).
    Epoch,
}

/// The form of an image that leaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageForm {
    /// Its layers.
    pub layers: LayerForm,
    /// Its media types.
    pub media_types: MediaTypes,
    /// Its files' times.
    pub file_times: FileTimes,
    /// Annotations of its documents.
    pub annotations: Annotations,
}

impl ImageForm {
    /// The manifest of an image for a platform in this form.
    pub(crate) fn manifest(
        &self,
        config: Descriptor,
        layers: Vec<Descriptor>,
        platform: &Platform,
    ) -> Manifest {
        let layers = layers.into_iter().map(|layer| self.renamed(layer)).collect();
        let mut manifest = Manifest::new(self.renamed(config), layers);
        manifest.media_type = self.media_type(MediaType::Manifest).to_owned();
        manifest.annotations = self.annotations.of(AnnotationLevel::Manifest, Some(platform));
        manifest
    }

    /// What a media type is called in this form.
    pub(crate) fn media_type(&self, media_type: MediaType) -> &'static str {
        match self.media_types {
            MediaTypes::Oci => media_type.as_str(),
            MediaTypes::Docker => media_type.as_docker_str(),
        }
    }

    fn renamed(&self, mut descriptor: Descriptor) -> Descriptor {
        // A layer that only other servers have keeps the name that says so.
        if let Some(known) = MediaType::parse(&descriptor.media_type).filter(|_| descriptor.urls.is_empty()) {
            self.media_type(known).clone_into(&mut descriptor.media_type);
        }
        descriptor
    }
}
