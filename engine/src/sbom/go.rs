//! What Go's linker writes into programs, see `debug/buildinfo` of its library; since version 1.18.

use super::package::{Ecosystem, Package};

/// Where it is.
pub(super) const SECTION: &str = ".go.buildinfo";
const MAGIC: &[u8] = b"\xff Go buildinf:";
/// The place of the flags, and the flag that says that the texts follow.
const FLAGS_AT: usize = 15;
const INLINE: u8 = 2;
const TEXTS_AT: usize = 32;
/// Around the list of modules.
const SENTINEL_BYTES: usize = 16;

/// The modules of a program, and the library that it comes with.
pub(super) fn read(section: &[u8]) -> Vec<Package> {
    let is_inline = |flags: &u8| flags & INLINE != 0;
    if !section.starts_with(MAGIC) || !section.get(FLAGS_AT).is_some_and(is_inline) {
        return Vec::new();
    }
    let Some((version, rest)) = section.get(TEXTS_AT..).and_then(text) else { return Vec::new() };
    let version = String::from_utf8_lossy(version).into_owned();
    let library = version.split(' ').next().and_then(|version| version.strip_prefix("go"));
    let library = library.and_then(|version| Package::new(Ecosystem::Go, "stdlib", version).checked());
    let modules = text(rest).map_or_else(Vec::new, |(modules, _)| self::modules(modules));
    library.into_iter().chain(modules).collect()
}

/// A text after its length, see `encoding/binary` of Go's library; and what follows it.
fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (mut length, mut shift) = (0_usize, 0);
    for (at, byte) in bytes.iter().enumerate().take(9) {
        length |= usize::from(byte & 0x7f).checked_shl(shift)?;
        shift += 7;
        if byte & 0x80 == 0 {
            return bytes.get(at + 1..)?.split_at_checked(length);
        }
    }
    None
}

fn modules(text: &[u8]) -> Vec<Package> {
    let end = text.len().saturating_sub(SENTINEL_BYTES);
    let text = String::from_utf8_lossy(text.get(SENTINEL_BYTES..end).unwrap_or_default()).into_owned();
    let mut modules = Vec::new();
    for line in text.lines() {
        let mut words = line.split('\t');
        let kind = words.next().unwrap_or_default();
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        match kind {
            "mod" | "dep" => modules.push(Package::new(Ecosystem::Go, name, version)),
            // Takes the place of the module before it.
            "=>" => {
                modules.pop();
                modules.push(Package::new(Ecosystem::Go, name, version));
            }
            _ => {}
        }
    }
    modules.into_iter().filter_map(Package::checked).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_may_be_replaced() {
        let list =
            "path\tx\nmod\tx\t(devel)\t\ndep\ta/b\tv1.0.0\th1:x\ndep\tc\tv2.0.0\n=>\td\tv3.0.0\th1:y\n";
        let list = [&[7; SENTINEL_BYTES][..], list.as_bytes(), &[7; SENTINEL_BYTES][..]].concat();
        let mut section = [MAGIC, b"\x08\x02"].concat();
        section.resize(TEXTS_AT, 0);
        for text in [&b"go1.22.1 X:x"[..], &list] {
            let length = u8::try_from(text.len()).unwrap();
            section.extend(if length < 0x80 { vec![length] } else { vec![length | 0x80, length >> 7] });
            section.extend(text);
        }
        let shown: Vec<_> = read(&section).iter().map(|it| format!("{}@{}", it.name, it.version)).collect();
        assert_eq!(shown, ["stdlib@1.22.1", "x@(devel)", "a/b@v1.0.0", "d@v3.0.0"]);
        for length in 0..section.len() {
            read(&section[..length]);
        }
    }
}
