//! Numbers in tar headers and PAX records.

use super::attributes::Timestamp;

/// The largest number that `digits` octal digits hold.
pub(crate) const fn octal_max(digits: u32) -> u64 {
    (1 << (3 * digits)) - 1
}

/// Reads a header field: octal text padded with spaces or NULs, or GNU's base-256 form (first byte 0x80
/// or 0xff). `None` when it is neither or does not fit.
pub(crate) fn parse_field(field: &[u8]) -> Option<i64> {
    match field.first() {
        Some(first) if first & 0x80 != 0 => parse_base256(field),
        _ => parse_octal(field),
    }
}

fn parse_octal(field: &[u8]) -> Option<i64> {
    let padding = |byte: &u8| *byte == b' ' || *byte == 0;
    let start = field.iter().position(|byte| !padding(byte)).unwrap_or(field.len());
    let text = &field[start..];
    let end = text.iter().position(padding).unwrap_or(text.len());
    if !text[end..].iter().all(padding) {
        return None;
    }
    text[..end].iter().try_fold(0i64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
        _ => None,
    })
}

/// Two's complement, big endian; bit 7 of the first byte only marks the form.
fn parse_base256(field: &[u8]) -> Option<i64> {
    let negative = field[0] & 0x40 != 0;
    let first = if negative { field[0] } else { field[0] & 0x7f };
    let (head, tail) = field.split_at(field.len() - 8);
    let filler = if negative { 0xff } else { 0 };
    let leading = head.iter().enumerate().map(|(at, byte)| if at == 0 { first } else { *byte });
    if head.is_empty() {
        // A field of 8 bytes has 63 bits for the number.
        let mut bytes: [u8; 8] = tail.try_into().ok()?;
        bytes[0] = first;
        return Some(i64::from_be_bytes(bytes));
    }
    if !leading.into_iter().all(|byte| byte == filler) {
        return None;
    }
    let value = i64::from_be_bytes(tail.try_into().ok()?);
    ((value < 0) == negative).then_some(value)
}

/// Writes `value` as octal digits and a NUL; the caller knows that it fits.
pub(crate) fn put_octal(field: &mut [u8], value: u64) {
    let digits = field.len() - 1;
    let mut rest = value;
    for place in field[..digits].iter_mut().rev() {
        *place = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    debug_assert_eq!(rest, 0, "{value} fits into {digits} octal digits");
    field[digits] = 0;
}

/// Reads decimal digits with no sign and no spaces.
pub(crate) fn parse_decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Reads a PAX time: seconds with an optional fraction and sign, as pax(1) defines it.
pub(crate) fn parse_time(text: &[u8]) -> Option<Timestamp> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = i64::try_from(parse_decimal(parts.next()?)?).ok()?;
    let nanoseconds = match parts.next() {
        None | Some(b"") => 0,
        Some(fraction) => parse_fraction(fraction)?,
    };
    Some(match (negative, nanoseconds) {
        (false, _) => Timestamp { seconds, nanoseconds },
        (true, 0) => Timestamp { seconds: -seconds, nanoseconds: 0 },
        (true, _) => Timestamp { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
    })
}

/// The first nine digits after the point, in nanoseconds; further ones are dropped.
fn parse_fraction(digits: &[u8]) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let padded = digits.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Some(padded.fold(0, |value, digit| value * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_fields() {
        assert_eq!(parse_field(b"0000644\0"), Some(0o644));
        assert_eq!(parse_field(b"   644 \0"), Some(0o644));
        assert_eq!(parse_field(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(parse_field(b"0000648\0"), None);
        assert_eq!(parse_field(b"12 34\0\0\0"), None);
        assert_eq!(parse_field(b"-000001\0"), None);
        assert_eq!(parse_field(b"\x80\0\0\0\0\0\0\0\0\x01\0\0"), Some(65536));
        assert_eq!(parse_field(&[0xff; 12]), Some(-1));
        assert_eq!(parse_field(&[0xff; 8]), Some(-1));
        assert_eq!(parse_field(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), None, "does not fit");
        assert_eq!(parse_field(b"\x80\x01\0\0\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn pax_times() {
        let time = |text: &str| parse_time(text.as_bytes()).map(|time| (time.seconds, time.nanoseconds));
        assert_eq!(time("1700000000"), Some((1_700_000_000, 0)));
        assert_eq!(time("1.5"), Some((1, 500_000_000)));
        assert_eq!(time("-1.25"), Some((-2, 750_000_000)));
        assert_eq!(time("1.0000000019"), Some((1, 1)));
        assert_eq!(time("1."), Some((1, 0)));
        for wrong in ["", "-", "1.x", " 1", "1e3", "99999999999999999999"] {
            assert_eq!(time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn octal_fields_are_full_width() {
        let mut field = [0xaa; 8];
        put_octal(&mut field, 0o1755);
        assert_eq!(&field, b"0001755\0");
        put_octal(&mut field, octal_max(7));
        assert_eq!(&field, b"7777777\0");
    }
}
