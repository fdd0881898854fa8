//! Files that a client of the engine has, and brings when a build needs them.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Hears how many bytes have arrived.
pub type OnBytes = Arc<dyn Fn(u64) + Send + Sync>;
/// The directory in which the files are, once they are there.
pub type Bringing<'a> = Pin<Box<dyn Future<Output = io::Result<PathBuf>> + Send + 'a>>;

/// Brings files of a client.
///
/// An implementation keeps these promises:
///
/// - The directory belongs to the build as long as this value: nobody changes it.
/// - Only its root has to be trusted; links in it may lead anywhere.
/// - Asked again, it answers with the same directory.
pub trait BringFiles: fmt::Debug + Send + Sync {
    /// Brings all files that the ignore file does not hide.
    fn bring(&self, on_bytes: OnBytes) -> Bringing<'_>;
}

/// A directory of a client.
#[derive(Debug, Clone)]
pub struct ClientFiles {
    /// Who brings the files.
    pub files: Arc<dyn BringFiles>,
    /// Its ignore file, if it has one.
    pub ignore: Option<IgnoreText>,
}

/// The same when the same value brings them.
impl PartialEq for ClientFiles {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.files, &other.files) && self.ignore == other.ignore
    }
}

impl Eq for ClientFiles {}

/// An ignore file's text and its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoreText {
    /// As diagnostics name it.
    pub name: String,
    /// What is in it.
    pub text: String,
}
