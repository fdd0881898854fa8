//! PAX extended header records: `length key=value\n`, see pax(1).

use super::number::parse_decimal;

/// Splits the records of one extended header. `None` when any of them is malformed.
pub(crate) fn parse(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().take(LENGTH_DIGITS_MAX + 1).position(|byte| *byte == b' ')?;
        let length = usize::try_from(parse_decimal(&bytes[..space])?).ok()?;
        let record = bytes.get(space + 1..length)?;
        let record = record.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        if key.is_empty() || key.contains(&0) {
            return None;
        }
        records.push((key, value));
        bytes = &bytes[length..];
    }
    Some(records)
}

/// A record of a mebibyte has a length of seven digits; more would be an attempt to overflow.
const LENGTH_DIGITS_MAX: usize = 10;

/// Appends one record. Its length counts its own digits.
pub(crate) fn push(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + " =\n".len();
    let mut length = rest;
    loop {
        let next = rest + length.to_string().len();
        if next == length {
            break;
        }
        length = next;
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_counts_itself() {
        for value_length in [0, 1, 87, 88, 89, 90, 91, 985, 986, 987, 9000] {
            let mut bytes = Vec::new();
            let value = vec![b'v'; value_length];
            push(&mut bytes, b"path", &value);
            push(&mut bytes, b"mtime", b"1");
            assert_eq!(parse(&bytes), Some(vec![(&b"path"[..], &value[..]), (b"mtime", b"1")]));
        }
    }

    #[test]
    fn values_may_hold_anything() {
        let mut bytes = Vec::new();
        push(&mut bytes, b"SCHILY.xattr.user.x", b"a\n=\0b");
        assert_eq!(parse(&bytes), Some(vec![(&b"SCHILY.xattr.user.x"[..], &b"a\n=\0b"[..])]));
    }

    #[test]
    fn malformed_records() {
        for wrong in [
            &b"5 a=b"[..],
            b"99 a=b\n",
            b"6 a=b\n6 ",
            b"-6 a=b\n",
            b"06",
            b"6 a b\n\n",
            b"6 =bb\n",
            b"0 a=b\n",
            b"2 a=b\n",
            b"99999999999999999999999 a=b\n",
            b"\0\0\0",
        ] {
            assert_eq!(parse(wrong), None, "{:?}", String::from_utf8_lossy(wrong));
        }
    }
}
