//! The operations of BuildKit that stand behind the vertices of a graph.

use graph::VertexId;
use image::Digest;

/// An operation of BuildKit.
#[derive(Debug)]
pub(super) struct Node {
    /// The keys of its result, one for each way of writing the operation down; none when it has no key.
    pub(super) keys: Vec<Digest>,
    pub(super) inputs: Vec<Edge>,
    /// Why it has no key, if it could have one.
    pub(super) unknown: Option<&'static str>,
    /// Whether it is an image, which everybody has from its registry.
    pub(super) is_image: bool,
}

/// What an operation has of another one.
#[derive(Debug)]
pub(super) struct Edge {
    /// The place of the other one.
    pub(super) from: usize,
    /// The digest of the paths that are read, if that is not everything, in each way of writing them down.
    pub(super) selectors: Vec<Option<Digest>>,
    /// What is read of a build context.
    pub(super) content: Option<Content>,
}

/// What is read of a build context.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) context: VertexId,
    pub(super) selectors: Vec<Selector>,
}

/// A path that is read, and what is below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector {
    /// Absolute; empty for everything.
    pub(super) path: String,
    /// Whether a link at its end is followed.
    pub(super) follows_links: bool,
    /// Whether it is a pattern of Go's `path.Match`.
    pub(super) is_pattern: bool,
}

impl Node {
    /// One without inputs.
    pub(super) fn source(keys: Vec<Digest>) -> Self {
        Self { keys, inputs: Vec::new(), unknown: None, is_image: false }
    }

    pub(super) fn image(keys: Vec<Digest>) -> Self {
        Self { is_image: true, ..Self::source(keys) }
    }

    /// One whose key is not known.
    pub(super) fn unknown(why: &'static str) -> Self {
        Self { unknown: Some(why), ..Self::source(Vec::new()) }
    }

    /// One whose operation is written as one of these.
    pub(super) fn new(written: impl IntoIterator<Item = String>, inputs: Vec<Edge>) -> Self {
        let mut keys: Vec<Digest> =
            written.into_iter().map(|json| root_key(Digest::of(json.as_bytes()), 0)).collect();
        keys.dedup();
        Self { keys, inputs, unknown: None, is_image: false }
    }
}

impl Selector {
    pub(super) fn path(path: &str) -> Self {
        Self { path: path.to_owned(), follows_links: true, is_pattern: false }
    }

    pub(super) fn everything() -> Self {
        Self { path: String::new(), follows_links: false, is_pattern: false }
    }
}

/// The output of a digest of content, which is none.
const CONTENT_OUTPUT: i64 = -1;

/// The key of one output of an operation.
pub(super) fn root_key(operation: Digest, output: i64) -> Digest {
    Digest::of(format!("{operation}@{output}").as_bytes())
}

/// The key of content.
pub(super) fn content_key(content: Digest) -> Digest {
    root_key(content, CONTENT_OUTPUT)
}

/// The digest of texts with zero bytes between them.
pub(super) fn digest_of_list<T: AsRef<str>>(texts: &[T]) -> Digest {
    let texts: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
    Digest::of(texts.join("\0").as_bytes())
}

/// Leaves out paths that are below others, and brings the rest in order.
pub(super) fn without_nested(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_unstable();
    paths.dedup();
    let all = paths.clone();
    let is_below = |path: &str, other: &str| {
        path != other
            && path
                .strip_prefix(other.strip_suffix('/').unwrap_or(other))
                .is_some_and(|rest| rest.starts_with('/'))
    };
    paths.retain(|path| !all.iter().any(|other| is_below(path, other)));
    paths
}
