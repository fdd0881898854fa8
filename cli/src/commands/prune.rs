//! What the commands that prune have in common: the question, the sizes, the last line.

use std::io::{self, BufRead as _};

use engine::images::Removed;
use engine::space::parse_bytes;

use crate::console;
use crate::output::size;
use crate::report::Report;

/// Significant digits of a size, as in Docker's reports.
pub(super) const SIZE_DIGITS: usize = 4;

/// Asks, and says whether the answer is yes.
pub(super) fn confirm(question: &str) -> Result<bool, Report> {
    console::print(&format!("{question} [y/N] "))?;
    let mut answer = String::new();
    // Who cannot answer has not agreed.
    let _ = io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// `512m`, `10GB`, `1.5gib`: bytes.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| format!("invalid size: '{text}'"))
}

/// `Total reclaimed space: 1.2GB`
pub(super) fn total(bytes: u64) -> String {
    format!("Total reclaimed space: {}\n", size(bytes, SIZE_DIGITS))
}

/// The list of caches that are gone, with an empty line behind it; nothing if there are none.
pub(super) fn deleted_caches(ids: &[String]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    format!("Deleted build cache objects:\n{}\n\n", ids.join("\n"))
}

/// The same for images.
pub(super) fn deleted_images(removed: &[Removed]) -> String {
    if removed.is_empty() {
        return String::new();
    }
    let lines: String = removed
        .iter()
        .map(|removed| match removed {
            Removed::Untagged(reference) => format!("untagged: {}\n", reference.familiar()),
            Removed::Deleted(id) => format!("deleted: {id}\n"),
        })
        .collect();
    format!("Deleted Images:\n{lines}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_docker_reads_them() {
        for (text, expected) in [
            ("0", Some(0)),
            ("32", Some(32)),
            ("32b", Some(32)),
            ("1k", Some(1024)),
            ("10GB", Some(10 << 30)),
            ("1.5 GiB", Some(3 << 29)),
            ("2t", Some(2 << 40)),
            ("", None),
            ("-1", None),
            ("1x", None),
            ("1.2.3k", None),
            ("9999999999p", None),
        ] {
            assert_eq!(parse_size(text).ok(), expected, "{text}");
        }
    }
}
