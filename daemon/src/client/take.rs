//! What a daemon sends: results of builds, for files and directories of ours.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use crate::proto::Packet;
use crate::proto::filesync::BytesMessage;
use crate::session::files::joined;
use crate::session::packets;
use crate::session::receive::{Others, Receiving, receive};

/// What is allowed before the umask.
const MODE: u32 = 0o666;

/// Where a result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, which appears whole or not at all.
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// A directory, beside what is in it, or in place of that.
    Directory {
        /// Where.
        path: PathBuf,
        /// Whether what is in it goes.
        is_replaced: bool,
    },
    /// An OCI layout in a directory, beside the images that it has already.
    Layout(PathBuf),
}

/// A file that something is written to.
enum Writing {
    Aside {
        staging: NamedTempFile,
        path: PathBuf,
    },
    /// Standard output, or something that is no regular file, like a device.
    Through(File),
}

impl Writing {
    fn begin(target: &Target) -> io::Result<Self> {
        let Target::File(path) = target else {
            return Ok(Self::Through(rustix::io::dup(io::stdout())?.into()));
        };
        if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
            return Ok(Self::Through(OpenOptions::new().write(true).open(path)?));
        }
        let directory =
            path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let permissions = Permissions::from_mode(MODE);
        let staging = tempfile::Builder::new().permissions(permissions).tempfile_in(directory)?;
        Ok(Self::Aside { staging, path: path.clone() })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Aside { staging, .. } => staging.write_all(bytes),
            Self::Through(file) => file.write_all(bytes),
        }
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Aside { staging, path } => {
                staging.as_file().sync_all()?;
                staging.persist(path).map(drop).map_err(|error| error.error)
            }
            Self::Through(mut file) => file.flush(),
        }
    }
}

/// Writes what arrives, until the daemon has no more.
pub(super) async fn bytes(target: &Target, mut arriving: Streaming<BytesMessage>) -> Result<(), Status> {
    let failed = |error: io::Error| Status::unknown(format!("cannot write the result: {error}"));
    let mut writing = Writing::begin(target).map_err(failed)?;
    while let Some(message) = arriving.message().await? {
        writing.write(&message.data).map_err(failed)?;
    }
    writing.end().map_err(failed)
}

/// Brings a directory to what arrives. What is asked for meanwhile goes to `ask`.
pub(super) async fn files(
    path: PathBuf,
    others: Others,
    mut arriving: Streaming<Packet>,
    ask: mpsc::UnboundedSender<Packet>,
) -> Result<(), Status> {
    let (bring, brought) = mpsc::channel(packets::WAITING_MAX);
    let received = crate::blocking::spawn_blocking(move || {
        let failed = |error: io::Error| format!("cannot write to `{}`: {error}", path.display());
        fs::create_dir_all(&path).map_err(failed)?;
        let receiving = Receiving::open(&path, brought, ask, others);
        receiving.and_then(|mut it| receive(&mut it, &|_| ())).map_err(|error| error.to_string())
    });
    let pump = packets::pass_on(&mut arriving, bring);
    let (pumped, received) = futures_util::future::join(pump, joined(received)).await;
    match (pumped, received?) {
        (_, Ok(())) => Ok(()),
        (Err(status), Err(_)) => Err(status),
        (Ok(()), Err(message)) => Err(Status::unknown(message)),
    }
}
