//! The form in which images and caches leave, as clients write it.

use std::collections::HashMap;

use engine::images::{
    Annotation, AnnotationLevel, Annotations, Compression, Existing, FileTimes, ImageForm, LayerForm,
    MediaTypes,
};
use tonic::Status;

use crate::attributes::invalid;

/// A flag; one without a value is set.
pub(crate) fn is_on(attributes: &HashMap<String, String>, name: &str) -> Result<bool, Status> {
    match attributes.get(name).map(String::as_str) {
        None => Ok(false),
        Some("") => Ok(true),
        Some(value) => is_true(value).ok_or_else(|| invalid(name, value, "true or false")),
    }
}

/// As Go's `strconv.ParseBool`.
pub(crate) fn is_true(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The form in which images leave.
pub(crate) fn form(attributes: &HashMap<String, String>) -> Result<ImageForm, Status> {
    let layers = layers(attributes)?;
    let epoch = is_on(attributes, "rewrite-timestamp")?;
    Ok(ImageForm {
        layers,
        media_types: media_types(attributes)?,
        file_times: if epoch { FileTimes::Epoch } else { FileTimes::AsBuilt },
        annotations: annotations(attributes)?,
    })
}

/// The types of the documents around layers.
pub(crate) fn media_types(attributes: &HashMap<String, String>) -> Result<MediaTypes, Status> {
    let is_oci = !attributes.contains_key("oci-mediatypes") || is_on(attributes, "oci-mediatypes")?;
    Ok(if is_oci { MediaTypes::Oci } else { MediaTypes::Docker })
}

/// How layers are compressed.
pub(crate) fn layers(attributes: &HashMap<String, String>) -> Result<LayerForm, Status> {
    let level = attributes
        .get("compression-level")
        .map(|text| text.parse().map_err(|_| invalid("compression-level", text, "a number")));
    let level: Option<i32> = level.transpose()?;
    let compression = match attributes.get("compression").map(String::as_str) {
        None | Some("") => level.map(|level| Compression::Gzip { level: Some(level) }),
        Some("gzip") => Some(Compression::Gzip { level }),
        Some("zstd") => Some(Compression::Zstd { level }),
        Some("uncompressed") => Some(Compression::None),
        Some(other) => return Err(invalid("compression", other, "gzip, zstd or uncompressed")),
    };
    let levels = match compression {
        Some(Compression::Gzip { level: Some(level) }) => (level, 0..=12),
        Some(Compression::Zstd { level: Some(level) }) => (level, 1..=22),
        _ => (1, 1..=1),
    };
    if !levels.1.contains(&levels.0) {
        let expected = format!("{} to {}", levels.1.start(), levels.1.end());
        return Err(invalid("compression-level", &levels.0.to_string(), &expected));
    }
    let existing =
        if is_on(attributes, "force-compression")? { Existing::Recompress } else { Existing::Keep };
    Ok(LayerForm { compression, existing })
}

/// `annotation[-LEVEL][\[PLATFORM\]].KEY`.
fn annotations(attributes: &HashMap<String, String>) -> Result<Annotations, Status> {
    let mut annotations = Vec::new();
    for (name, value) in attributes {
        let Some(rest) = name.strip_prefix("annotation") else { continue };
        let wrong = || invalid(name, value, "the name annotation[-LEVEL][[PLATFORM]].KEY");
        let (place, key) = match rest.split_once('[') {
            Some((level, rest)) => {
                let (platform, key) = rest.split_once("].").ok_or_else(wrong)?;
                ((level, Some(platform.parse().map_err(|_| wrong())?)), key)
            }
            None => {
                let (level, key) = rest.split_once('.').ok_or_else(wrong)?;
                ((level, None), key)
            }
        };
        let level = match place.0 {
            "" | "-manifest" => AnnotationLevel::Manifest,
            "-manifest-descriptor" => AnnotationLevel::ManifestDescriptor,
            "-index" => AnnotationLevel::Index,
            "-index-descriptor" => AnnotationLevel::IndexDescriptor,
            _ => return Err(wrong()),
        };
        annotations.push(Annotation { level, platform: place.1, key: key.to_owned(), value: value.clone() });
    }
    // A map has no order, the documents have one.
    annotations.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(Annotations(annotations))
}
