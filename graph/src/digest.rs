//! What of an operation goes into a key.
//!
//! Every struct is destructured in full: a new field does not compile until somebody has decided whether it
//! belongs to the key. `docs/cache-keys.md` lists each field with the decision.

mod file;
mod process;

use image::{Digest, Hasher};

use crate::{ContextSource, GitSource, HttpSource, ImageSource, Op, redacted};

/// The digest of an operation alone, without its inputs: equal operations do the same to equal inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpDigest(pub Digest);

impl Op {
    /// Everything that can change what the operation produces, and nothing else.
    pub fn digest(&self) -> OpDigest {
        OpDigest(match self {
            Self::Scratch => Hasher::new("scratch/v1").finish(),
            Self::Image(source) => source.digest(),
            Self::Context(source) => source.digest(),
            Self::Http(source) => source.digest(),
            Self::Git(source) => source.digest(),
            Self::Run(run) => run.digest(),
            Self::File(file) => file.digest(),
        })
    }

    /// The named inputs of [`Op::digest`], for explaining why a key changed. Values are what people wrote.
    pub fn ingredients(&self) -> Vec<(String, String)> {
        match self {
            Self::Scratch => Vec::new(),
            Self::Image(source) => vec![("image".to_owned(), source.reference.to_string())],
            Self::Context(source) => vec![("context".to_owned(), source.name.clone())],
            Self::Http(source) => vec![("url".to_owned(), redacted(&source.url))],
            Self::Git(source) => source.ingredients(),
            Self::Run(run) => run.ingredients(),
            Self::File(file) => file.ingredients(),
        }
    }
}

impl ImageSource {
    fn digest(&self) -> Digest {
        // The name is in no key: the identity of an image is that of its layers, which the worker knows.
        let Self { reference: _, platform } = self;
        Hasher::new("image/v1").field("platform", platform.to_string()).finish()
    }
}

impl ContextSource {
    fn digest(&self) -> Digest {
        // A context is never looked up by its name, only by the content of what is read from it.
        let Self { name } = self;
        Hasher::new("context/v1").field("name", name).finish()
    }
}

impl HttpSource {
    fn digest(&self) -> Digest {
        // The identity of the file is its content, wherever it is from.
        let Self { url: _, checksum: _, filename, mode, owner } = self;
        Hasher::new("http/v1")
            .list("filename", filename)
            .list("mode", mode.map(u32::to_le_bytes))
            .list("owner", owner.iter().flat_map(|(uid, gid)| [uid.to_le_bytes(), gid.to_le_bytes()]))
            .finish()
    }
}

impl GitSource {
    fn digest(&self) -> Digest {
        // The identity of the files is the commit, wherever it is from. A `.git` says where that was.
        let Self {
            remote,
            reference,
            checksum: _,
            subdirectory,
            keep_git_dir,
            submodules,
            fetch_by_commit: _,
            times,
        } = self;
        let kept = [remote, reference].into_iter().filter(|_| *keep_git_dir);
        Hasher::new("git/v1")
            .list("kept", kept)
            .field("subdirectory", subdirectory)
            .field("flags", [u8::from(*keep_git_dir), u8::from(*submodules)])
            .field("times", times.name())
            .finish()
    }

    fn ingredients(&self) -> Vec<(String, String)> {
        let mut named = vec![("repository".to_owned(), redacted(&self.remote))];
        named.push(("reference".to_owned(), self.reference.clone()));
        named.push(("subdirectory".to_owned(), self.subdirectory.clone()));
        named
    }
}

#[cfg(test)]
mod tests;
