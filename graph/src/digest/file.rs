//! What is in the digest of changed files.

use image::{Digest, Hasher};

use crate::{Change, Copy, CopyRules, File, FileAction, MakeDirectory, MakeFile, MakeSymlink, Remove};

impl File {
    pub(super) fn digest(&self) -> Digest {
        let Self { actions } = self;
        Hasher::new("file/v1").list("actions", actions.iter().map(|action| action.digest().0)).finish()
    }

    pub(super) fn ingredients(&self) -> Vec<(String, String)> {
        self.actions.iter().map(FileAction::ingredient).collect()
    }
}

impl FileAction {
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Copy(copy) => copy.digest(),
            Self::MakeDirectory(directory) => directory.digest(),
            Self::MakeFile(file) => file.digest(),
            Self::MakeSymlink(link) => link.digest(),
            Self::Remove(remove) => remove.digest(),
            Self::Change(change) => change.digest(),
            Self::Expect(path) => Hasher::new("expect/v1").field("path", path).finish(),
        }
    }

    pub(super) fn ingredient(&self) -> (String, String) {
        match self {
            Self::Copy(copy) => {
                ("copy".to_owned(), format!("{} -> {}", copy.sources.join(" "), copy.destination))
            }
            Self::MakeDirectory(directory) => ("directory".to_owned(), directory.path.clone()),
            Self::MakeFile(file) => {
                ("file".to_owned(), format!("{} {}", file.path, Digest::of(&file.content)))
            }
            Self::MakeSymlink(link) => ("symlink".to_owned(), format!("{} -> {}", link.path, link.target)),
            Self::Remove(remove) => ("removed".to_owned(), remove.path.clone()),
            Self::Change(_) => ("changes".to_owned(), "of an input".to_owned()),
            Self::Expect(path) => ("expected directory".to_owned(), path.clone()),
        }
    }
}

impl Copy {
    pub(super) fn digest(&self) -> Digest {
        let Self { input, sources, destination, owner, mode, exclude, parents, link, unpack, rules } = self;
        // Directories on the way had no mode of `--chmod` in the first version, and a missing source of
        // `--parents` was no error.
        let hasher = match (*rules == CopyRules::default(), mode.is_some() || *parents) {
            (true, true) => Hasher::new("copy/v2"),
            (true, false) => Hasher::new("copy/v1"),
            // Instructions cannot say these.
            (false, _) => Hasher::new("copy/v3").field("rules", rules.digest().0),
        };
        // Those directories had a symbolic mode too, for a while, and that of an archive.
        let is_octal = |mode: &String| mode.bytes().all(|byte| byte.is_ascii_digit());
        let hasher = match mode {
            Some(mode) if *unpack || !is_octal(mode) => hasher.field("made", "0755"),
            _ => hasher,
        };
        hasher
            .field("input", input.to_le_bytes())
            .list("sources", sources)
            .field("destination", destination)
            .list("owner", owner)
            .list("mode", mode)
            .list("exclude", exclude)
            .field("flags", [u8::from(*parents), u8::from(*link), u8::from(*unpack)])
            .finish()
    }
}

impl CopyRules {
    pub(super) fn digest(&self) -> Digest {
        let Self { keep_directory, keep_symlink, include, replace, must_match, mtime_ns } = self;
        let flags = [keep_directory, keep_symlink, replace, must_match];
        let hasher = Hasher::new("copy-rules/v1").list("include", include);
        at(hasher.field("flags", flags.map(|flag| u8::from(*flag))), *mtime_ns).finish()
    }
}

/// With the time that files get, if they get one.
fn at(hasher: Hasher, mtime_ns: Option<i64>) -> Hasher {
    match mtime_ns {
        Some(time) => hasher.field("mtime_ns", time.to_le_bytes()),
        None => hasher,
    }
}

impl MakeDirectory {
    pub(super) fn digest(&self) -> Digest {
        let Self { path, mode, owner, mtime_ns } = self;
        let hasher = Hasher::new("mkdir/v1").field("path", path).field("mode", mode.to_le_bytes());
        at(hasher.list("owner", owner), *mtime_ns).finish()
    }
}

impl MakeFile {
    pub(super) fn digest(&self) -> Digest {
        let Self { path, mode, owner, content, mtime_ns } = self;
        let hasher = Hasher::new("mkfile/v1").field("path", path).field("mode", mode.to_le_bytes());
        at(hasher.list("owner", owner).field("content", content), *mtime_ns).finish()
    }
}

impl MakeSymlink {
    pub(super) fn digest(&self) -> Digest {
        let Self { path, target, owner, mtime_ns } = self;
        let hasher = Hasher::new("symlink/v1").field("path", path).field("target", target);
        at(hasher.list("owner", owner), *mtime_ns).finish()
    }
}

impl Remove {
    pub(super) fn digest(&self) -> Digest {
        let Self { path, is_pattern, may_be_missing } = self;
        let flags = [u8::from(*is_pattern), u8::from(*may_be_missing)];
        Hasher::new("rm/v1").field("path", path).field("flags", flags).finish()
    }
}

impl Change {
    pub(super) fn digest(&self) -> Digest {
        let Self { from, to } = self;
        Hasher::new("change/v1").field("from", from.to_le_bytes()).field("to", to.to_le_bytes()).finish()
    }
}
