//! The layers of an archive, several at a time.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use cache::{Layer, Store, StoreError};
use image::{BlobDigest, DiffId};

use crate::images::archive::{Archive, ArchiveError, ArchivedBlob};
use crate::images::error::is_of_machine;
use crate::images::layer_blob::{is_needed, load_key};
use crate::images::{ImageError, OnProgress, short_digest};

/// Layers that are unpacked at the same time. Each of them writes its files with threads of its own.
const LAYERS_AT_A_TIME_MAX: usize = 4;

/// The layers with these diff ids, from the store or from the archive.
///
/// # Errors
///
/// That of the first layer, by diff id, that cannot be loaded, whichever failed first in time; layers that
/// are not yet begun are not begun any more.
pub(super) fn load_layers(
    store: &Store,
    archive: &Archive,
    wanted: &BTreeMap<DiffId, &ArchivedBlob>,
    on_progress: OnProgress<'_>,
) -> Result<BTreeMap<DiffId, Layer>, ImageError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let queue = Mutex::new(wanted.iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut layers = BTreeMap::new();
        while let Some((diff_id, blob)) = next() {
            match load_layer(store, archive, *diff_id, blob, on_progress) {
                Ok(layer) => drop(layers.insert(*diff_id, layer)),
                Err(error) => {
                    while next().is_some() {}
                    return (layers, Some((*diff_id, error)));
                }
            }
        }
        (layers, None)
    };
    std::thread::scope(|scope| {
        let count = wanted.len().min(cores).min(LAYERS_AT_A_TIME_MAX);
        let threads: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        let (mut layers, mut failures) = (BTreeMap::new(), BTreeMap::new());
        for thread in threads {
            let (loaded, failure) = thread.join().expect("loading a layer does not panic");
            layers.extend(loaded);
            failures.extend(failure);
        }
        // All layers before a failed one had been begun before it, and have ended by now.
        match failures.into_values().next() {
            Some(error) => Err(error),
            None => Ok(layers),
        }
    })
}

/// The layer with this diff id: the one that is there already, or the one in the archive.
fn load_layer(
    store: &Store,
    archive: &Archive,
    diff_id: DiffId,
    blob: &ArchivedBlob,
    on_progress: OnProgress<'_>,
) -> Result<Layer, ImageError> {
    if let Some(layer) = store.layer_by_diff_id(&diff_id)? {
        return Ok(layer);
    }
    // Two loads at a time unpack once, and neither takes away the blob that the other one reads.
    let _lock = store.lock_key(&load_key(&diff_id))?;
    if let Some(layer) = store.layer_by_diff_id(&diff_id)? {
        return Ok(layer);
    }
    let expected = match blob.expected {
        Some(expected) => expected,
        None => archive.layer_digest(&blob.name, diff_id)?,
    };
    let was_there = store.open_blob(&expected.0)?.is_some();
    let layer = unpack(store, archive, diff_id, &blob.name, expected, on_progress);
    let is_needed = match &layer {
        Ok(layer) => is_needed(layer, diff_id, &expected.0)?,
        Err(_) => false,
    };
    // An archive may name what is somebody else's blob; that one stays.
    if !is_needed && !was_there {
        store.remove_blob(&expected.0)?;
    }
    layer
}

fn unpack(
    store: &Store,
    archive: &Archive,
    diff_id: DiffId,
    name: &str,
    expected: (BlobDigest, u64),
    on_progress: OnProgress<'_>,
) -> Result<Layer, ImageError> {
    let from = archive.open(name, name)?;
    let part = format!("Loading layer {}", short_digest(&diff_id.0));
    let mut reader = Reported { from, count_bytes: 0, total: expected.1, part, on_progress };
    let unusable = |source| unusable(source, name, diff_id);
    store.put_blob_from(&mut reader, Some(expected), expected.1).map_err(unusable)?;
    store.unpack_blob(&expected.0, diff_id).map_err(unusable)
}

/// Tells the archive's faults from those of this machine.
fn unusable(source: StoreError, name: &str, diff_id: DiffId) -> ImageError {
    if is_of_machine(&source) {
        return source.into();
    }
    ArchiveError::Layer { name: name.to_owned(), diff_id, source: Box::new(source) }.into()
}

/// Tells how much was read.
struct Reported<'a, R> {
    from: R,
    count_bytes: u64,
    total: u64,
    part: String,
    on_progress: OnProgress<'a>,
}

impl<R: Read> Read for Reported<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.count_bytes += count as u64;
        (self.on_progress)(&self.part, self.count_bytes, Some(self.total));
        Ok(count)
    }
}
