//! `--annotation`, and the annotations of `--output`, in the syntax of buildx.

use std::str::FromStr;

use engine::images::{Annotation, AnnotationLevel};
use image::{Platform, PlatformError};

/// One `--annotation`: `[LEVEL[,LEVEL][[PLATFORM]]:]KEY=VALUE`, which may be in several documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AnnotationSpec(pub(super) Vec<Annotation>);

/// Why a text is no annotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnnotationError {
    #[error("invalid annotation `{text}`, expected KEY=VALUE")]
    NotPair { text: String },
    #[error("unknown level `{level}`, expected manifest, index, manifest-descriptor or index-descriptor")]
    Level { level: String },
    #[error("annotations of an index are for all platforms")]
    IndexOfPlatform,
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl FromStr for AnnotationSpec {
    type Err = AnnotationError;

    fn from_str(text: &str) -> Result<Self, AnnotationError> {
        let not_pair = || AnnotationError::NotPair { text: text.to_owned() };
        let (left, value) = text.split_once('=').ok_or_else(not_pair)?;
        // A key may have colons, as long as what is before them is no level.
        let (levels, key) = match left.split_once(':') {
            Some((levels, key)) if is_levels(levels) => (levels, key),
            Some((levels, _)) if !levels.contains('.') => {
                return Err(AnnotationError::Level { level: levels.to_owned() });
            }
            _ => ("manifest", left),
        };
        if key.is_empty() {
            return Err(not_pair());
        }
        let annotation = |place: &str| {
            let (level, platform) = place_of(place)?;
            Ok(Annotation { level, platform, key: key.to_owned(), value: value.to_owned() })
        };
        Ok(Self(levels.split(',').map(annotation).collect::<Result<_, AnnotationError>>()?))
    }
}

/// The annotation of an attribute `annotation[-LEVEL][[PLATFORM]].KEY`; none when it is no such attribute.
pub(super) fn attribute(name: &str, value: &str) -> Option<Annotation> {
    let place_and_key = name.strip_prefix("annotation")?;
    // A platform has no dots, a key usually does.
    let (place, key) = place_and_key.split_once('.')?;
    let place = match place.strip_prefix('-') {
        Some(place) => place.to_owned(),
        None => format!("manifest{place}"),
    };
    let (level, platform) = place_of(&place).ok().filter(|_| !key.is_empty())?;
    Some(Annotation { level, platform, key: key.to_owned(), value: value.to_owned() })
}

fn is_levels(text: &str) -> bool {
    text.split(',').all(|place| level_of(place.split('[').next().unwrap_or(place)).is_some())
}

fn level_of(text: &str) -> Option<AnnotationLevel> {
    Some(match text {
        "manifest" => AnnotationLevel::Manifest,
        "manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
        "index" => AnnotationLevel::Index,
        "index-descriptor" => AnnotationLevel::IndexDescriptor,
        _ => return None,
    })
}

/// `LEVEL` or `LEVEL[PLATFORM]`.
fn place_of(text: &str) -> Result<(AnnotationLevel, Option<Platform>), AnnotationError> {
    let wrong = || AnnotationError::Level { level: text.to_owned() };
    let (level, platform) = match text.split_once('[') {
        Some((level, rest)) => (level, Some(rest.strip_suffix(']').ok_or_else(wrong)?)),
        None => (text, None),
    };
    let level = level_of(level).ok_or_else(wrong)?;
    let is_index = matches!(level, AnnotationLevel::Index | AnnotationLevel::IndexDescriptor);
    match platform {
        Some(_) if is_index => Err(AnnotationError::IndexOfPlatform),
        platform => Ok((level, platform.map(str::parse).transpose()?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match text.parse::<AnnotationSpec>() {
            Ok(AnnotationSpec(annotations)) => annotations.iter().map(show).collect::<Vec<_>>().join("; "),
            Err(error) => error.to_string(),
        }
    }

    fn show(annotation: &Annotation) -> String {
        let Annotation { level, platform, key, value } = annotation;
        let platform = platform.as_ref().map(|platform| format!(" {platform}")).unwrap_or_default();
        format!("{level:?}{platform} {key}={value}")
    }

    #[test]
    fn annotations_are_written_as_in_buildx() {
        for (text, expected) in [
            ("a=b=c", "Manifest a=b=c"),
            ("index:a=b", "Index a=b"),
            ("index,manifest:a=b", "Index a=b; Manifest a=b"),
            ("manifest-descriptor[linux/arm64]:a=b", "ManifestDescriptor linux/arm64 a=b"),
            ("manifest[arm]:a.b:c=d", "Manifest linux/arm/v7 a.b:c=d"),
            ("org.example:a=b", "Manifest org.example:a=b"),
            (
                "indx:a=b",
                "unknown level `indx`, expected manifest, index, manifest-descriptor or index-descriptor",
            ),
            ("index[linux/arm64]:a=b", "annotations of an index are for all platforms"),
            ("index:a", "invalid annotation `index:a`, expected KEY=VALUE"),
            ("index:=a", "invalid annotation `index:=a`, expected KEY=VALUE"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn attributes_name_the_document() {
        let shown = |name: &str| attribute(name, "v").map_or_else(|| "none".to_owned(), |it| show(&it));
        for (name, expected) in [
            ("annotation.org.x", "Manifest org.x=v"),
            ("annotation[linux/arm64].org.x", "Manifest linux/arm64 org.x=v"),
            ("annotation-manifest.x", "Manifest x=v"),
            ("annotation-manifest-descriptor[linux/386].x", "ManifestDescriptor linux/386 x=v"),
            ("annotation-index.x", "Index x=v"),
            ("annotation-index-descriptor.x", "IndexDescriptor x=v"),
            ("annotation-layer.x", "none"),
            ("annotation.", "none"),
            ("annotation", "none"),
        ] {
            assert_eq!(shown(name), expected, "{name}");
        }
    }
}
