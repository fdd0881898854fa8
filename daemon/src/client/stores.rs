//! Stores of blobs that a daemon reads and writes: OCI layouts in directories of ours.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use image::{BlobDigest, Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use crate::content::{
    CHUNK_BYTES, Info, InfoRequest, InfoResponse, ReadContentRequest, ReadContentResponse, STORE,
    WriteAction, WriteContentRequest, WriteContentResponse,
};
use crate::session::files::joined;
use crate::session::output::receiving;
use crate::wire::Replies;

/// Pieces of a blob that wait for a line that is slower than the disk.
const PIECES_WAITING_MAX: usize = 16;
/// Others than its writer read a layout.
const MODE: u32 = 0o644;

/// What a daemon may do with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it.
    Read,
    /// And add to it.
    Write,
}

/// A directory whose blobs a daemon may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Where it is.
    pub path: PathBuf,
    /// What may be done with it.
    pub access: Access,
}

/// All of them, by the names that the daemon asks for.
#[derive(Debug, Clone, Default)]
pub(super) struct Stores(pub(super) BTreeMap<String, Store>);

fn status(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::NotFound => Status::not_found(error.to_string()),
        _ => Status::unknown(error.to_string()),
    }
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

impl Stores {
    fn named(&self, metadata: &MetadataMap, access: Access) -> Result<&Store, Status> {
        let name = metadata.get(STORE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let found = self.0.get(name).filter(|store| access == Access::Read || store.access == Access::Write);
        // Not that it is not found, as of a blob that is not there.
        found.ok_or_else(|| Status::invalid_argument(format!("no store `{name}` for that")))
    }

    /// How large a blob is.
    pub(super) async fn info(&self, request: Request<InfoRequest>) -> Result<InfoResponse, Status> {
        let store = self.named(request.metadata(), Access::Read)?;
        let digest = request.into_inner().digest;
        let path = blob(store, &digest)?;
        let found = joined(crate::blocking::spawn_blocking(move || fs::metadata(path))).await?;
        let size = number(found.map_err(|error| status(&error))?.len());
        Ok(InfoResponse { info: Some(Info { digest, size }) })
    }

    /// Sends a part of a blob.
    pub(super) async fn read(
        &self,
        request: Request<ReadContentRequest>,
    ) -> Result<Replies<ReadContentResponse>, Status> {
        let store = self.named(request.metadata(), Access::Read)?;
        let ReadContentRequest { digest, offset, size } = request.into_inner();
        let path = blob(store, &digest)?;
        let (send, sent) = mpsc::channel(PIECES_WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            let part =
                (u64::try_from(offset).unwrap_or(0), u64::try_from(size).ok().filter(|size| *size > 0));
            if let Err(error) = send_part(&path, part, &send) {
                // Who no longer listens knows why.
                let _ = send.blocking_send(Err(status(&error)));
            }
        });
        Ok(Box::pin(receiving(sent)))
    }

    /// Takes a blob, which appears whole or not at all.
    pub(super) async fn write(
        &self,
        request: Request<Streaming<WriteContentRequest>>,
    ) -> Result<Replies<WriteContentResponse>, Status> {
        let store = self.named(request.metadata(), Access::Write)?.clone();
        let mut arriving = request.into_inner();
        let (bring, brought) = mpsc::channel(PIECES_WAITING_MAX);
        let (tell, told) = mpsc::channel(PIECES_WAITING_MAX);
        tokio::task::spawn_local(async move {
            while let Ok(Some(message)) = arriving.message().await {
                if bring.send(message).await.is_err() {
                    break;
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            if let Err(status) = take(&store, brought, &tell) {
                let _ = tell.blocking_send(Err(status));
            }
        });
        Ok(Box::pin(receiving(told).fuse()))
    }
}

fn blob(store: &Store, digest: &str) -> Result<PathBuf, Status> {
    let wrong = |_| Status::invalid_argument(format!("`{digest}` is no digest"));
    let digest: Digest = digest.parse().map_err(wrong)?;
    Ok(path(&store.path, &BlobDigest(digest)))
}

fn path(layout: &Path, digest: &BlobDigest) -> PathBuf {
    layout.join("blobs/sha256").join(digest.0.hex())
}

fn send_part(
    path: &Path,
    (begin, count): (u64, Option<u64>),
    send: &mpsc::Sender<Result<ReadContentResponse, Status>>,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(begin))?;
    let mut rest = file.take(count.unwrap_or(u64::MAX));
    let mut offset = number(begin);
    loop {
        let mut data = vec![0; CHUNK_BYTES];
        let count = rest.read(&mut data)?;
        if count == 0 {
            return Ok(());
        }
        data.truncate(count);
        if send.blocking_send(Ok(ReadContentResponse { offset, data })).is_err() {
            return Ok(());
        }
        offset += number(count as u64);
    }
}

/// A blob that arrives.
struct Arriving {
    staged: NamedTempFile,
    hasher: Sha256,
    count: u64,
}

fn take(
    store: &Store,
    mut brought: mpsc::Receiver<WriteContentRequest>,
    tell: &mpsc::Sender<Result<WriteContentResponse, Status>>,
) -> Result<(), Status> {
    let failed = |error: io::Error| Status::unknown(format!("`{}`: {error}", store.path.display()));
    let (mut expected, mut total) = (String::new(), 0);
    let mut arriving: Option<Arriving> = None;
    while let Some(message) = brought.blocking_recv() {
        if !message.expected.is_empty() {
            expected.clone_from(&message.expected);
        }
        total = if message.total > 0 { message.total } else { total };
        let action = message.action();
        if arriving.is_none() {
            let to = blob(store, &expected)?;
            if to.exists() {
                return Err(Status::already_exists(format!("the blob {expected} is there")));
            }
            let directory = to.parent().expect("a blob is in a directory");
            fs::create_dir_all(directory).map_err(failed)?;
            let permissions = Permissions::from_mode(MODE);
            let staged = tempfile::Builder::new().permissions(permissions).tempfile_in(directory);
            arriving = Some(Arriving { staged: staged.map_err(failed)?, hasher: Sha256::new(), count: 0 });
        }
        let blob_arriving = arriving.as_mut().expect("it was made above");
        if message.offset != number(blob_arriving.count) && !message.data.is_empty() {
            let at = blob_arriving.count;
            return Err(Status::out_of_range(format!(
                "a piece for {}, expected one for {at}",
                message.offset
            )));
        }
        blob_arriving.staged.write_all(&message.data).map_err(failed)?;
        blob_arriving.hasher.update(&message.data);
        blob_arriving.count += message.data.len() as u64;
        let offset = number(blob_arriving.count);
        let mut answer =
            WriteContentResponse { action: message.action, offset, total, digest: String::new() };
        if action == WriteAction::Commit {
            let done = arriving.take().expect("it was made above");
            answer.digest = keep(store, done, &expected, total)?;
        }
        if tell.blocking_send(Ok(answer)).is_err() || action == WriteAction::Commit {
            break;
        }
    }
    Ok(())
}

fn keep(store: &Store, done: Arriving, expected: &str, total: i64) -> Result<String, Status> {
    let Arriving { staged, hasher, count } = done;
    let actual = BlobDigest(hasher.finish());
    if actual.to_string() != expected || (total > 0 && number(count) != total) {
        return Err(Status::failed_precondition(format!(
            "{count} bytes with the digest {actual} are not the blob {expected} of {total} bytes"
        )));
    }
    let to = path(&store.path, &actual);
    staged.persist(&to).map_err(|error| Status::unknown(format!("`{}`: {}", to.display(), error.error)))?;
    Ok(actual.to_string())
}
