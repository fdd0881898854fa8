//! One package.

/// Who knows a package by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ecosystem {
    /// dpkg.
    Debian,
    /// apk-tools.
    Alpine,
    /// Python's index.
    Python,
    /// npm.
    Node,
    /// Modules of Go.
    Go,
    /// Crates.
    Rust,
}

/// A package that is in an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Who knows its name.
    pub ecosystem: Ecosystem,
    /// As its ecosystem writes it.
    pub name: String,
    /// As its ecosystem writes it.
    pub version: String,
    /// For which machines, where that is told.
    pub architecture: Option<String>,
    /// What it says of its licence, in its own words.
    pub license: Option<String>,
}

impl Package {
    pub(super) fn new(ecosystem: Ecosystem, name: &str, version: &str) -> Self {
        let (name, version) = (name.trim().to_owned(), version.trim().to_owned());
        Self { ecosystem, name, version, architecture: None, license: None }
    }

    /// None when it has no name or no version: then it says nothing.
    pub(super) fn checked(self) -> Option<Self> {
        (!self.name.is_empty() && !self.version.is_empty()).then_some(self)
    }
}

/// `NAME: VALUE` of the lines of one paragraph, see RFC 822; lines that go on are left out.
pub(super) fn fields(paragraph: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_begun = |line: &&str| !line.starts_with([' ', '\t']);
    let lines = paragraph.lines().filter(is_begun);
    lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}
