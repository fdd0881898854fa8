//! The limits on what a registry may make us do.

use std::time::Duration;

/// Requests to one host at the same time. Docker has three for layers; a long line needs more.
pub(crate) const CONNECTIONS_MAX: usize = 8;
/// Ranges of one blob that are fetched at the same time.
pub(crate) const RANGES_MAX: usize = 4;
/// Size of such a range. Smaller blobs are fetched in one piece.
pub(crate) const RANGE_BYTES: u64 = 16 << 20;
/// Bytes that are handed to a sink at once: large enough that the way to another thread does not count.
pub(crate) const WRITE_BYTES: usize = 512 << 10;
/// Bytes that are asked of a source at once.
pub(crate) const READ_BYTES: usize = 256 << 10;
/// One chunk of an upload that cannot go in one piece.
pub(crate) const CHUNK_BYTES: u64 = 16 << 20;
/// The smallest chunk that is tried with a registry that refuses larger ones.
pub(crate) const CHUNK_BYTES_MIN: u64 = 256 << 10;
/// The largest chunk that a registry can ask for; each is held in memory.
pub(crate) const CHUNK_BYTES_MAX: u64 = 128 << 20;
/// Uploads of one blob that are begun, since the registry forgot the one before.
pub(crate) const UPLOADS_MAX: usize = 3;
/// A manifest or index; registries refuse larger ones as well.
pub(crate) const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// Any other document of a registry: errors, tokens, lists.
pub(crate) const DOCUMENT_BYTES_MAX: usize = 4 << 20;
/// Text of an answer that is repeated in an error.
pub(crate) const DETAIL_CHARS_MAX: usize = 300;
/// Redirects of one request.
pub(crate) const REDIRECTS_MAX: usize = 5;
/// Pages of one list; each has a hundred names or more.
pub(crate) const PAGES_MAX: usize = 1000;
/// Challenges in one answer.
pub(crate) const CHALLENGES_MAX: usize = 16;
/// A file with credentials, certificates or settings.
pub(crate) const FILE_BYTES_MAX: u64 = 4 << 20;
/// Until a connection stands.
pub(crate) const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// Until it is known that a registry which may be insecure speaks no TLS.
pub(crate) const PROBE_WAIT: Duration = Duration::from_secs(5);
/// Without a single byte from the other side.
pub(crate) const IDLE_WAIT: Duration = Duration::from_secs(60);
/// Until a program that keeps credentials has answered; it may ask its user for a password.
pub(crate) const HELPER_WAIT: Duration = Duration::from_secs(120);
/// Of a token that does not say how long it lives, from the token specification.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// A token is not used for its last seconds.
pub(crate) const TOKEN_MARGIN: Duration = Duration::from_secs(5);
