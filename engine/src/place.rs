//! Where in a Dockerfile an error or a remark is.

use crate::BuildError;

/// How an excerpt says where it is from, see [`frontend::render`].
const ARROW: &str = "--> ";

/// A place in a text: line and column, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// The place that an excerpt shows; none when it shows none.
    pub fn of(rendered: &str) -> Option<Self> {
        let line = rendered.lines().find_map(|line| line.trim_start().strip_prefix(ARROW))?;
        let mut numbers = line.rsplitn(3, ':');
        let column = numbers.next()?.parse().ok()?;
        let line = numbers.next()?.parse().ok()?;
        Some(Self { line, column })
    }
}

impl BuildError {
    /// The lines of the Dockerfile that it is about, each with an explanation.
    pub fn excerpts(&self) -> Vec<&str> {
        match self {
            Self::Dockerfile { rendered } | Self::IgnoreFile { rendered, .. } => {
                rendered.iter().map(String::as_str).collect()
            }
            Self::Step(failure) => vec![&failure.rendered],
            Self::NoImage { rendered, .. }
            | Self::Pull { rendered, .. }
            | Self::WrongPlatform { rendered, .. }
            | Self::Copy { rendered, .. }
            | Self::NotAllowed { rendered, .. }
            | Self::Device { rendered, .. }
            | Self::Secret { rendered, .. }
            | Self::Agent { rendered, .. }
            | Self::Fetch { rendered, .. }
            | Self::Sandbox { rendered, .. } => vec![rendered],
            Self::NoDockerfile { .. }
            | Self::NoContext { .. }
            | Self::ContextStream { .. }
            | Self::ContextArchive { .. }
            | Self::Read { .. }
            | Self::TooLarge { .. }
            | Self::NotUtf8 { .. }
            | Self::NoEpoch
            | Self::Layout { .. }
            | Self::NoResult { .. }
            | Self::Tree { .. }
            | Self::Context { .. }
            | Self::Client { .. }
            | Self::LostLayer { .. }
            | Self::IndexAnnotations
            | Self::NoSuchStep { .. }
            | Self::AnnotationPlatform { .. }
            | Self::CacheExport { .. }
            | Self::Store(_)
            | Self::Export(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_says_where_it_is_from() {
        let rendered = "error: no stage named `biuld`\n --> a:b:7:13\n7 | COPY --from=biuld /app /app";
        assert_eq!(Place::of(rendered), Some(Place { line: 7, column: 13 }));
        for other in ["", "error: x", " --> Dockerfile", " --> Dockerfile:x:1"] {
            assert_eq!(Place::of(other), None, "{other}");
        }
    }
}
