//! What a build is: operations and their inputs, content-addressed.
//!
//! The narrow waist of the project: every frontend ends in a [`BuildGraph`], everything behind starts from
//! one. Pure: no I/O, no clock, no environment.
//!
//! A vertex is one operation with its inputs. Its first input is the file system that it continues (the
//! layers below); further inputs are only read. Each vertex adds at most one layer. The operations can say
//! what BuildKit's LLB can say with its source, exec and file operations.

mod build_graph;
mod digest;
mod file;
mod merge;
mod mount;
mod print;
mod run;
mod source;

pub use build_graph::{BuildGraph, Label, Location, Vertex, VertexId};
pub use digest::OpDigest;
pub use file::{Change, Copy, CopyRules, File, FileAction, MakeDirectory, MakeFile, MakeSymlink, Remove};
pub use merge::Merge;
pub use mount::{CacheBase, CacheSharing, Mount, MountSource};
pub use run::{Device, Kept, KeptMount, Network, Run, SecretEnv, Security, Surroundings, Ulimit};
pub use source::{ContextSource, GitSource, GitTimes, HttpSource, ImageSource, redacted};

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// The empty file system. No inputs.
    Scratch,
    /// The layers of an image. No inputs.
    Image(ImageSource),
    /// The files of a build context, read in place. No inputs.
    Context(ContextSource),
    /// A file of an HTTP server. No inputs.
    Http(HttpSource),
    /// The files of a git repository. No inputs.
    Git(GitSource),
    /// One process on top of input 0; adds what it changed.
    Run(Run),
    /// Copied and made files on top of input 0; adds them.
    File(File),
}

impl Op {
    /// Whether the operation only brings files into the build, without inputs.
    pub fn is_source(&self) -> bool {
        match self {
            Self::Scratch | Self::Image(_) | Self::Context(_) | Self::Http(_) | Self::Git(_) => true,
            Self::Run(_) | Self::File(_) => false,
        }
    }

    /// The inputs of which only chosen paths are read, by index, in order and each once. What is read of
    /// them can be digested, so that the key depends on just that.
    pub fn partly_read(&self) -> Vec<usize> {
        let mut inputs: Vec<usize> = match self {
            Self::Scratch | Self::Image(_) | Self::Context(_) | Self::Http(_) | Self::Git(_) => Vec::new(),
            Self::Run(run) => run.mounts.iter().filter_map(Mount::input).collect(),
            Self::File(file) => file.actions.iter().filter_map(FileAction::input).collect(),
        };
        inputs.sort_unstable();
        inputs.dedup();
        inputs
    }
}
