//! The `Link` header of lists that come in pages, RFC 8288.

/// The target of the link with `rel="next"`, as written.
pub fn next_page(header: &str) -> Option<&str> {
    let mut rest = header;
    loop {
        let start = rest.find('<')?;
        let end = start + rest[start..].find('>')?;
        let target = &rest[start + 1..end];
        let after = &rest[end + 1..];
        let parameters = &after[..next_link(after)];
        if is_next(parameters) {
            return Some(target);
        }
        rest = &after[parameters.len()..];
    }
}

/// Where the next link begins: at a comma that is not within quotes.
fn next_link(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_next(parameters: &str) -> bool {
    parameters.split(';').any(|parameter| {
        let Some((name, value)) = parameter.split_once('=') else { return false };
        let is_rel = name.trim().eq_ignore_ascii_case("rel");
        let mut words = value.trim().trim_matches('"').split_ascii_whitespace();
        is_rel && words.any(|word| word.eq_ignore_ascii_case("next"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        for (header, expected) in [
            ("</v2/a/tags/list?last=b&n=2>; rel=\"next\"", Some("/v2/a/tags/list?last=b&n=2")),
            ("</x>; rel=prev, </y>;title=\"a,b\"; REL=\"last Next\"", Some("/y")),
            ("<https://h/x>;rel=next", Some("https://h/x")),
            ("</x>; rel=\"prev\"", None),
            ("</x", None),
            ("", None),
            (">< >;<", None),
        ] {
            assert_eq!(next_page(header), expected, "{header}");
        }
    }
}
