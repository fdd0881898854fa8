//! The image config: what a container of the image runs with, and how its layers came to be.
//!
//! Docker's fields (`Healthcheck`, `OnBuild`, `Shell`) and fields that we do not know survive reading and
//! writing; maps are ordered, so that equal configs are equal bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{DiffId, Platform};

/// The image config of the OCI image specification with Docker's additions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it (`MAINTAINER`).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// Architecture by its Go name.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system.
    pub os: String,
    /// What a container runs with.
    #[serde(default)]
    pub config: RunConfig,
    /// The layers, lowest first.
    #[serde(default)]
    pub rootfs: RootFs,
    /// One entry for each instruction, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
    /// Fields of others, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// The `config` object: defaults for containers of this image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunConfig {
    /// `USER`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `EXPOSE`, as `80/tcp`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// `ENV`, as `NAME=value`, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// `ENTRYPOINT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// `CMD`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// `HEALTHCHECK`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// The command is in shell form and already escaped (Windows).
    #[serde(skip_serializing_if = "is_false")]
    pub args_escaped: bool,
    /// `VOLUME`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub volumes: BTreeMap<String, Value>,
    /// `WORKDIR`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// `ONBUILD` triggers, in order.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_default")]
    pub on_build: Vec<String>,
    /// `LABEL`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// `STOPSIGNAL`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// `SHELL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Fields of others, kept as they are.
    #[serde(flatten)]
    pub extra: BTreeMap<String, Value>,
}

/// `HEALTHCHECK`; durations in nanoseconds, zero means the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", args...]` or `["CMD-SHELL", command]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<String>,
    /// Time between two checks, ns.
    #[serde(skip_serializing_if = "is_zero")]
    pub interval: i64,
    /// Time after which a check has failed, ns.
    #[serde(skip_serializing_if = "is_zero")]
    pub timeout: i64,
    /// Time in which failures do not count, ns.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_period: i64,
    /// Time between two checks in the start period, ns.
    #[serde(skip_serializing_if = "is_zero")]
    pub start_interval: i64,
    /// Failures in a row that make a container unhealthy.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: i64,
}

/// The layers of an image by the digests of their tars.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Lowest first.
    #[serde(deserialize_with = "null_is_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One instruction in the history of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who (`MAINTAINER`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// The instruction.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub created_by: String,
    /// Which tool.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// Whether the instruction made no layer.
    #[serde(skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

impl ImageConfig {
    /// A config of an image without layers.
    pub fn empty(platform: &Platform) -> Self {
        Self {
            created: None,
            author: String::new(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            config: RunConfig::default(),
            rootfs: RootFs::default(),
            history: Vec::new(),
            extra: BTreeMap::new(),
        }
    }

    /// The platform that the image is for.
    pub fn platform(&self) -> Platform {
        let variant = self.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
        let text = format!("{}/{}{variant}", self.os, self.architecture);
        text.parse().unwrap_or_else(|_| Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        })
    }
}

impl RunConfig {
    /// The value of an environment variable.
    pub fn env_value(&self, name: &str) -> Option<&str> {
        self.env
            .iter()
            .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
            .map(|(_, value)| value)
    }

    /// Sets an environment variable, in its old place when it was there.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let pair = format!("{name}={value}");
        let same = |old: &&mut String| old.split_once('=').is_some_and(|(key, _)| key == name);
        match self.env.iter_mut().find(same) {
            Some(old) => *old = pair,
            None => self.env.push(pair),
        }
    }
}

/// Go writes absent maps and lists as `null`.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

// Serde hands fields over by reference.
fn is_zero(value: &i64) -> bool {
    *value == 0
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_and_docker_fields_survive() {
        let text = r#"{"architecture":"amd64","os":"linux","config":{"Labels":null,"OnBuild":["RUN x"],
            "Shell":["/bin/bash"],"Healthcheck":{"Test":["NONE"]},"MacAddress":"aa"},
            "rootfs":{"type":"layers","diff_ids":null},"moby.buildkit.cache.v0":"e30="}"#;
        let config: ImageConfig = serde_json::from_str(text).unwrap();
        insta::assert_snapshot!(
            serde_json::to_string(&config).unwrap(),
            @r#"{"architecture":"amd64","os":"linux","config":{"Healthcheck":{"Test":["NONE"]},"OnBuild":["RUN x"],"Shell":["/bin/bash"],"MacAddress":"aa"},"rootfs":{"type":"layers","diff_ids":[]},"moby.buildkit.cache.v0":"e30="}"#
        );
    }

    #[test]
    fn env_keeps_its_place() {
        let mut config = RunConfig { env: vec!["A=1".into(), "B=2".into()], ..RunConfig::default() };
        config.set_env("A", "3");
        config.set_env("C", "4");
        assert_eq!(config.env, ["A=3", "B=2", "C=4"]);
        assert_eq!(config.env_value("B"), Some("2"));
    }
}
