//! Where in an object store a remote cache is.

use std::fmt;
use std::time::Duration;

/// An object store, and where in it a cache is: as BuildKit lays them out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectPlace {
    /// Whose protocol it speaks.
    pub service: ObjectService,
    /// The bucket; with Azure the container.
    pub bucket: String,
    /// How it is reached, and who we are.
    pub settings: ObjectSettings,
    /// What the keys of catalogues begin with.
    pub manifests_prefix: String,
    /// What the keys of blobs begin with.
    pub blobs_prefix: String,
    /// The names of the cache. All are written, the first that is there is read.
    pub names: Vec<String>,
    /// How many blobs are sent at the same time.
    pub uploads_max: usize,
    /// Objects that are older count as new again when a build uses them; none is never.
    pub touch_after: Option<Duration>,
}

/// Whose protocol an object store speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectService {
    /// That of Amazon, which many others speak as well.
    S3,
    /// Blobs of Azure.
    Azure,
    /// Google's.
    Gcs,
}

/// `NAME=VALUE` in the names of `object_store`, of which the later ones count. Names that it does not know are passed
/// over, since an environment has others as well.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ObjectSettings(Vec<(String, String)>);

impl ObjectSettings {
    /// Adds a setting.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.push((name.into(), value.into()));
    }

    /// The last value of a setting.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().filter(|(known, _)| *known == name).last().map(|(_, value)| value)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The names alone: values can be keys.
impl fmt::Debug for ObjectSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

impl fmt::Display for ObjectPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.service {
            ObjectService::S3 => "s3",
            ObjectService::Azure => "azblob",
            ObjectService::Gcs => "gcs",
        };
        let Self { bucket, manifests_prefix, names, .. } = self;
        write!(f, "{scheme}://{bucket}/{manifests_prefix}{}", names.join(";"))
    }
}
