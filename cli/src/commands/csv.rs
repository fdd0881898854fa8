//! Lists of `NAME=VALUE` with commas between them, as Docker's flags have them.

/// Why a text is no list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CsvError {
    #[error("a quote is not closed")]
    OpenQuote,
    #[error("a quote stands in the middle of `{text}`; quotes go around NAME=VALUE")]
    BareQuote { text: String },
}

/// The fields of a line of comma-separated values; quotes protect commas, see RFC 4180.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, CsvError> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let field = fields.last_mut().expect("there is a first field");
        match c {
            '"' if quoted && chars.next_if_eq(&'"').is_some() => field.push('"'),
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '"' => return Err(CsvError::BareQuote { text: text.to_owned() }),
            ',' if !quoted => fields.push(String::new()),
            c => field.push(c),
        }
    }
    if quoted { Err(CsvError::OpenQuote) } else { Ok(fields) }
}
