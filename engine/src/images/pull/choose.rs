//! Chooses the image for a platform among those that an index names.

use image::{Descriptor, Index, MediaType, Platform, Reference};
use registry::{FetchedManifest, Kind, Repository};

use crate::images::ImageError;
use crate::images::archive::{INDEX_DEPTH_MAX, MANIFESTS_MAX, is_attestation};
use crate::images::error::PullError;

/// The manifest for a platform: the document itself, or what it names through one or several indexes.
pub(crate) async fn choose(
    repository: &Repository,
    reference: &Reference,
    mut document: FetchedManifest,
    wanted: &Platform,
) -> Result<FetchedManifest, ImageError> {
    for _ in 0..=INDEX_DEPTH_MAX {
        if document.kind == Kind::Manifest {
            return Ok(document);
        }
        let descriptors = descriptors(reference, &document)?;
        let found = best(&descriptors, wanted).ok_or_else(|| PullError::NoPlatform {
            name: reference.familiar(),
            wanted: wanted.to_string(),
            found: platforms(&descriptors).iter().map(Platform::to_string).collect(),
        })?;
        document = repository.manifest_of(reference, found).await?;
    }
    Err(PullError::TooDeep { name: reference.familiar(), depth_max: INDEX_DEPTH_MAX }.into())
}

/// What an index names for each platform; nothing for a manifest.
pub(super) fn every_platform(
    reference: &Reference,
    document: &FetchedManifest,
) -> Result<Vec<Descriptor>, ImageError> {
    match document.kind {
        Kind::Manifest => Ok(Vec::new()),
        Kind::Index => descriptors(reference, document),
    }
}

/// The images in an index, without what only describes them.
pub(crate) fn descriptors(
    reference: &Reference,
    document: &FetchedManifest,
) -> Result<Vec<Descriptor>, ImageError> {
    let unusable = |source| PullError::Manifest { name: reference.familiar(), source };
    let index = Index::parse(&document.bytes).map_err(unusable)?;
    if index.manifests.len() as u64 > MANIFESTS_MAX {
        let (name, max) = (reference.familiar(), MANIFESTS_MAX);
        return Err(PullError::TooMany { name, max }.into());
    }
    let is_image = |descriptor: &Descriptor| {
        let kind = MediaType::parse(&descriptor.media_type);
        matches!(kind, Some(MediaType::Manifest | MediaType::Index)) && !is_attestation(descriptor)
    };
    Ok(index.manifests.into_iter().filter(is_image).collect())
}

fn platforms(descriptors: &[Descriptor]) -> Vec<Platform> {
    descriptors
        .iter()
        .filter_map(|descriptor| descriptor.platform.as_ref())
        .map(Platform::normalized)
        .collect()
}

/// The descriptor that fits best: the platform itself, else an older variant of the same architecture that it can
/// run, else one that names no platform.
fn best<'a>(descriptors: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    let wanted = wanted.normalized();
    let rank = |descriptor: &Descriptor| {
        let Some(own) = descriptor.platform.as_ref().map(Platform::normalized) else { return Some(1) };
        if own == wanted {
            return Some(100);
        }
        if (&own.os, &own.architecture) != (&wanted.os, &wanted.architecture) {
            return None;
        }
        let (own, wanted) = (variant(&own), variant(&wanted));
        (own < wanted).then_some(2 + own)
    };
    let ranked = descriptors.iter().rev().filter_map(|descriptor| Some((rank(descriptor)?, descriptor)));
    ranked.max_by_key(|(rank, _)| *rank).map(|(_, descriptor)| descriptor)
}

/// The number of a variant; one that is not named is the first.
fn variant(platform: &Platform) -> u32 {
    let digits = platform.variant.as_deref().and_then(|variant| variant.strip_prefix('v'));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(1).min(90)
}

#[cfg(test)]
mod tests {
    use image::{BlobDigest, Digest};

    use super::*;

    fn chosen(offered: &[&str], wanted: &str) -> String {
        let descriptor = |(index, text): (usize, &&str)| {
            let mut descriptor =
                Descriptor::new(MediaType::Manifest, BlobDigest(Digest::of(&[index as u8])), 1);
            let mut parts = text.split('/').map(str::to_owned);
            descriptor.platform = parts.next().filter(|os| !os.is_empty()).map(|os| Platform {
                os,
                architecture: parts.next().unwrap_or_default(),
                variant: parts.next(),
            });
            descriptor
        };
        let descriptors: Vec<_> = offered.iter().enumerate().map(descriptor).collect();
        let wanted: Platform = wanted.parse().expect("a platform");
        let Some(found) = best(&descriptors, &wanted) else { return "none".to_owned() };
        let at = descriptors.iter().position(|descriptor| descriptor == found).expect("it is one of them");
        offered[at].to_owned()
    }

    #[test]
    fn the_platform_itself_comes_before_its_ancestors() {
        let arms = ["linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "linux/amd64"];
        assert_eq!(chosen(&arms, "linux/arm64"), "linux/arm64/v8");
        assert_eq!(chosen(&arms, "linux/arm/v7"), "linux/arm/v7");
        assert_eq!(chosen(&arms, "linux/arm/v6"), "linux/arm/v5");
        assert_eq!(chosen(&arms, "linux/amd64/v3"), "linux/amd64");
        assert_eq!(chosen(&arms, "linux/riscv64"), "none");
        assert_eq!(chosen(&["linux/amd64/v3"], "linux/amd64"), "none");
        assert_eq!(chosen(&["windows/amd64", "linux/amd64", "linux/amd64"], "linux/amd64"), "linux/amd64");
        assert_eq!(chosen(&[""], "linux/riscv64"), "");
        assert_eq!(chosen(&["", "linux/riscv64"], "linux/riscv64"), "linux/riscv64");
    }
}
