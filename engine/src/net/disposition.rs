//! The name that a server gives a file: `Content-Disposition`, see RFC 6266.

/// The name of the file, without the directories in front of it; none when there is none that a file can have.
pub(super) fn filename(header: &str) -> Option<String> {
    let parameters = parameters(header);
    let named = |wanted: &str| parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    // The extended form goes first, see section 4.3.
    let extended = named("filename*").and_then(|value| extended(value));
    let text = extended.or_else(|| named("filename").cloned())?;
    let name = text.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_name = !matches!(name, "" | "." | "..") && !name.contains('\0');
    is_name.then(|| name.to_owned())
}

/// The parameters behind the kind of disposition: names in lower case, values without quotes.
fn parameters(header: &str) -> Vec<(String, String)> {
    let mut fields = vec![String::new()];
    let mut values = Vec::new();
    let (mut is_quoted, mut chars) = (false, header.chars());
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is a first field");
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => field.extend(chars.next()),
            ';' if !is_quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    for field in fields.iter().skip(1) {
        if let Some((name, value)) = field.split_once('=') {
            values.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    values
}

/// `UTF-8''a%20b`, see RFC 8187.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, text) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    frontend::remote::decoded(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_made_harmless() {
        for (header, expected) in [
            ("attachment; filename=a.tar", Some("a.tar")),
            ("attachment; FileName=\"a; b.tar\"", Some("a; b.tar")),
            ("attachment; filename=\"a\\\"b\"", Some("a\"b")),
            ("attachment; filename=old; filename*=UTF-8''n%C3%A9w", Some("néw")),
            ("attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            ("attachment; filename=\"C:\\\\a\\\\b\"", Some("b")),
            ("attachment; filename=\"..\"", None),
            ("attachment; filename*=UTF-8''%00", None),
            ("filename=a", None),
            ("inline", None),
            ("", None),
        ] {
            assert_eq!(filename(header).as_deref(), expected, "{header}");
        }
    }
}
