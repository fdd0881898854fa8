//! Every limit on what a Dockerfile may make us do, in one place.
//!
//! Together they keep any input within one second and 100 MB.

/// Longest Dockerfile, bytes. Real ones with large here-documents stay below a tenth of this.
pub const TEXT_BYTES_MAX: usize = 2 << 20;

/// Most instructions in one Dockerfile; a hundred times the longest chain of layers that overlayfs takes.
pub const INSTRUCTIONS_MAX: usize = 20_000;

/// Most words (sources, pairs, ports, ...) in one Dockerfile.
pub const WORDS_MAX: usize = 100_000;

/// Most diagnostics that one pass keeps; nobody reads the thousandth.
pub const DIAGNOSTICS_MAX: usize = 500;

/// Deepest nesting of `${a:-${b:-...}}`.
pub const EXPANSION_DEPTH_MAX: usize = 50;

/// Longest result of one expansion, bytes: the kernel takes no longer argument or environment variable
/// (`MAX_ARG_STRLEN`, see execve(2)).
pub const EXPANSION_BYTES_MAX: usize = 128 << 10;

/// Longest pattern in `${v#pattern}`, bytes.
pub const SHELL_PATTERN_BYTES_MAX: usize = 1 << 10;

/// Pairs of characters that one pass compares to find suggestions: enough for every mistake of a person, and a
/// twentieth of a second.
pub(crate) const SUGGESTION_WORK_MAX: usize = 1 << 23;

/// Text that lowering may make altogether (environments, commands, history), bytes.
pub const LOWERED_BYTES_MAX: usize = 48 << 20;

/// Most `ONBUILD` triggers that all bases of a build together may bring.
pub const TRIGGERS_MAX: usize = 2_000;

/// Longest ignore file, bytes.
pub const IGNORE_BYTES_MAX: usize = 1 << 20;

/// Most patterns in an ignore file.
pub const IGNORE_PATTERNS_MAX: usize = 10_000;

/// Longest line of an ignore file, bytes: the kernel takes no longer path (`PATH_MAX`).
pub const IGNORE_PATTERN_BYTES_MAX: usize = 4 << 10;

/// Longest pattern with wildcards, bytes: names are no longer than 255.
pub const IGNORE_WILDCARD_BYTES_MAX: usize = 512;

/// Memory that one compiled pattern may take, bytes.
pub(crate) const REGEX_BYTES_MAX: usize = 1 << 20;

/// Longest part of a source line that a rendered diagnostic shows, characters.
pub(crate) const RENDERED_CHARS_MAX: usize = 200;
