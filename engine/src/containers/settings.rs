//! What a container is to be, as its user says it: kept on disk, so that it can be started again.

use std::collections::BTreeMap;

use image::{Healthcheck, Platform};
use serde::{Deserialize, Serialize};

use super::{Device, LogLimits, Sharing};
use crate::network::Dns;
use crate::networks::NetworkSettings;
use crate::run::Privileges;
use crate::volumes::MountRequest;

/// What is asked of a new container. Everything that is not set comes from the image, or is Docker's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Name or id of the image.
    pub image: String,
    /// `--platform`: which of the images of one name, if not this machine's.
    #[serde(with = "platform_text")]
    pub platform: Option<Platform>,
    /// Replaces the image's `CMD` unless empty.
    pub command: Vec<String>,
    /// Replaces the image's `ENTRYPOINT` and drops its `CMD`; empty text means no entrypoint at all.
    pub entrypoint: Option<String>,
    /// Added to the image's environment, in order.
    pub env: Vec<(String, String)>,
    /// Replaces the image's `WORKDIR`.
    pub working_dir: Option<String>,
    /// Replaces the image's `USER`.
    pub user: Option<String>,
    /// Replaces the host name, which is the beginning of the container's id otherwise.
    pub hostname: Option<String>,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether its standard input stays open.
    pub open_stdin: bool,
    /// `--network`.
    #[serde(with = "NetworkWord")]
    pub network: graph::Network,
    /// Networks that somebody made, and published ports.
    pub networks: NetworkSettings,
    /// `--pid` and its like.
    pub sharing: Sharing,
    /// `--dns` and its like.
    pub dns: Dns,
    /// `--add-host`, `--shm-size`, `--ulimit`.
    #[serde(with = "SurroundingsFields")]
    pub surroundings: graph::Surroundings,
    /// `--memory` and its like.
    pub resources: executor::Resources,
    /// `--cap-add` and its like.
    pub privileges: Privileges,
    /// `--volume`, `--mount` and `--tmpfs`.
    pub mounts: Vec<MountRequest>,
    /// `--volumes-from`: containers whose mounts it has as well, and whether it may only read them.
    pub volumes_from: Vec<(String, bool)>,
    /// `--device`.
    pub devices: Vec<Device>,
    /// `--group-add`: names or numbers.
    pub groups: Vec<String>,
    /// Added to the image's labels.
    pub labels: BTreeMap<String, String>,
    /// Replaces the image's `STOPSIGNAL`.
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL; negative for ever.
    pub stop_timeout_s: Option<i64>,
    /// `--health-cmd` and its like.
    pub health: HealthSettings,
    /// When it is started again.
    pub restart: Restart,
    /// Whether it goes when it ends.
    pub auto_remove: bool,
    /// How much of its output is kept.
    pub log: LogLimits,
}

impl Settings {
    /// What the container has of networks that nobody shares with it.
    pub fn network_alone(&self) -> graph::Network {
        let is_alone = !self.networks.is_shared() && self.sharing.network_of.is_none();
        if is_alone { self.network } else { graph::Network::None }
    }
}

/// The only word of a check that is none.
const NO_CHECK: &str = "NONE";

/// How to find out whether a container is well; what is not set comes from the image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSettings {
    /// Whether nobody is to find out, whatever the image says.
    pub is_disabled: bool,
    /// A command for the shell of the container; its code 0 means that all is well.
    pub command: Option<String>,
    /// Between two checks, ns.
    pub interval_ns: Option<i64>,
    /// After which a check has failed, ns.
    pub timeout_ns: Option<i64>,
    /// Time in which failures do not count, ns.
    pub start_period_ns: Option<i64>,
    /// Between two checks in that time, ns.
    pub start_interval_ns: Option<i64>,
    /// Failures in a row that make it unhealthy.
    pub retries: Option<i64>,
}

impl HealthSettings {
    /// What these settings make of the check of an image.
    pub(crate) fn apply(&self, image: Option<&Healthcheck>) -> Option<Healthcheck> {
        if self.is_disabled {
            // Also for images that are made of the container.
            return Some(Healthcheck { test: vec![NO_CHECK.to_owned()], ..Healthcheck::default() });
        }
        let mut check = image.cloned().unwrap_or_default();
        if let Some(command) = &self.command {
            check.test = vec!["CMD-SHELL".to_owned(), command.clone()];
        }
        let set = |field: &mut i64, value: Option<i64>| *field = value.unwrap_or(*field);
        set(&mut check.interval, self.interval_ns);
        set(&mut check.timeout, self.timeout_ns);
        set(&mut check.start_period, self.start_period_ns);
        set(&mut check.start_interval, self.start_interval_ns);
        set(&mut check.retries, self.retries);
        (!check.test.is_empty()).then_some(check)
    }
}

/// When a container that has ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// When its exit code is not 0, at most so many times in a row; 0 is no limit.
    OnFailure(u32),
    /// Always, unless somebody stops it.
    Always,
    /// Always, also after a restart of the machine only if nobody had stopped it.
    UnlessStopped,
}

impl Restart {
    /// Docker's word: `no`, `on-failure`, `always`, `unless-stopped`.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// How often at most, for `on-failure`.
    pub fn retries(self) -> u32 {
        match self {
            Self::OnFailure(retries) => retries,
            Self::No | Self::Always | Self::UnlessStopped => 0,
        }
    }
}

impl std::str::FromStr for Restart {
    type Err = String;

    /// `no`, `always`, `unless-stopped`, `on-failure[:RETRIES]`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None => match text {
                "" | "no" => Ok(Self::No),
                "always" => Ok(Self::Always),
                "unless-stopped" => Ok(Self::UnlessStopped),
                "on-failure" => Ok(Self::OnFailure(0)),
                _ => Err("expected no, always, unless-stopped or on-failure[:RETRIES]".to_owned()),
            },
            Some(("on-failure", count)) => {
                let wrong = |_| format!("maximum retry count must be a number and not `{count}`");
                count.parse().map(Self::OnFailure).map_err(wrong)
            }
            Some((name, _)) => {
                Err(format!("maximum retry count cannot be used with restart policy `{name}`"))
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "graph::Network")]
enum NetworkWord {
    Default,
    Host,
    None,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "graph::Surroundings")]
struct SurroundingsFields {
    extra_hosts: Vec<(String, String)>,
    shm_size_bytes: Option<u64>,
    #[serde(with = "ulimits")]
    ulimits: Vec<graph::Ulimit>,
}

mod platform_text {
    use image::Platform;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        platform: &Option<Platform>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        platform.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Platform>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
    }
}

mod ulimits {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Fields = (String, Option<u64>, Option<u64>);

    pub(super) fn serialize<S: Serializer>(
        limits: &[graph::Ulimit],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let fields = |limit: &graph::Ulimit| (limit.name.clone(), limit.soft, limit.hard);
        limits.iter().map(fields).collect::<Vec<Fields>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<graph::Ulimit>, D::Error> {
        let fields = Vec::<Fields>::deserialize(deserializer)?;
        Ok(fields.into_iter().map(|(name, soft, hard)| graph::Ulimit { name, soft, hard }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restart_policies_are_read() {
        assert_eq!("on-failure:3".parse(), Ok(Restart::OnFailure(3)));
        assert_eq!("unless-stopped".parse(), Ok(Restart::UnlessStopped));
        assert_eq!("no".parse(), Ok(Restart::No));
        for wrong in ["sometimes", "always:3", "on-failure:x"] {
            assert!(wrong.parse::<Restart>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_survive_their_way_to_disk() {
        let settings = Settings {
            image: "bb".into(),
            platform: Some("linux/arm64".parse().unwrap()),
            entrypoint: Some(String::new()),
            network: graph::Network::None,
            surroundings: graph::Surroundings {
                ulimits: vec![graph::Ulimit { name: "nofile".into(), soft: Some(1), hard: None }],
                ..graph::Surroundings::default()
            },
            restart: Restart::OnFailure(2),
            ..Settings::default()
        };
        let text = serde_json::to_string(&settings).unwrap();
        assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), settings);
        // What an older version wrote has fewer fields.
        assert_eq!(serde_json::from_str::<Settings>("{}").unwrap(), Settings::default());
    }
}
