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
}

impl FileAction {
    /// The input that the action reads, when it reads one.
    pub fn input(&self) -> Option<usize> {
        match self {
            Self::Copy(copy) => Some(copy.input),
            Self::MakeDirectory(_) | Self::MakeFile(_) => None,
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
}
