//! Where the bytes of a file begin, and where they belong when it is sparse.

use super::extended::PaxSparse;
use super::{BLOCK_BYTES, Entry, TarError, TarReader};
use crate::layer::sparse::{self, Extent, MapReader};

impl TarReader<'_> {
    pub(super) fn start_file(
        &mut self,
        entry: &mut Entry,
        header: &tar::Header,
        stored: u64,
        pax_sparse: PaxSparse,
    ) -> Result<(), TarError> {
        self.start_body(stored);
        entry.size = stored;
        if header.as_old().linkflag[0] == b'S' {
            self.start_gnu_sparse(entry, header, stored)?;
        } else if pax_sparse.is_used() {
            self.start_pax_sparse(entry, stored, pax_sparse)?;
        }
        self.file_bytes = self.file_bytes.saturating_add(entry.size);
        let max = self.limits.file_bytes_total_max;
        match self.file_bytes > max {
            true => Err(TarError::TooMany { what: "bytes in its files", max }),
            false => Ok(()),
        }
    }

    fn start_gnu_sparse(
        &mut self,
        entry: &mut Entry,
        header: &tar::Header,
        stored: u64,
    ) -> Result<(), TarError> {
        let invalid = |entry: &Entry| TarError::Sparse { path: entry.path_text() };
        let gnu = header.as_gnu().ok_or_else(|| invalid(entry))?;
        let mut extents = Vec::new();
        sparse::parse_gnu(&gnu.sparse, &mut extents).ok_or_else(|| invalid(entry))?;
        let mut is_extended = gnu.isextended[0] != 0;
        while is_extended {
            let block = self.read_block()?.ok_or(TarError::Truncated)?;
            let mut extension = tar::GnuExtSparseHeader::new();
            extension.as_mut_bytes().copy_from_slice(&block);
            sparse::parse_gnu(extension.sparse(), &mut extents).ok_or_else(|| invalid(entry))?;
            if extents.len() > self.limits.sparse_extents_max {
                return Err(invalid(entry));
            }
            is_extended = extension.isextended[0] != 0;
        }
        let size = self.unsigned(&gnu.realsize, "size")?;
        if !sparse::is_valid(&extents, size, stored) {
            return Err(invalid(entry));
        }
        entry.size = size;
        entry.extents = Some(extents);
        Ok(())
    }

    fn start_pax_sparse(
        &mut self,
        entry: &mut Entry,
        stored: u64,
        pax_sparse: PaxSparse,
    ) -> Result<(), TarError> {
        let invalid = |entry: &Entry| TarError::Sparse { path: entry.path_text() };
        if let Some(path) = pax_sparse.path {
            entry.path = path;
        }
        let size = pax_sparse.size.ok_or_else(|| invalid(entry))?;
        let extents = match (pax_sparse.major, pax_sparse.minor, pax_sparse.map) {
            (Some(1), Some(0), None) if !pax_sparse.has_form_0_0 => {
                self.read_sparse_map().map_err(|error| error.unwrap_or_else(|| invalid(entry)))?
            }
            (None | Some(0), None | Some(1), Some(map)) if !pax_sparse.has_form_0_0 => {
                sparse::parse_map(&map, self.limits.sparse_extents_max).ok_or_else(|| invalid(entry))?
            }
            _ => return Err(invalid(entry)),
        };
        debug_assert!(self.body_left <= stored);
        if !sparse::is_valid(&extents, size, self.body_left) {
            return Err(invalid(entry));
        }
        entry.size = size;
        entry.extents = Some(extents);
        Ok(())
    }

    /// Reads the map in front of the data; an error of `None` means that it is malformed.
    fn read_sparse_map(&mut self) -> Result<Vec<Extent>, Option<TarError>> {
        let mut map = MapReader::default();
        loop {
            if self.body_left < BLOCK_BYTES as u64 {
                return Err(None);
            }
            let block = self.read_block().map_err(Some)?.ok_or(Some(TarError::Truncated))?;
            self.body_left -= BLOCK_BYTES as u64;
            if map.take(&block, self.limits.sparse_extents_max).ok_or(None)? {
                return Ok(map.finish());
            }
        }
    }
}
