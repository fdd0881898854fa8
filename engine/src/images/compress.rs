//! The layers of an image as they leave the machine: compressed once, and kept.

use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::layer::Compression;
use cache::{Key, Record, Store};
use image::{BlobDigest, Descriptor, Hasher, MediaType};

use super::gzip::{GzipWriter, SCHEME};
use super::layers::{LayerTar, now_unix_ns};
use super::{ImageError, OnProgress};

/// A compressed layer; what can be unpacked here is smaller than this.
const COMPRESSED_BYTES_MAX: u64 = 1 << 40;
/// Enough to recognise every compression.
const MAGIC_BYTES: usize = 6;

/// A blob of the store with the compressed layer: the one it came in, the one of an earlier export, or a new
/// one.
pub(crate) fn compressed(
    store: &Store,
    layer: &LayerTar,
    on_progress: OnProgress<'_>,
) -> Result<Descriptor, ImageError> {
    if let Some(digest) = layer.layer.kept_blob()?
        && let Some(descriptor) = usable(store, &digest)?
    {
        return Ok(descriptor);
    }
    let key = Key(Hasher::new("layer-blob/v1")
        .field("diff-id", layer.diff_id.0.0)
        .field("scheme", SCHEME)
        .finish());
    // Two exports at a time compress once.
    let _lock = store.lock_key(&key)?;
    if let Some(content) = store.record(&key)?.and_then(|record| record.content)
        && let Some(descriptor) = usable(store, &BlobDigest(content))?
    {
        return Ok(descriptor);
    }
    let (digest, size_bytes) = compress(store, layer, on_progress)?;
    store.put_record(&Record {
        key,
        offered: None,
        layers: Vec::new(),
        content: Some(digest.0),
        created_unix_ns: now_unix_ns(),
        description: format!("gzip of layer {}", layer.diff_id),
        ingredients: vec![
            ("diff-id".to_owned(), layer.diff_id.to_string()),
            ("scheme".to_owned(), SCHEME.to_owned()),
        ],
    })?;
    Ok(Descriptor::new(MediaType::LayerGzip, digest, size_bytes))
}

/// A blob that is there, in a compression that every OCI reader knows.
fn usable(store: &Store, digest: &BlobDigest) -> Result<Option<Descriptor>, ImageError> {
    let Some(file) = store.open_blob(digest)? else { return Ok(None) };
    let read_error = |source| ImageError::ReadBlob { digest: *digest, source };
    let mut start = [0; MAGIC_BYTES];
    let count = file.read_at(&mut start, 0).map_err(read_error)?;
    let media_type = match Compression::of(&start[..count]) {
        Compression::Gzip => MediaType::LayerGzip,
        Compression::Zstd => MediaType::LayerZstd,
        Compression::None | Compression::Xz | Compression::Bzip2 => return Ok(None),
    };
    let size_bytes = file.metadata().map_err(read_error)?.len();
    Ok(Some(Descriptor::new(media_type, *digest, size_bytes)))
}

/// Compresses the layer into a new blob: one thread writes the tar and compresses with the help of others,
/// this one hashes and stores what comes out.
fn compress(
    store: &Store,
    layer: &LayerTar,
    on_progress: OnProgress<'_>,
) -> Result<(BlobDigest, u64), ImageError> {
    let (reader, writer) = io::pipe().map_err(|source| ImageError::WriteStream { source })?;
    let is_whole = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || write_gzip(layer, writer, is_whole, on_progress));
        let mut reader = WholeReader { from: reader, is_whole };
        let stored = store.put_blob_from(&mut reader, None, COMPRESSED_BYTES_MAX);
        // A writer that still writes gets EPIPE.
        drop(reader);
        let written = writing.join().expect("writing a layer does not panic");
        match (written, stored) {
            (Ok(()), stored) => Ok(stored?),
            // A full disk closes the pipe: what the writer says is only the echo.
            (Err(ImageError::WriteStream { .. }), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    })
}

fn write_gzip(
    layer: &LayerTar,
    to: io::PipeWriter,
    is_whole: &AtomicBool,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let mut gzip = GzipWriter::new(to);
    layer.write(&mut gzip, None, on_progress)?;
    let to = gzip.finish().map_err(|source| ImageError::WriteStream { source })?;
    is_whole.store(true, Ordering::Release);
    drop(to);
    Ok(())
}

/// A pipe whose end counts only when the writer said that it wrote everything.
struct WholeReader<'a> {
    from: io::PipeReader,
    is_whole: &'a AtomicBool,
}

impl Read for WholeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        if count == 0 && !self.is_whole.load(Ordering::Acquire) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(count)
    }
}
