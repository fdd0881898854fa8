//! Extended headers: PAX records and GNU long names.

use super::TarError;
use super::TarReader;
use super::entry::valid_id;
use crate::layer::attributes::{Timestamp, Xattr, is_host_xattr, is_overlay_xattr};
use crate::layer::limits::NAME_BYTES_MAX;
use crate::layer::number::{parse_decimal, parse_time};
use crate::layer::pax;

/// How PAX names an extended attribute; star(1) began it, everybody follows.
pub(crate) const XATTR_KEY_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What the extended headers in front of an entry said.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) gnu_path: Option<Vec<u8>>,
    pub(super) gnu_link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: PaxSparse,
    pub(super) has_pax: bool,
}

#[derive(Default)]
pub(super) struct PaxSparse {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) map: Option<Vec<u8>>,
    /// Records of the form 0.0, which repeats keys; no writer of the last twenty years makes it.
    pub(super) has_form_0_0: bool,
}

impl Extended {
    pub(super) fn is_empty(&self) -> bool {
        !self.has_pax && self.gnu_path.is_none() && self.gnu_link.is_none()
    }
}

impl PaxSparse {
    pub(super) fn is_used(&self) -> bool {
        self.major.is_some() || self.map.is_some() || self.size.is_some() || self.has_form_0_0
    }
}

impl TarReader<'_> {
    pub(super) fn take_pax(&self, records: &[u8], extended: &mut Extended) -> Result<(), TarError> {
        let records = pax::parse(records).ok_or_else(|| self.malformed("a malformed PAX record"))?;
        if extended.has_pax {
            return Err(self.malformed("two PAX headers for one entry"));
        }
        extended.has_pax = true;
        for (key, value) in records {
            let malformed = || self.malformed("a malformed PAX value");
            let number = || parse_decimal(value).ok_or_else(malformed);
            let id = || parse_decimal(value).and_then(valid_id).ok_or_else(malformed);
            match key {
                // An empty value takes back what came before, see pax(1).
                b"path" | b"linkpath" if value.contains(&0) => return Err(malformed()),
                b"path" => extended.path = Some(value.to_vec()).filter(|value| !value.is_empty()),
                b"linkpath" => extended.link = Some(value.to_vec()).filter(|value| !value.is_empty()),
                b"size" => extended.size = Some(number()?),
                b"uid" => extended.uid = Some(id()?),
                b"gid" => extended.gid = Some(id()?),
                b"mtime" => extended.mtime = Some(parse_time(value).ok_or_else(malformed)?),
                b"GNU.sparse.major" => extended.sparse.major = Some(number()?),
                b"GNU.sparse.minor" => extended.sparse.minor = Some(number()?),
                b"GNU.sparse.name" if value.contains(&0) => return Err(malformed()),
                b"GNU.sparse.name" => extended.sparse.path = Some(value.to_vec()),
                b"GNU.sparse.size" | b"GNU.sparse.realsize" => extended.sparse.size = Some(number()?),
                b"GNU.sparse.map" => extended.sparse.map = Some(value.to_vec()),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => extended.sparse.has_form_0_0 = true,
                _ => self.take_xattr(key, value, extended)?,
            }
        }
        Ok(())
    }

    fn take_xattr(&self, key: &[u8], value: &[u8], extended: &mut Extended) -> Result<(), TarError> {
        let Some(name) = key.strip_prefix(XATTR_KEY_PREFIX) else { return Ok(()) };
        if is_overlay_xattr(name) || is_host_xattr(name) {
            return Ok(());
        }
        let max = self.limits.xattr_bytes_max;
        if value.len() > max {
            return Err(TarError::TooMany { what: "bytes in an extended attribute", max: max as u64 });
        }
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(self.malformed("an extended attribute without a usable name"));
        }
        extended.xattrs.retain(|(known, _)| known != name);
        extended.xattrs.push((name.to_vec(), value.to_vec()));
        Ok(())
    }
}
