//! How much of a file's mode counts.

/// The permissions that files of a build context have in the image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ContextMode {
    /// Those that they have.
    #[default]
    Exact,
    /// Those that git would give them, see gitformat-index(5): 0755 for a directory and for what its owner may execute,
    /// 0644 for any other file. The umask of whoever has written them makes no difference then.
    Git,
}

const OWNER_EXECUTES: u32 = 0o100;

impl ContextMode {
    /// What becomes of these permissions.
    pub(super) fn of(self, permissions: u32, is_directory: bool) -> u32 {
        match self {
            Self::Exact => permissions,
            Self::Git if is_directory || permissions & OWNER_EXECUTES != 0 => 0o755,
            Self::Git => 0o644,
        }
    }
}
