//! The layers of an image as they leave the machine: compressed once, and kept.

use std::io::{self, BufWriter, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::layer::Compression as Format;
use cache::{Key, Record, Store};
use image::{BlobDigest, Descriptor, Hasher, MediaType};

use super::form::{Compression, Existing, LayerForm};
use super::gzip::{self, GzipWriter};
use super::layers::{LayerTar, now_unix_ns};
use super::{ImageError, OnProgress};

/// A compressed layer; what can be unpacked here is smaller than this.
const COMPRESSED_BYTES_MAX: u64 = 1 << 40;
/// BuildKit's.
const ZSTD_LEVEL: i32 = 3;
/// The bytes are the same for any number of workers, as long as there are any.
const ZSTD_WORKERS_MAX: usize = 16;
/// A tar is written in small pieces.
const PIPE_BYTES: usize = 256 << 10;
/// Enough to recognise every compression.
const MAGIC_BYTES: usize = 6;

/// A blob of the store with the layer in this form: the one it came in, the one of an earlier export, or a new one.
pub(crate) fn compressed(
    store: &Store,
    layer: &LayerTar,
    form: &LayerForm,
    on_progress: OnProgress<'_>,
) -> Result<Descriptor, ImageError> {
    if form.existing == Existing::Keep
        && let Some(digest) = layer.layer.kept_blob()?
        && let Some(descriptor) = usable(store, &digest)?
    {
        return Ok(descriptor);
    }
    let scheme = Scheme::of(form.compression);
    let name = scheme.name();
    let key =
        Key(Hasher::new("layer-blob/v1").field("diff-id", layer.diff_id.0.0).field("scheme", &name).finish());
    // Two exports at a time compress once.
    let _lock = store.lock_key(&key)?;
    if let Some(content) = store.record(&key)?.and_then(|record| record.content)
        && let Some(file) = store.open_blob(&BlobDigest(content))?
    {
        let digest = BlobDigest(content);
        let size = file.metadata().map_err(|source| ImageError::ReadBlob { digest, source })?.len();
        return Ok(Descriptor::new(scheme.media_type(), digest, size));
    }
    let (digest, size_bytes) = compress(store, layer, scheme, on_progress)?;
    store.put_record(&Record {
        key,
        offered: None,
        layers: Vec::new(),
        content: Some(digest.0),
        created_unix_ns: now_unix_ns(),
        description: format!("blob of layer {}", layer.diff_id),
        ingredients: vec![("diff-id".to_owned(), layer.diff_id.to_string()), ("scheme".to_owned(), name)],
    })?;
    Ok(Descriptor::new(scheme.media_type(), digest, size_bytes))
}

/// A blob that is there, in a compression that every OCI reader knows.
fn usable(store: &Store, digest: &BlobDigest) -> Result<Option<Descriptor>, ImageError> {
    let Some(file) = store.open_blob(digest)? else { return Ok(None) };
    let read_error = |source| ImageError::ReadBlob { digest: *digest, source };
    let mut start = [0; MAGIC_BYTES];
    let count = file.read_at(&mut start, 0).map_err(read_error)?;
    let media_type = match Format::of(&start[..count]) {
        Format::Gzip => MediaType::LayerGzip,
        Format::Zstd => MediaType::LayerZstd,
        Format::None | Format::Xz | Format::Bzip2 => return Ok(None),
    };
    let size_bytes = file.metadata().map_err(read_error)?.len();
    Ok(Some(Descriptor::new(media_type, *digest, size_bytes)))
}

/// Compresses the layer into a new blob: one thread writes the tar and compresses with the help of others,
/// this one hashes and stores what comes out.
fn compress(
    store: &Store,
    layer: &LayerTar,
    scheme: Scheme,
    on_progress: OnProgress<'_>,
) -> Result<(BlobDigest, u64), ImageError> {
    let (reader, writer) = io::pipe().map_err(|source| ImageError::WriteStream { source })?;
    let is_whole = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writing = scope.spawn(move || write(layer, scheme, writer, is_whole, on_progress));
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

fn write(
    layer: &LayerTar,
    scheme: Scheme,
    to: io::PipeWriter,
    is_whole: &AtomicBool,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::WriteStream { source };
    let to = match scheme {
        Scheme::Gzip { level } => {
            let mut gzip = GzipWriter::new(to, level);
            layer.write(&mut gzip, None, on_progress)?;
            gzip.finish().map_err(failed)?
        }
        Scheme::Zstd { level } => {
            let mut zstd = zstd::Encoder::new(to, level).map_err(failed)?;
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let workers = u32::try_from(cores.min(ZSTD_WORKERS_MAX)).unwrap_or(1);
            zstd.multithread(workers).map_err(failed)?;
            layer.write(&mut zstd, None, on_progress)?;
            zstd.finish().map_err(failed)?
        }
        Scheme::Tar => {
            let mut to = BufWriter::with_capacity(PIPE_BYTES, to);
            layer.write(&mut to, None, on_progress)?;
            to.into_inner().map_err(|error| failed(error.into_error()))?
        }
    };
    is_whole.store(true, Ordering::Release);
    drop(to);
    Ok(())
}

/// How a layer is written, with everything that decides about its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Gzip { level: i32 },
    Zstd { level: i32 },
    Tar,
}

impl Scheme {
    fn of(compression: Option<Compression>) -> Self {
        match compression {
            None => Self::Gzip { level: gzip::LEVEL },
            Some(Compression::Gzip { level }) => Self::Gzip { level: level.unwrap_or(gzip::LEVEL) },
            Some(Compression::Zstd { level }) => Self::Zstd { level: level.unwrap_or(ZSTD_LEVEL) },
            Some(Compression::None) => Self::Tar,
        }
    }

    /// Names the bytes that come out; another version of a compressor gives other ones.
    fn name(self) -> String {
        match self {
            Self::Gzip { level } => gzip::scheme(level),
            Self::Zstd { level } => format!("zstd-{}/{level}/workers", zstd::zstd_safe::version_string()),
            Self::Tar => "tar".to_owned(),
        }
    }

    fn media_type(self) -> MediaType {
        match self {
            Self::Gzip { .. } => MediaType::LayerGzip,
            Self::Zstd { .. } => MediaType::LayerZstd,
            Self::Tar => MediaType::Layer,
        }
    }
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
