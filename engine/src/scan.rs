//! Finds bytes in text, a word at a time.

/// A one in each byte of a word, and the highest bit of each.
const ONES: u64 = u64::from_ne_bytes([1; WORD_BYTES]);
const HIGHEST: u64 = ONES << 7;
const WORD_BYTES: usize = size_of::<u64>();

/// The highest bit of each byte that is zero. Above the lowest of these it may say so of others, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHEST
}

fn each(byte: u8) -> u64 {
    ONES * u64::from(byte)
}

/// The first byte that a JSON string cannot have as it is. Looks at a word at a time: a log is as fast as this is.
pub(crate) fn special(text: &[u8]) -> Option<usize> {
    let in_word = |word: u64| {
        let control = word.wrapping_sub(each(b' ')) & !word & HIGHEST;
        control | zeros(word ^ each(b'"')) | zeros(word ^ each(b'\\'))
    };
    find(text, in_word, |byte| byte < b' ' || byte == b'"' || byte == b'\\')
}

/// The end of the first line.
pub(crate) fn line_feed(text: &[u8]) -> Option<usize> {
    find(text, |word| zeros(word ^ each(b'\n')), |byte| byte == b'\n')
}

/// The first byte that is meant. `in_word` has a bit of it set, and none of a byte before it.
fn find(text: &[u8], in_word: impl Fn(u64) -> u64, is_meant: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = text[at..].first_chunk::<WORD_BYTES>() {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += WORD_BYTES;
    }
    text[at..].iter().position(|byte| is_meant(*byte)).map(|index| at + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_bytes_say() {
        let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        for first in 0..=u8::MAX {
            for second in
                [0, 1, b'\n', 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xa2, 0xff]
            {
                for at in 0..19 {
                    let mut text = [b'x'; 20];
                    (text[at], text[at + 1]) = (first, second);
                    assert_eq!(special(&text), text.iter().position(is_special), "{text:?}");
                    assert_eq!(line_feed(&text), text.iter().position(|byte| *byte == b'\n'), "{text:?}");
                }
            }
        }
    }
}
