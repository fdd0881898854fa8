//! `--build-context` in the syntax of buildx.

use std::collections::BTreeMap;
use std::path::Path;

use engine::NamedContext;
use engine::images::LayoutName;

use super::sources::{directory, remote};
use crate::report::Report;

/// How an image is written.
const IMAGE_SCHEME: &str = "docker-image://";
/// How an OCI layout is written.
const LAYOUT_SCHEME: &str = "oci-layout://";
/// How a stage of the same Dockerfile is written, as in a bake file.
const STAGE_SCHEME: &str = "target:";

/// `NAME=DIRECTORY` and what else buildx knows.
pub(in crate::commands) fn named_contexts(
    texts: &[String],
) -> Result<BTreeMap<String, NamedContext>, Report> {
    let mut contexts = BTreeMap::new();
    for text in texts {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty())
            .ok_or_else(|| Report::mistake(format!("invalid build context `{text}`, expected NAME=PATH")))?;
        contexts.insert(name.to_owned(), named_context(text, value)?);
    }
    Ok(contexts)
}

fn named_context(text: &str, value: &str) -> Result<NamedContext, Report> {
    if let Some(image) = value.strip_prefix(IMAGE_SCHEME) {
        return NamedContext::image(image).map_err(|error| Report::mistake(error.to_string()));
    }
    if let Some(layout) = value.strip_prefix(LAYOUT_SCHEME) {
        return self::layout(layout);
    }
    if let Some(stage) = value.strip_prefix(STAGE_SCHEME) {
        return Ok(NamedContext::Stage(stage.to_owned()));
    }
    let path = Path::new(value);
    if !path.is_dir()
        && let Some(remote) = remote(value)?
    {
        return Ok(NamedContext::Remote(remote));
    }
    if value.contains("://") {
        return Err(Report::mistake(format!("build context `{text}` is not supported")).hint(format!(
            "pass a directory, {IMAGE_SCHEME}IMAGE, {LAYOUT_SCHEME}DIRECTORY, {STAGE_SCHEME}STAGE, or the URL of a file or a git repository"
        )));
    }
    Ok(NamedContext::Directory(directory(path)?))
}

/// `DIRECTORY`, `DIRECTORY:TAG` or `DIRECTORY@DIGEST`.
fn layout(text: &str) -> Result<NamedContext, Report> {
    let tagged = || text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    let (path, name) = match (text.rsplit_once('@'), tagged()) {
        (Some((path, digest)), _) if digest.starts_with("sha256:") => {
            let digest =
                digest.parse().map_err(|error: image::DigestError| Report::mistake(error.to_string()))?;
            (path, Some(LayoutName::Digest(digest)))
        }
        (_, Some((path, tag))) if !tag.is_empty() => (path, Some(LayoutName::Tag(tag.to_owned()))),
        _ => (text, None),
    };
    Ok(NamedContext::Layout { path: directory(Path::new(path))?, name })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_directories_with_a_tag_or_a_digest() {
        let digest = format!("sha256:{}", "1".repeat(64));
        let tag = |tag: &str| Some(LayoutName::Tag(tag.to_owned()));
        for (text, path, name) in [
            ("/a/b".to_owned(), "/a/b", None),
            ("/a:1/b".to_owned(), "/a:1/b", None),
            ("/a/b:1.0".to_owned(), "/a/b", tag("1.0")),
            (format!("/a/b@{digest}"), "/a/b", Some(LayoutName::Digest(digest.parse().unwrap()))),
        ] {
            assert_eq!(layout(&text), Ok(NamedContext::Layout { path: path.into(), name }), "{text}");
        }
        assert!(layout("/a@sha256:1").is_err());
    }
}
