//! Takes a cache mount as it is, and sends what the remote cache has not of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use cache::{Beginning, CacheMount, Sharing, Store};
use image::{BlobDigest, Descriptor, MediaType};

use super::pack::{Known, Packed, pack};
use super::{LISTING_BYTES_MAX, LISTING_TYPE, MOUNT_BYTES_MAX};
use crate::blocking::blocking;
use crate::redact::Search;
use crate::remote_cache::catalogue::MountEntry;
use crate::remote_cache::passing::Passing;
use crate::remote_cache::{Depot, RemoteCacheError};

/// When so much of all packs of a mount is of no use any more, they are written anew: one part of so many.
const STALE_PARTS: u64 = 2;

/// What a depot has of a mount.
#[derive(Clone, Copy)]
pub(in crate::remote_cache) struct Old<'a> {
    pub(in crate::remote_cache) entry: &'a MountEntry,
    /// It did not come when it was asked for, or as something else.
    pub(in crate::remote_cache) is_lost: bool,
}

/// Sends the mount called `name`, of which `old` is there; none when that is the same. What is lost is written anew.
///
/// # Errors
///
/// [`RemoteCacheError::MountInUse`] when somebody else uses it: what is half written does not travel.
pub(in crate::remote_cache) async fn export(
    store: &Arc<Store>,
    depot: &Depot,
    name: &str,
    old: Option<Old<'_>>,
    (search, now_unix_s): (Option<Arc<Search>>, i64),
) -> Result<Option<MountEntry>, RemoteCacheError> {
    let known = match &old {
        Some(old) => known(store, depot, old).await?,
        None => Some(Known::default()),
    };
    let is_lost = known.is_none();
    let known = known.unwrap_or_default();
    let passing = Arc::new(Passing::new(store));
    let (worker_store, id, packing) = (store.clone(), name.to_owned(), passing.clone());
    let take = move || {
        let packed = take_and_pack(&worker_store, &packing, &id, &known, search.as_deref());
        // This was a use of the mount as well; a power cut must not take it for one that went on.
        worker_store.make_durable()?;
        packed
    };
    let packed = blocking(take).await?;
    let old = old.filter(|_| !is_lost).map(|old| old.entry);
    if let Some(same) = old.filter(|old| old.content == packed.content) {
        return Ok(same.used_again(now_unix_s));
    }
    let listing = packed.listing.encode();
    let digest = passing.put(&listing)?;
    let mut descriptor = Descriptor::new(MediaType::Config, digest, listing.len() as u64);
    LISTING_TYPE.clone_into(&mut descriptor.media_type);
    let there: BTreeSet<BlobDigest> =
        old.iter().flat_map(|old| old.blobs()).map(|blob| blob.digest).collect();
    for blob in packed.packs.iter().chain([&descriptor]).filter(|blob| !there.contains(&blob.digest)) {
        if is_lost {
            depot.replace(store, blob).await?;
            // Some registries keep what they have under a digest, whatever it is.
            depot.verify(blob).await?;
        } else {
            depot.send(store, blob).await?;
        }
        // It is of no use here.
        passing.let_go(&blob.digest)?;
    }
    let size = packed.listing.plain_bytes();
    let entry = MountEntry::new(name, packed.content, (&descriptor, &packed.packs), size, now_unix_s);
    Ok(Some(entry))
}

/// The chunks that a depot has of a mount; none when they are lost.
async fn known(store: &Arc<Store>, depot: &Depot, old: &Old<'_>) -> Result<Option<Known>, RemoteCacheError> {
    let Old { entry, is_lost } = *old;
    if is_lost {
        return Ok(None);
    }
    let listing = entry.listing.descriptor();
    let passing = Passing::new(store);
    match passing.bring(depot, &listing).await {
        Ok(()) => {}
        Err(error) if error.is_of_one_blob() => return Ok(None),
        Err(error) => return Err(error),
    }
    let bytes = store.read_blob(&listing.digest, LISTING_BYTES_MAX)?.unwrap_or_default();
    Ok(entry.listing_in(&bytes).ok().map(|listing| Known::new(listing, entry.packs())))
}

fn take_and_pack(
    store: &Store,
    passing: &Passing,
    name: &str,
    known: &Known,
    search: Option<&Search>,
) -> Result<Packed, RemoteCacheError> {
    let taken = store.try_cache_mount(name, Sharing::Locked, &Beginning::default());
    let in_use = || RemoteCacheError::MountInUse { name: name.to_owned() };
    let mount: CacheMount =
        taken.map_err(|error| RemoteCacheError::Mount { source: error })?.ok_or_else(in_use)?;
    let directory = open(&mount)?;
    // The tar is longer still; so many bytes are not compressed for nothing.
    let size_bytes = cache::layer::size_bytes(directory.as_fd()).map_err(cache::StoreError::from)?;
    if size_bytes > MOUNT_BYTES_MAX {
        return Err(RemoteCacheError::MountTooLarge { size_bytes, size_bytes_max: MOUNT_BYTES_MAX });
    }
    let all_bytes = known.packs_bytes();
    let packed = pack_mount(passing, &mount, known, search)?;
    match (all_bytes - packed.kept_bytes.min(all_bytes)) * STALE_PARTS > all_bytes {
        true => pack_mount(passing, &mount, &Known::default(), search),
        false => Ok(packed),
    }
}

fn unreadable(mount: &CacheMount) -> impl Fn(io::Error) -> RemoteCacheError {
    |source| RemoteCacheError::Read { path: mount.path().to_owned(), source }
}

fn open(mount: &CacheMount) -> Result<File, RemoteCacheError> {
    File::open(mount.path()).map_err(unreadable(mount))
}

/// One thread writes the tar, this one cuts it.
fn pack_mount(
    passing: &Passing,
    mount: &CacheMount,
    known: &Known,
    search: Option<&Search>,
) -> Result<Packed, RemoteCacheError> {
    let directory = open(mount)?;
    let (reader, writer) = io::pipe().map_err(unreadable(mount))?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut searched =
                Searched { to: writer, search, state: search.map(Search::begin), has_secret: false };
            let written = cache::layer::write_tar(directory.as_fd(), &mut searched, None);
            (written, searched.has_secret)
        });
        let packed = pack(passing, reader, known);
        let (written, has_secret) = writing.join().expect("writing a tar does not panic");
        if has_secret {
            return Err(RemoteCacheError::Secret);
        }
        let packed = packed?;
        written.map_err(cache::StoreError::from)?;
        Ok(packed)
    })
}

/// Looks for secrets in what passes by.
struct Searched<'a, W> {
    to: W,
    search: Option<&'a Search>,
    state: Option<crate::redact::SearchState>,
    has_secret: bool,
}

impl<W: Write> Write for Searched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let (Some(search), Some(state)) = (self.search, &mut self.state) {
            self.has_secret |= search.finds(state, bytes);
            if self.has_secret {
                return Err(io::Error::other("a secret of the build is among it"));
            }
        }
        self.to.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
