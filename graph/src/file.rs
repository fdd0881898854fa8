//! Files that are copied and made.

/// Actions on top of input 0, in order; together they make one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// What is done, in order.
    pub actions: Vec<FileAction>,
}

/// One change to the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// Copies files of another input.
    Copy(Copy),
    /// Makes a directory and its parents.
    MakeDirectory(MakeDirectory),
    /// Writes a file.
    MakeFile(MakeFile),
    /// Makes a symlink.
    MakeSymlink(MakeSymlink),
    /// Removes files.
    Remove(Remove),
    /// Makes the changes that lead from one input to another.
    Change(Change),
    /// Nothing, where there is a directory at this absolute path; fails else.
    Expect(String),
}

impl FileAction {
    /// The input that the action reads, when it reads one.
    pub fn input(&self) -> Option<usize> {
        match self {
            Self::Copy(copy) => Some(copy.input),
            Self::MakeDirectory(_)
            | Self::MakeFile(_)
            | Self::MakeSymlink(_)
            | Self::Remove(_)
            | Self::Change(_)
            | Self::Expect(_) => None,
        }
    }
}

/// `COPY` and the local part of `ADD`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copy {
    /// Index into the vertex's inputs of the file system that is read.
    pub input: usize,
    /// Paths beneath that file system's root, as written; may hold Go's `filepath.Match` patterns.
    pub sources: Vec<String>,
    /// Absolute path; a trailing slash says that it is a directory.
    pub destination: String,
    /// `--chown` as written: names are looked up in input 0. None keeps the owners of the source, which are
    /// root's for a build context.
    pub owner: Option<String>,
    /// `--chmod` as written, octal or symbolic.
    pub mode: Option<String>,
    /// Patterns of `--exclude`.
    pub exclude: Vec<String>,
    /// `--parents`: keep the directories of the sources.
    pub parents: bool,
    /// `--link`: the copy does not look at input 0.
    pub link: bool,
    /// `ADD`: a local tar archive is unpacked.
    pub unpack: bool,
    /// What no instruction says otherwise.
    pub rules: CopyRules,
}

/// How files are copied, where instructions have no choice. The default is what they do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyRules {
    /// A directory lands as itself in a destination that is a directory, and not what is in it.
    pub keep_directory: bool,
    /// A source that is a symlink is copied as such.
    pub keep_symlink: bool,
    /// Patterns of what is copied of a directory; none is everything.
    pub include: Vec<String>,
    /// What is in the way is replaced, a directory by a file as well.
    pub replace: bool,
    /// A pattern has to match something.
    pub must_match: bool,
    /// When the files were changed, in nanoseconds since 1970; none keeps the times of the source.
    pub mtime_ns: Option<i64>,
}

/// A directory, with its missing parents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeDirectory {
    /// Absolute path.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// `USER` or `--chown` as written: names are looked up in input 0. None is root.
    pub owner: Option<String>,
    /// When it was changed, in nanoseconds since 1970; none is when it is made.
    pub mtime_ns: Option<i64>,
}

/// A file with the given content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeFile {
    /// Absolute path; with a trailing slash it would name a directory, which is refused.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Owner as written: names are looked up in input 0. None is root.
    pub owner: Option<String>,
    /// What is in it.
    pub content: Vec<u8>,
    /// When it was changed, in nanoseconds since 1970; none is when it is made.
    pub mtime_ns: Option<i64>,
}

/// A symlink, where there is nothing of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MakeSymlink {
    /// Absolute path.
    pub path: String,
    /// Where it leads, as written.
    pub target: String,
    /// Owner as written: names are looked up in input 0. None is root.
    pub owner: Option<String>,
    /// When it was changed, in nanoseconds since 1970; none is when it is made.
    pub mtime_ns: Option<i64>,
}

/// What differs between two file systems: what the second one has, and what it has no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Index into the vertex's inputs of the file system before.
    pub from: usize,
    /// Index into the vertex's inputs of the file system after.
    pub to: usize,
}

/// Files that are there no more, with what is below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remove {
    /// Absolute path; its last component is not followed when it is a symlink.
    pub path: String,
    /// Whether the path may hold patterns of Go's `filepath.Match`.
    pub is_pattern: bool,
    /// Whether there may be no such file.
    pub may_be_missing: bool,
}
