//! Small tar files, each with something that unpacking has to think about.

const BLOCK_BYTES: usize = 512;

/// An entry: kind, name, what it links to or consists of.
type Entry = (u8, &'static str, &'static str);

const FILE: u8 = b'0';
const HARD_LINK: u8 = b'1';
const SYMLINK: u8 = b'2';
const CHARACTER_DEVICE: u8 = b'3';
const DIRECTORY: u8 = b'5';
const PIPE: u8 = b'6';
const PAX: u8 = b'x';
const PAX_GLOBAL: u8 = b'g';
const LONG_NAME: u8 = b'L';
const LONG_LINK: u8 = b'K';

/// Tar files.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let cases: [&[Entry]; 14] = [
        &[(FILE, "file", "text")],
        &[(DIRECTORY, "dir/", ""), (FILE, "dir/file", "text"), (FILE, "dir/file", "again")],
        &[(FILE, "a", "text"), (HARD_LINK, "b", "a"), (HARD_LINK, "c", "missing")],
        &[(SYMLINK, "link", "/etc"), (FILE, "link/passwd", "text")],
        &[(SYMLINK, "up", ".."), (DIRECTORY, "up/dir/", ""), (HARD_LINK, "up/x", "up/y")],
        &[(FILE, "../file", "text"), (FILE, "/absolute", "text"), (FILE, "a/../../b", "text")],
        &[(PIPE, "pipe", ""), (CHARACTER_DEVICE, "null", "")],
        &[(FILE, "dir/.wh.file", ""), (FILE, "dir/.wh..wh..opq", "")],
        &[(PAX, "pax", "20 path=another/name\n"), (FILE, "name", "text")],
        &[(PAX, "pax", "12 size=100\n"), (FILE, "name", "text")],
        &[(PAX, "pax", "30 SCHILY.xattr.user.name=ab\n"), (FILE, "name", "text")],
        &[(PAX_GLOBAL, "pax", "19 uname=somebody\n"), (FILE, "name", "text")],
        &[(LONG_NAME, "././@LongLink", "a/name/that/is/long\0"), (FILE, "a/name", "text")],
        &[(LONG_LINK, "././@LongLink", "a/target\0"), (SYMLINK, "link", "a"), (FILE, "inside/file", "text")],
    ];
    cases.iter().map(|entries| archive(entries)).collect()
}

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (kind, name, content) in entries {
        let is_link = matches!(*kind, HARD_LINK | SYMLINK);
        let (link, data) = if is_link { (*content, "") } else { ("", *content) };
        let mut header = [0; BLOCK_BYTES];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644");
        put(108, "0000001");
        put(116, "0000002");
        put(124, &format!("{:011o}", data.len()));
        put(136, "14631463146");
        put(157, link);
        put(257, "ustar\u{0}00");
        put(148, "        ");
        header[156] = *kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        tar.extend(header);
        tar.extend(data.bytes());
        tar.resize(tar.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    tar.extend([0; 2 * BLOCK_BYTES]);
    tar
}
