//! Takes a cache mount as it is, and sends what the remote cache has not of it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::Arc;

use cache::{Beginning, CacheMount, Sharing, Store};
use image::{BlobDigest, Descriptor, MediaType};

use super::listing::Listing;
use super::pack::{Known, Packed, pack};
use super::{LISTING_BYTES_MAX, LISTING_TYPE};
use crate::blocking::blocking;
use crate::redact::Search;
use crate::remote_cache::catalogue::MountEntry;
use crate::remote_cache::{Depot, RemoteCacheError};

/// When so much of all packs of a mount is of no use any more, they are written anew: one part of so many.
const STALE_PARTS: u64 = 2;

/// Sends the mount called `name`, of which `old` is there; none when it is the same, or has never been used.
///
/// # Errors
///
/// [`RemoteCacheError::MountInUse`] when somebody else uses it: what is half written does not travel.
pub(in crate::remote_cache) async fn export(
    store: &Arc<Store>,
    depot: &Depot,
    name: &str,
    old: Option<&MountEntry>,
    (search, now_unix_s): (Option<Arc<Search>>, i64),
) -> Result<Option<MountEntry>, RemoteCacheError> {
    let known = match old {
        Some(old) => known(store, depot, old).await.unwrap_or_default(),
        None => Known::default(),
    };
    let (worker_store, id) = (store.clone(), name.to_owned());
    let take = move || {
        let packed = take_and_pack(&worker_store, &id, &known, search.as_deref());
        // This was a use of the mount as well; a power cut must not take it for one that went on.
        worker_store.make_durable()?;
        packed
    };
    let packed = blocking(take).await?;
    if old.is_some_and(|old| old.content == packed.content) {
        return Ok(None);
    }
    let listing = packed.listing.encode();
    let digest = store.put_blob(&listing)?;
    let mut descriptor = Descriptor::new(MediaType::Config, digest, listing.len() as u64);
    LISTING_TYPE.clone_into(&mut descriptor.media_type);
    let there: BTreeSet<BlobDigest> =
        old.iter().flat_map(|old| old.blobs()).map(|blob| blob.digest).collect();
    for blob in packed.packs.iter().chain([&descriptor]).filter(|blob| !there.contains(&blob.digest)) {
        depot.send(store, blob).await?;
        // It is of no use here.
        store.remove_blob(&blob.digest)?;
    }
    let size = packed.listing.plain_bytes();
    let entry = MountEntry::new(name, packed.content, (&descriptor, &packed.packs), size, now_unix_s);
    Ok(Some(entry))
}

/// The chunks that a depot has of a mount.
async fn known(store: &Arc<Store>, depot: &Depot, old: &MountEntry) -> Result<Known, RemoteCacheError> {
    let (listing, packs) = (old.listing.descriptor(), old.packs());
    depot.fetch(store, &listing).await?;
    let bytes = store.read_blob(&listing.digest, LISTING_BYTES_MAX)?;
    store.remove_blob(&listing.digest)?;
    let listing = Listing::decode(&bytes.unwrap_or_default(), packs.len())?;
    Ok(Known::new(listing, packs))
}

fn take_and_pack(
    store: &Store,
    name: &str,
    known: &Known,
    search: Option<&Search>,
) -> Result<Packed, RemoteCacheError> {
    let taken = store.try_cache_mount(name, Sharing::Locked, &Beginning::default());
    let in_use = || RemoteCacheError::MountInUse { name: name.to_owned() };
    let mount: CacheMount =
        taken.map_err(|error| RemoteCacheError::Mount { source: error })?.ok_or_else(in_use)?;
    let all_bytes = known.packs_bytes();
    let packed = pack_mount(store, &mount, known, search)?;
    match (all_bytes - packed.kept_bytes.min(all_bytes)) * STALE_PARTS > all_bytes {
        true => pack_mount(store, &mount, &Known::default(), search),
        false => Ok(packed),
    }
}

/// One thread writes the tar, this one cuts it.
fn pack_mount(
    store: &Store,
    mount: &CacheMount,
    known: &Known,
    search: Option<&Search>,
) -> Result<Packed, RemoteCacheError> {
    let path = mount.path();
    let unreadable = |source| RemoteCacheError::Read { path: path.to_owned(), source };
    let directory = File::open(path).map_err(unreadable)?;
    let (reader, writer) = io::pipe().map_err(unreadable)?;
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || {
            let mut searched =
                Searched { to: writer, search, state: search.map(Search::begin), has_secret: false };
            let written = cache::layer::write_tar(directory.as_fd(), &mut searched, None);
            (written, searched.has_secret)
        });
        let packed = pack(store, reader, known);
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
