//! Annotations: what a build says about its image in the documents around it.

use std::collections::BTreeMap;

use image::Platform;

/// Which document has an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnnotationLevel {
    /// The manifest.
    Manifest,
    /// The manifest's entry in an index.
    ManifestDescriptor,
    /// The index.
    Index,
    /// The index's entry in the index of a layout.
    IndexDescriptor,
}

/// One annotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Where it is.
    pub level: AnnotationLevel,
    /// For which image; none is for all.
    pub platform: Option<Platform>,
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// The annotations of an image, of one key the latest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations(pub Vec<Annotation>);

impl Annotations {
    /// Those of one document; the platform is that of the image it is about.
    pub(crate) fn of(&self, level: AnnotationLevel, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let fits = |annotation: &&Annotation| {
            annotation.level == level
                && annotation.platform.as_ref().is_none_or(|wanted| Some(wanted) == platform)
        };
        let pair = |annotation: &Annotation| (annotation.key.clone(), annotation.value.clone());
        self.0.iter().filter(fits).map(pair).collect()
    }

    /// Whether one of them needs an index.
    pub(crate) fn need_index(&self) -> bool {
        let of_index =
            |it: &Annotation| matches!(it.level, AnnotationLevel::Index | AnnotationLevel::IndexDescriptor);
        self.0.iter().any(of_index)
    }

    /// The platforms that they name.
    pub(crate) fn platforms(&self) -> impl Iterator<Item = &Platform> {
        self.0.iter().filter_map(|annotation| annotation.platform.as_ref())
    }
}
