//! Programs of other architectures: whose they are, and whether the kernel knows an emulator for them.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

/// Where emulators are registered, see the kernel's `admin-guide/binfmt-misc`.
pub(crate) const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// Bytes of an ELF file up to the end of `e_machine`, see elf(5).
const HEADER_BYTES: usize = 20;

/// Numbers of `e_machine`, whether the file is of 64 bits, whether it is little-endian, and the name of the platform.
const MACHINES: &[(u16, u8, u8, &str)] = &[
    (3, 1, 1, "386"),
    (8, 1, 1, "mipsle"),
    (8, 2, 1, "mips64le"),
    (21, 2, 1, "ppc64le"),
    (22, 2, 2, "s390x"),
    (40, 1, 1, "arm"),
    (62, 2, 1, "amd64"),
    (183, 2, 1, "arm64"),
    (243, 2, 1, "riscv64"),
    (258, 2, 1, "loong64"),
];

/// The architecture of an ELF header, in the words of platforms.
fn architecture(header: &[u8]) -> Option<&'static str> {
    let (magic, rest) = header.split_at_checked(4)?;
    if magic != b"\x7fELF" {
        return None;
    }
    let (class, order) = (*rest.first()?, *rest.get(1)?);
    let machine = header.get(HEADER_BYTES - 2..HEADER_BYTES)?.try_into().ok()?;
    let machine = if order == 1 { u16::from_le_bytes(machine) } else { u16::from_be_bytes(machine) };
    let is_it = |known: &&(u16, u8, u8, &str)| (known.0, known.1, known.2) == (machine, class, order);
    MACHINES.iter().find(is_it).map(|known| known.3)
}

/// The architecture of a program, if it is one for another machine.
pub(crate) fn foreign_architecture(program: &Path) -> Option<&'static str> {
    let mut header = [0; HEADER_BYTES];
    fs::File::open(program).ok()?.read_exact(&mut header).ok()?;
    architecture(&header).filter(|name| *name != own())
}

fn own() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The architectures for which an emulator is registered that works in every root: the kernel has opened it in advance,
/// which is its flag F.
pub(crate) fn emulated() -> io::Result<Vec<String>> {
    // Without it the directory is empty.
    fs::metadata(Path::new(BINFMT).join("status"))?;
    let mut names: Vec<String> = fs::read_dir(BINFMT)?
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok())
        .filter_map(|text| registered(&text))
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// What one registration is for, if it is enabled and has the flag.
fn registered(text: &str) -> Option<&'static str> {
    let mut lines = text.lines();
    let is_enabled = lines.next() == Some("enabled");
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let is_open = value("flags:")?.contains('F');
    if !is_enabled || !is_open || value("offset ")? != "0" {
        return None;
    }
    architecture(&bytes(value("magic ")?)?)
}

/// Hexadecimal digits as bytes.
fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARM64: &str = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
        magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn registrations_are_read() {
        assert_eq!(registered(ARM64), Some("arm64"));
        assert_eq!(registered(&ARM64.replace("enabled", "disabled")), None);
        assert_eq!(registered(&ARM64.replace("POCF", "POC")), None);
        assert_eq!(registered("enabled\ninterpreter /usr/bin/x\nflags: F\nextension .x\n"), None);
    }

    #[test]
    fn headers_are_read() {
        assert_eq!(foreign_architecture(Path::new("/proc/self/exe")), None);
        assert_eq!(architecture(b"#!/bin/sh\n"), None);
        let mut header = [0; HEADER_BYTES];
        header[..6].copy_from_slice(b"\x7fELF\x02\x02");
        header[19] = 22;
        assert_eq!(architecture(&header), Some("s390x"));
    }
}
