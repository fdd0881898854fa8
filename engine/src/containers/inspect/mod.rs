//! Everything about a container, in the words of `docker container inspect`.

mod host;
mod network;
mod portable;
mod state;

use serde::Serialize;
use serde_json::{Value, json};

use super::home::Home;
use super::{Config, Container};
use crate::Engine;
use crate::volumes::MountPoint;
use host::host_config;
pub(super) use network::network_names;
use network::network_settings;
use portable::portable_config;
use state::InspectedState;
use state::time;

/// A container with the fields and the order of Docker's API.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerInspection {
    /// 64 hexadecimal digits.
    pub id: String,
    /// RFC 3339.
    pub created: String,
    /// The program.
    pub path: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// What has become of it.
    pub state: InspectedState,
    /// `sha256:` and the image's id.
    pub image: String,
    /// Where `/etc/resolv.conf` is: in memory, so nowhere.
    pub resolv_conf_path: String,
    /// The same for `/etc/hostname`.
    pub hostname_path: String,
    /// The same for `/etc/hosts`.
    pub hosts_path: String,
    /// The newest file of its log.
    pub log_path: String,
    /// With a slash before it, as in Docker.
    pub name: String,
    /// How often its restart policy has started it.
    pub restart_count: u32,
    /// Always `overlay2`.
    pub driver: String,
    /// Always `linux`.
    pub platform: String,
    /// Always empty.
    pub mount_label: String,
    /// Always empty.
    pub process_label: String,
    /// Always empty.
    pub app_armor_profile: String,
    /// Always null.
    #[serde(rename = "ExecIDs")]
    pub exec_ids: Option<Vec<String>>,
    /// What belongs to this machine.
    pub host_config: Value,
    /// Where its files are.
    pub graph_driver: Value,
    /// File systems beside the root.
    pub mounts: Vec<MountPoint>,
    /// What would be the same on another machine.
    pub config: Value,
    /// Its addresses.
    pub network_settings: Value,
}

impl Engine {
    /// Everything about a container.
    pub fn inspect_container(&self, container: &Container) -> ContainerInspection {
        let Container { config, state } = container;
        let mut argv = config.argv().into_iter();
        let log_path = self.container_log_path(container);
        ContainerInspection {
            id: config.id.clone(),
            created: time(config.created_unix_ns),
            path: argv.next().unwrap_or_default(),
            args: argv.collect(),
            state: InspectedState::of(state),
            image: config.image_id.clone(),
            resolv_conf_path: String::new(),
            hostname_path: String::new(),
            hosts_path: String::new(),
            log_path: log_path.map(|path| path.display().to_string()).unwrap_or_default(),
            name: format!("/{}", config.name),
            restart_count: state.restart_count,
            driver: "overlay2".to_owned(),
            platform: "linux".to_owned(),
            mount_label: String::new(),
            process_label: String::new(),
            app_armor_profile: String::new(),
            exec_ids: None,
            host_config: host_config(config),
            graph_driver: self.graph_driver(config),
            mounts: config.mount_points.clone(),
            config: portable_config(config),
            network_settings: network_settings(container, &self.places(config)),
        }
    }

    fn graph_driver(&self, config: &Config) -> Value {
        let home = Home::new(self.root(), &config.id);
        let layers: Vec<_> = config.layers.iter().filter_map(|layer| layer.parse().ok()).collect();
        let lowers = self.store.lower_paths(&layers).unwrap_or_default();
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        json!({
            "Data": {
                "LowerDir": lowers.join(":"),
                "MergedDir": "",
                "UpperDir": home.upper().display().to_string(),
                "WorkDir": home.path.join("work").display().to_string(),
            },
            "Name": "overlay2",
        })
    }
}

fn null_if_empty(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}
