//! Byte ranges, RFC 9110, section 14.

/// Reads a `Content-Range` header: first byte, last byte, and the size of the whole where it is told.
pub(super) fn content_range(header: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.trim().split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    (first <= last).then_some((first, last, size))
}

/// Reads the `Range` header of an upload: how many bytes the registry has. Registries write `0-0` for one byte and
/// for none.
pub(super) fn uploaded_bytes(header: &str) -> Option<u64> {
    let range = header.trim();
    let (first, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    let last: u64 = last.trim().parse().ok()?;
    match (first.trim().parse::<u64>().ok()?, last) {
        (0, 0) => Some(0),
        (0, last) => last.checked_add(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 9, Some(10))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, 0, None)));
        for wrong in ["", "bytes", "bytes */10", "bytes 9-5/10", "bytes 1-2", "bytes -1-2/3", "items 0-1/2"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
        assert_eq!(uploaded_bytes("0-0"), Some(0));
        assert_eq!(uploaded_bytes("0-99"), Some(100));
        assert_eq!(uploaded_bytes("bytes=0-99"), Some(100));
        for wrong in ["", "99", "1-99", "0-18446744073709551615", "0--1"] {
            assert_eq!(uploaded_bytes(wrong), None, "{wrong}");
        }
    }
}
