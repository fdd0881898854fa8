//! Parameters behind the `?` of a URL, see RFC 3986, section 3.4.

/// The parameters by name, in their order; a text without `=` has no value. Those that are no UTF-8 are left as
/// they are written.
pub(super) fn parameters(query: &str) -> Vec<(String, Option<String>)> {
    let part = |text: &str| {
        let text = text.replace('+', " ");
        decoded(&text).unwrap_or(text)
    };
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) => (part(name), Some(part(value))),
            None => (part(parameter), None),
        })
        .collect()
}

/// A text with its percent-encoded bytes decoded; none when that gives no UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let digits = behind.first_chunk::<2>().filter(|_| *first == b'%');
        match digits.and_then(|digits| byte(*digits)) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn byte(digits: [u8; 2]) -> Option<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(digits[0])? << 4 | digit(digits[1])?)
}
