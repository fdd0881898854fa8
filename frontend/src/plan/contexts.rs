//! The names of contexts.

use std::collections::BTreeMap;

use image::Reference;

use super::NamedContext;

/// `docker.io/library/busybox:latest` is also `busybox`; the name as it is written goes first.
pub(super) fn places(contexts: &[(String, NamedContext)]) -> BTreeMap<String, usize> {
    let names = contexts.iter().enumerate();
    let mut places: BTreeMap<_, _> = names.map(|(place, (name, _))| (name.clone(), place)).collect();
    for (place, (name, _)) in contexts.iter().enumerate() {
        let Ok(reference) = name.parse::<Reference>() else { continue };
        let familiar = reference.familiar();
        let short = familiar.strip_suffix(":latest").unwrap_or(&familiar);
        places.entry(short.to_owned()).or_insert(place);
    }
    places
}
