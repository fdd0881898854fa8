//! The limits on what foreign bytes may ask for.

/// More entries than the largest real layers have (a million files), times four.
const ENTRIES_MAX: u64 = 4_000_000;
/// `PATH_MAX` without its NUL, see path_resolution(7): a longer path cannot be used by any program.
pub(crate) const PATH_BYTES_MAX: usize = 4095;
/// `NAME_MAX`, see limits.h(0p).
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// What Go's archive/tar accepts for one extended header or long name.
const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;
/// `XATTR_SIZE_MAX` of the kernel, see xattr(7).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Far above the 10 GB layers that are known, far below what fills a file system unnoticed.
const FILE_BYTES_TOTAL_MAX: u64 = 1 << 40;
/// A map of a sparse file holds 24 bytes of header for each extent.
const SPARSE_EXTENTS_MAX: usize = 1 << 20;
/// Twice what deflate can reach (1032:1), so that only a bomb made for another format trips it.
const RATIO_MAX: u64 = 2_000;
/// Output up to here is not held against the ratio: a gigabyte of zeros is an ordinary file.
const RATIO_FREE_BYTES: u64 = 1 << 30;
/// The window that zstd's own command line accepts without `--long`: 128 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// Enough for `xz -9` (a dictionary of 64 MiB), in KiB as the decoder counts.
const XZ_MEMORY_KIB_MAX: u32 = 192 << 10;

/// What a layer or an archive may ask for before it is refused.
///
/// The defaults admit every real image and stop the archives that are made to exhaust a machine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries in one tar.
    pub entries_max: u64,
    /// Bytes of one path or link target.
    pub path_bytes_max: usize,
    /// Bytes of one extended header or GNU long name.
    pub extended_header_bytes_max: u64,
    /// Bytes of the value of one extended attribute.
    pub xattr_bytes_max: usize,
    /// Bytes of all files together, holes of sparse files included.
    pub file_bytes_total_max: u64,
    /// Extents of one sparse file.
    pub sparse_extents_max: usize,
    /// Bytes that come out of decompression.
    pub decompressed_bytes_max: u64,
    /// Decompressed bytes per compressed byte, once more than `ratio_free_bytes` came out.
    pub ratio_max: u64,
    /// Decompressed bytes that the ratio does not count.
    pub ratio_free_bytes: u64,
    /// Binary logarithm of the largest zstd window.
    pub zstd_window_log_max: u32,
    /// Memory of the xz decoder in KiB.
    pub xz_memory_kib_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries_max: ENTRIES_MAX,
            path_bytes_max: PATH_BYTES_MAX,
            extended_header_bytes_max: EXTENDED_HEADER_BYTES_MAX,
            xattr_bytes_max: XATTR_BYTES_MAX,
            file_bytes_total_max: FILE_BYTES_TOTAL_MAX,
            sparse_extents_max: SPARSE_EXTENTS_MAX,
            decompressed_bytes_max: FILE_BYTES_TOTAL_MAX,
            ratio_max: RATIO_MAX,
            ratio_free_bytes: RATIO_FREE_BYTES,
            zstd_window_log_max: ZSTD_WINDOW_LOG_MAX,
            xz_memory_kib_max: XZ_MEMORY_KIB_MAX,
        }
    }
}
