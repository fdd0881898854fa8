//! What is known of a volume beside its files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::VolumeError;

/// The label by which an anonymous volume is known, as in Docker.
pub const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";
/// The only driver that there is.
pub(super) const LOCAL: &str = "local";

/// A volume, with the fields and the order of Docker's API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// RFC 3339.
    pub created_at: String,
    /// Always `local`.
    pub driver: String,
    /// Null for a volume that was never given any.
    pub labels: Option<BTreeMap<String, String>>,
    /// Where its files are on this machine, if the driver options do not say otherwise.
    pub mountpoint: PathBuf,
    /// Its name.
    pub name: String,
    /// Of the driver; null if there are none.
    pub options: Option<BTreeMap<String, String>>,
    /// Always `local`.
    pub scope: String,
}

impl Volume {
    /// Whether a container made it for itself.
    pub fn is_anonymous(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.contains_key(ANONYMOUS_LABEL))
    }
}

/// The same on the disk. A field that is missing has its default: facts may come from another version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Facts {
    pub(super) created_unix_s: Option<i64>,
    pub(super) labels: Option<BTreeMap<String, String>>,
    pub(super) options: Option<BTreeMap<String, String>>,
}

impl Facts {
    /// Reads them. Facts that were lost in a power cut are empty, and the default ones: the files are what counts.
    ///
    /// # Errors
    ///
    /// For anything else: options that cannot be read may say that the files are elsewhere.
    pub(super) fn decode(name: &str, bytes: &[u8]) -> Result<Self, VolumeError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
            .map_err(|source| VolumeError::Facts { name: name.to_owned(), source: source.into() })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("facts have only text as keys")
    }

    pub(super) fn volume(self, name: &str, mountpoint: PathBuf, changed_unix_s: i64) -> Volume {
        let created = Timestamp::from_second(self.created_unix_s.unwrap_or(changed_unix_s));
        Volume {
            created_at: created.unwrap_or_default().to_string(),
            driver: LOCAL.to_owned(),
            labels: self.labels,
            mountpoint,
            name: name.to_owned(),
            options: self.options,
            scope: LOCAL.to_owned(),
        }
    }
}

/// The options of the driver `local`, which are those of mount(8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalOptions {
    /// A directory of the store.
    Own,
    /// A directory of the host, for `o=bind`.
    Bind {
        /// Absolute.
        path: PathBuf,
        /// Whether `o` says `ro`.
        read_only: bool,
    },
    /// A file system of its own: in memory, of a server, of a disk.
    FileSystem {
        /// `type`.
        fstype: String,
        /// `device`.
        device: String,
        /// `o`.
        options: String,
    },
}

impl LocalOptions {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// In Docker's words, what is unknown and what is missing.
    pub fn parse(options: &BTreeMap<String, String>) -> Result<Self, VolumeError> {
        if let Some(option) =
            options.keys().find(|key| !["type", "o", "device", "size"].contains(&key.as_str()))
        {
            return Err(VolumeError::UnknownOption { option: option.clone() });
        }
        if options.contains_key("size") {
            return Err(VolumeError::Quota);
        }
        let option = |name: &str| options.get(name).map(String::as_str).unwrap_or_default();
        for (given, needed) in [("device", "type"), ("type", "device"), ("o", "device"), ("o", "type")] {
            if options.contains_key(given) && !options.contains_key(needed) {
                return Err(VolumeError::MissingOption { option: needed.to_owned() });
            }
        }
        let (fstype, device, words) = (option("type"), option("device"), option("o"));
        let is_bind = words.split(',').any(|word| matches!(word, "bind" | "rbind"));
        Ok(match (fstype, is_bind) {
            ("", _) => Self::Own,
            (_, true) => Self::Bind {
                path: PathBuf::from(device),
                read_only: words.split(',').any(|word| word == "ro"),
            },
            (fstype, false) => Self::FileSystem {
                fstype: fstype.to_owned(),
                device: device.to_owned(),
                options: words.to_owned(),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> String {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        match LocalOptions::parse(&pairs.iter().map(pair).collect()) {
            Ok(options) => format!("{options:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn options_are_dockers() {
        insta::assert_snapshot!(parse(&[]), @"Own");
        insta::assert_snapshot!(parse(&[("type", "none"), ("device", "/x"), ("o", "bind,ro")]), @r#"Bind { path: "/x", read_only: true }"#);
        insta::assert_snapshot!(parse(&[("type", "nfs"), ("device", ":/x"), ("o", "addr=192.0.2.1,rw")]), @r#"FileSystem { fstype: "nfs", device: ":/x", options: "addr=192.0.2.1,rw" }"#);
        insta::assert_snapshot!(parse(&[("colour", "red")]), @r#"invalid option: "colour""#);
        insta::assert_snapshot!(parse(&[("type", "tmpfs")]), @r#"missing required option: "device""#);
        insta::assert_snapshot!(parse(&[("size", "1g")]), @"quota size requested but no quota support");
    }

    /// What the first version wrote is read for ever.
    #[test]
    fn facts_v1_are_read() {
        let facts =
            Facts::decode("data", br#"{"created_unix_s":1700000000,"labels":{"a":"b"},"options":null}"#)
                .unwrap();
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(facts, Facts { created_unix_s: Some(1_700_000_000), labels: Some(labels), options: None });
        assert_eq!(Facts::decode("data", &facts.encode()).unwrap(), facts);
        assert_eq!(Facts::decode("data", b"").unwrap(), Facts::default());
    }
}
