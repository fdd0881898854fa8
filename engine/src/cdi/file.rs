//! Files that describe devices: the Container Device Interface, version 1.1
//! (<https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>).

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// One file: devices of one kind.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DeviceFile {
    pub(super) cdi_version: String,
    /// `vendor.com/class`
    pub(super) kind: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) devices: Vec<Described>,
    /// For whoever gets any of the devices.
    #[serde(default)]
    pub(super) container_edits: Edits,
}

/// One device.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Described {
    pub(super) name: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) container_edits: Edits,
}

/// What a container gets.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Edits {
    /// `NAME=value`
    #[serde(default)]
    pub(super) env: Vec<String>,
    #[serde(default)]
    pub(super) device_nodes: Vec<Node>,
    #[serde(default)]
    pub(super) mounts: Vec<Mount>,
    #[serde(default)]
    pub(super) hooks: Vec<IgnoredAny>,
    #[serde(default)]
    pub(super) net_devices: Vec<IgnoredAny>,
    #[serde(default, rename = "additionalGids")]
    pub(super) additional_gids: Vec<u32>,
    pub(super) intel_rdt: Option<IgnoredAny>,
}

/// A device file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Node {
    pub(super) path: String,
    pub(super) host_path: Option<String>,
    /// `c`, `b`, `u` or `p`; that of the host's file unless it is said.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) file_mode: Option<u32>,
    /// Of `r`, `w` and `m`.
    pub(super) permissions: Option<String>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
}

/// A directory or file of the host.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mount {
    pub(super) host_path: String,
    pub(super) container_path: String,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
}

/// Names of vendors, classes and devices begin and end with a letter or a digit.
pub(super) fn is_name(text: &str, between: &str) -> bool {
    let is_end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let is_inner = |c: char| c.is_ascii_alphanumeric() || between.contains(c);
    is_end(text.chars().next()) && is_end(text.chars().last()) && text.chars().all(is_inner)
}

/// `vendor.com/class`
pub(super) fn is_kind(text: &str) -> bool {
    text.split_once('/').is_some_and(|(vendor, class)| is_name(vendor, "_-.") && is_name(class, "_-."))
}

impl DeviceFile {
    /// What is wrong with it, if anything.
    pub(super) fn check(&self) -> Result<(), String> {
        let major = self.cdi_version.trim_start_matches('v').split('.').next();
        if !matches!(major, Some("0" | "1")) {
            return Err(format!("has the unknown version `{}`", self.cdi_version));
        }
        if !is_kind(&self.kind) {
            return Err(format!("has the invalid kind `{}`", self.kind));
        }
        match self.devices.iter().find(|device| !is_name(&device.name, "_-.:")) {
            Some(device) => Err(format!("has a device with the invalid name `{}`", device.name)),
            None if self.devices.is_empty() => Err("has no devices".to_owned()),
            None => Ok(()),
        }
    }
}
