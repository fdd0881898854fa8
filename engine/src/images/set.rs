//! Images that leave together: one for each platform, with what is attested of them.

use cache::{Store, StoredImage};
use image::{ImageId, Platform};
use serde_json::Value;

use super::{ImageError, read_config, stored};

/// The images of one name.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageSet {
    /// One for each platform, in the order in which they were asked for. There is at least one.
    pub members: Vec<Member>,
}

/// The image for one platform.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// The image, whose config says for which platform it is.
    pub id: ImageId,
    /// What is attested of it.
    pub predicates: Vec<Predicate>,
}

/// What somebody attests of an image: the predicate of a statement, see
/// <https://github.com/in-toto/attestation>. Its subject is known when the image has a manifest.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate {
    /// The URI that says what it means.
    pub kind: String,
    /// The predicate itself.
    pub value: Value,
}

impl From<ImageId> for ImageSet {
    fn from(id: ImageId) -> Self {
        Self { members: vec![Member { id, predicates: Vec::new() }] }
    }
}

impl ImageSet {
    /// Whether it leaves as an index: there is more than a single image to tell of.
    pub fn is_index(&self) -> bool {
        self.members.len() > 1 || self.members.iter().any(|member| !member.predicates.is_empty())
    }

    /// The records of the images, in order.
    pub(crate) fn stored(&self, store: &Store) -> Result<Vec<StoredImage>, ImageError> {
        self.members.iter().map(|member| stored(store, &member.id)).collect()
    }

    /// The platforms of the images, in order.
    pub(crate) fn platforms(&self, store: &Store) -> Result<Vec<Platform>, ImageError> {
        let platform = |member: &Member| Ok(read_config(store, &member.id)?.platform());
        self.members.iter().map(platform).collect()
    }
}

/// Which of several images a name alone means: the one for this machine, else the first.
pub(crate) fn preferred(platforms: &[Platform]) -> usize {
    let host = Platform::host();
    let is_host = |platform: &Platform| platform.os == host.os && platform.architecture == host.architecture;
    let exact = platforms.iter().position(|platform| *platform == host);
    exact.or_else(|| platforms.iter().position(is_host)).unwrap_or(0)
}
