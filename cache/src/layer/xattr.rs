//! Reads extended attributes.

use std::os::fd::BorrowedFd;

use super::attributes::{Xattr, is_host_xattr};

/// `XATTR_LIST_MAX` of the kernel, see xattr(7); most lists are empty.
const LIST_BYTES_MAX: usize = 64 << 10;
const SMALL_BYTES: usize = 512;

type Result<T> = rustix::io::Result<T>;

/// The attributes of an open file or directory, sorted by name, without those that belong to the host.
pub(crate) fn of_descriptor(file: BorrowedFd<'_>) -> Result<Vec<Xattr>> {
    collect(|list| rustix::fs::flistxattr(file, list), |name, value| rustix::fs::fgetxattr(file, name, value))
}

/// The attributes of what `path` names; a symlink at its end is not followed.
pub(crate) fn of_path(path: &[u8]) -> Result<Vec<Xattr>> {
    collect(|list| rustix::fs::llistxattr(path, list), |name, value| rustix::fs::lgetxattr(path, name, value))
}

fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<Vec<Xattr>> {
    let names = match read_all(list) {
        Err(rustix::io::Errno::OPNOTSUPP) => return Ok(Vec::new()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && !is_host_xattr(name)) {
        match read_all(|value| get(name, value)) {
            // Listed, but not ours to read, or gone meanwhile.
            Err(rustix::io::Errno::NODATA | rustix::io::Errno::OPNOTSUPP) => {}
            value => xattrs.push((name.to_vec(), value?)),
        }
    }
    xattrs.sort_unstable();
    Ok(xattrs)
}

fn read_all(read: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut small = [0; SMALL_BYTES];
    match read(&mut small) {
        Ok(length) => Ok(small[..length].to_vec()),
        Err(rustix::io::Errno::RANGE) => {
            let mut large = vec![0; LIST_BYTES_MAX];
            let length = read(&mut large)?;
            large.truncate(length);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
