//! File systems of any type, with options as mount(8) takes them.

use std::os::fd::OwnedFd;

use rustix::mount::MountAttrFlags;

use crate::error::SandboxError;
use crate::mounting::{Parameter, flags, mount_new};

/// Most options of one file system: more are no list that a person wrote.
const OPTIONS_MAX: usize = 64;

/// What the options of a list mean.
#[derive(Debug)]
struct Options<'a> {
    attributes: MountAttrFlags,
    parameters: Vec<Parameter<'a>>,
}

/// A detached mount of a new file system.
pub(crate) fn file_system(fstype: &str, source: &str, options: &str) -> Result<OwnedFd, SandboxError> {
    let Options { attributes, mut parameters } = parse(options)?;
    if !source.is_empty() {
        parameters.insert(0, Parameter::Text("source", source));
    }
    // Device files would be a way to the disks of the host.
    mount_new(fstype, &parameters, attributes | flags::NO_DEVICES)
}

/// Later options win over earlier ones that mean the contrary, as with mount(8).
fn parse(text: &str) -> Result<Options<'_>, SandboxError> {
    let mut options = Options { attributes: MountAttrFlags::empty(), parameters: Vec::new() };
    let words: Vec<&str> = text.split(',').filter(|word| !word.is_empty()).collect();
    if words.len() > OPTIONS_MAX {
        return Err(wrong(text, &format!("more than {OPTIONS_MAX} options")));
    }
    for word in words {
        if let Some((flag, is_set)) = attribute(word) {
            options.attributes.set(flag, is_set);
            continue;
        }
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => options.parameters.push(Parameter::Text(key, value)),
            Some(_) => return Err(wrong(text, &format!("`{word}` has no name"))),
            None if IGNORED.contains(&word) => {}
            None if REFUSED.contains(&word) => {
                return Err(wrong(text, &format!("`{word}` is not for a new file system")));
            }
            None => options.parameters.push(Parameter::Flag(word)),
        }
    }
    if options.attributes.contains(flags::READ_ONLY) {
        options.parameters.push(Parameter::Flag("ro"));
    }
    Ok(options)
}

/// What is so in any case, or is not about the file system.
const IGNORED: [&str; 9] =
    ["defaults", "async", "dev", "nodev", "relatime", "norelatime", "auto", "noauto", "_netdev"];

/// What changes a mount that is there.
const REFUSED: [&str; 4] = ["remount", "bind", "rbind", "move"];

/// Options that are flags of the mount, and whether they set or clear it.
fn attribute(word: &str) -> Option<(MountAttrFlags, bool)> {
    Some(match word {
        "ro" => (flags::READ_ONLY, true),
        "rw" => (flags::READ_ONLY, false),
        "nosuid" => (flags::NO_SUID, true),
        "suid" => (flags::NO_SUID, false),
        "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
        "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
        "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
        "atime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, false),
        "strictatime" => (MountAttrFlags::MOUNT_ATTR_STRICTATIME, true),
        "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
        "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
        _ => return None,
    })
}

fn wrong(text: &str, problem: &str) -> SandboxError {
    SandboxError::BadField {
        field: String::from("options"),
        value: text.to_string(),
        problem: problem.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse(text) {
            Ok(Options { attributes, parameters }) => format!("{:#x} {parameters:?}", attributes.bits()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn flags_and_options_are_told_apart() {
        assert_eq!(shown(""), "0x0 []");
        assert_eq!(shown("rw,noexec,nosuid,size=64k,,defaults"), "0xa [Text(\"size\", \"64k\")]");
        assert_eq!(shown("noexec,exec,sync"), "0x0 [Flag(\"sync\")]");
        assert_eq!(shown("ro"), "0x1 [Flag(\"ro\")]");
    }

    #[test]
    fn what_is_no_option_is_refused() {
        assert!(shown("=1").contains("has no name"));
        assert!(shown("bind").contains("not for a new file system"));
        assert!(shown(&"a,".repeat(65)).contains("more than 64"));
    }
}
