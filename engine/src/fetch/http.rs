//! Files of HTTP servers: each a layer with one file in its root directory.
//!
//! The store remembers under each URL what the server told to recognise the file by. The next time the server is
//! asked whether it is still that one, and an unchanged file costs one request.

use std::fs::File;
use std::os::fd::OwnedFd;

use cache::{ActiveLayer, Key, LayerId, Record, Store};
use frontend::remote::file_name;
use graph::HttpSource;
use image::{Digest, Hasher};
use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid, fchmod, fchown, futimens, openat};
use rustix::io::Errno;

use super::patience::patiently;
use super::{Access, FetchError, OnBytes};
use crate::net::{Answer, Body, HttpError, Validators};
use crate::ops::now_unix_ns;

/// Permissions of a file for which nothing else is said, as in BuildKit.
const FILE_MODE: u32 = 0o600;
/// The name of a file that nobody names, as in BuildKit.
const UNNAMED: &str = "__unnamed__";
/// What a record keeps of the answer.
const ETAG: &str = "etag";
const LAST_MODIFIED: &str = "last-modified";
const NAME: &str = "name";

/// A file of a server, in the store.
#[derive(Debug, Clone)]
pub(crate) struct RemoteFile {
    pub(crate) layer: LayerId,
    pub(crate) name: String,
    pub(crate) content: Digest,
}

impl RemoteFile {
    /// Equal files have equal identities, wherever they are from.
    pub(crate) fn identity(&self) -> Digest {
        identity(&self.name, &self.content)
    }
}

fn identity(name: &str, content: &Digest) -> Digest {
    Hasher::new("http-file/v1").field("name", name).field("content", content.0).finish()
}

/// The identity of a file of which everything is known that goes into it.
pub(crate) fn pinned_identity(source: &HttpSource) -> Option<Digest> {
    Some(identity(source.filename.as_ref()?, source.checksum.as_ref()?))
}

/// Brings the file here, unless it is here and the server says that it has not changed. Faults that may pass are
/// given some time to.
///
/// # Errors
///
/// [`HttpError::Checksum`] when it is not the file that `source` wants; it is not kept then.
pub(crate) async fn file(
    store: &Store,
    access: &Access,
    source: &HttpSource,
    on_bytes: OnBytes<'_>,
) -> Result<RemoteFile, FetchError> {
    patiently(|| ask(store, access, source, on_bytes), FetchError::may_pass).await
}

async fn ask(
    store: &Store,
    access: &Access,
    source: &HttpSource,
    on_bytes: OnBytes<'_>,
) -> Result<RemoteFile, FetchError> {
    let key = url_key(source);
    let known = store.record(&key)?.as_ref().and_then(Known::of);
    let validators = known.as_ref().map(|known| known.validators.clone()).unwrap_or_default();
    let authorization = access.file_credentials.authorization(&source.url);
    let answer = access.client.get(&source.url, &validators, authorization.as_deref()).await?;
    let body = match (answer, known) {
        (Answer::Unchanged, Some(known)) => {
            check(source, &known.file.content)?;
            return Ok(known.file);
        }
        (Answer::Unchanged, None) => unreachable!("a server that is asked nothing sends the file"),
        (Answer::File(body), _) => body,
    };
    let validators = body.validators();
    let file = download(store, source, body, on_bytes).await?;
    store.put_record(&record(key, source, &file, &validators))?;
    Ok(file)
}

async fn download(
    store: &Store,
    source: &HttpSource,
    body: Body,
    on_bytes: OnBytes<'_>,
) -> Result<RemoteFile, FetchError> {
    let layer = store.begin_layer()?;
    let named = source.filename.clone().or_else(|| body.name()).or_else(|| file_name(&source.url));
    let name = named.unwrap_or_else(|| UNNAMED.to_owned());
    let modified = body.modified_unix_s().unwrap_or(0);
    let saved = body.save(create(&layer, &name)?, on_bytes).await?;
    check(source, &saved.sha256)?;
    finish(&saved.file, source, modified).map_err(write_error)?;
    let layer = layer.commit()?.id();
    Ok(RemoteFile { layer, name, content: saved.sha256 })
}

fn check(source: &HttpSource, actual: &Digest) -> Result<(), HttpError> {
    match source.checksum {
        Some(expected) if expected != *actual => {
            Err(HttpError::Checksum { url: graph::redacted(&source.url), expected, actual: *actual })
        }
        _ => Ok(()),
    }
}

fn create(layer: &ActiveLayer, name: &str) -> Result<File, FetchError> {
    let directory: OwnedFd = layer.open()?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::RUSR | Mode::WUSR).map_err(write_error)?;
    Ok(File::from(file))
}

/// Owner, permissions and time.
fn finish(file: &File, source: &HttpSource, modified_unix_s: i64) -> Result<(), Errno> {
    let (uid, gid) = source.owner.unwrap_or((0, 0));
    fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
    fchmod(file, Mode::from_raw_mode(source.mode.unwrap_or(FILE_MODE)))?;
    let time = Timespec { tv_sec: modified_unix_s, tv_nsec: 0 };
    futimens(file, &Timestamps { last_access: time, last_modification: time })
}

fn write_error(error: Errno) -> HttpError {
    HttpError::Write { source: error.into() }
}

/// What is known of a URL.
struct Known {
    file: RemoteFile,
    validators: Validators,
}

impl Known {
    fn of(record: &Record) -> Option<Self> {
        let fact = |wanted: &str| {
            let found = record.ingredients.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.clone())
        };
        let file = RemoteFile { layer: *record.layers.first()?, name: fact(NAME)?, content: record.content? };
        Some(Self { file, validators: Validators { etag: fact(ETAG), last_modified: fact(LAST_MODIFIED) } })
    }
}

/// The layer has the name, the permissions and the owner in it.
fn url_key(source: &HttpSource) -> Key {
    let HttpSource { url, checksum: _, filename, mode, owner } = source;
    let hasher = Hasher::new("http-url/v1").field("url", url).list("filename", filename);
    let hasher = hasher.list("mode", mode.map(u32::to_le_bytes));
    let ids = owner.iter().flat_map(|(uid, gid)| [uid.to_le_bytes(), gid.to_le_bytes()]);
    Key(hasher.list("owner", ids).finish())
}

fn record(key: Key, source: &HttpSource, file: &RemoteFile, validators: &Validators) -> Record {
    let facts = [
        (NAME, Some(&file.name)),
        (ETAG, validators.etag.as_ref()),
        (LAST_MODIFIED, validators.last_modified.as_ref()),
    ];
    let fact = |(name, value): (&str, Option<&String>)| Some((name.to_owned(), value?.clone()));
    Record {
        key,
        offered: None,
        layers: vec![file.layer],
        content: Some(file.content),
        created_unix_ns: now_unix_ns(),
        description: graph::redacted(&source.url),
        ingredients: facts.into_iter().filter_map(fact).collect(),
    }
}
