//! Why a layer cannot be applied.

use super::assembly::PlaceError;
use super::make::MakeError;
use super::read::TarError;

/// Why a layer's tar cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The tar is damaged or asks for too much.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// An entry cannot be put where it belongs.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// An entry whose name leads out of the root.
    #[error("layer entry `{path}` leaves the root file system")]
    Escapes {
        /// The name as it stands in the tar.
        path: String,
    },
    /// An entry whose name has a NUL or a component that no file system takes.
    #[error("layer entry `{path}` has a name that no file can have")]
    Name {
        /// The name as it stands in the tar.
        path: String,
    },
    /// A name that begins with `.wh.` but is no whiteout.
    #[error("layer entry `{path}` has a name that is reserved for whiteouts")]
    ReservedName {
        /// The name as it stands in the tar.
        path: String,
    },
    /// The device 0:0, which overlayfs takes for a whiteout.
    #[error("layer entry `{path}` is the device 0:0, which would hide files of other layers")]
    WhiteoutDevice {
        /// The name as it stands in the tar.
        path: String,
    },
    /// A hard link to something that the layer does not have.
    #[error("layer entry `{path}` is a hard link to `{target}`, which the layer does not have")]
    LinkTarget {
        /// The name as it stands in the tar.
        path: String,
        /// The target as it stands in the tar.
        target: String,
    },
    /// A hard link to a directory.
    #[error("layer entry `{path}` is a hard link to the directory `{target}`")]
    LinkToDirectory {
        /// The name as it stands in the tar.
        path: String,
        /// The target as it stands in the tar.
        target: String,
    },
}

impl From<MakeError> for ApplyError {
    fn from(error: MakeError) -> Self {
        Self::Place(error.into())
    }
}
