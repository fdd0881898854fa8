//! Everything about a container, in the words of `docker container inspect`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use super::home::Home;
use super::{Config, Container, Device, Health, HealthResult, State, Status};
use crate::Engine;
use crate::networks::Place;
use crate::run::Grants;
use crate::volumes::MountPoint;

/// Go's zero time, for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// Nanoseconds per microsecond of processor time, and microseconds of Docker's period.
const NANO_CPUS_PER_US: u64 = 10_000;
const PERIOD_US: u64 = 100_000;

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

/// `State`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedState {
    /// `created`, `running`, `paused`, `restarting`, `exited`.
    pub status: String,
    /// Whether it runs; also while it is paused.
    pub running: bool,
    /// Whether it stands still.
    pub paused: bool,
    /// Whether its restart policy is about to start it.
    pub restarting: bool,
    /// Whether memory ran out.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Always false.
    pub dead: bool,
    /// 0 unless it runs.
    pub pid: i32,
    /// The last one.
    pub exit_code: i32,
    /// Why it did not start.
    pub error: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// How it is, if somebody looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Value>,
}

fn inspected_health(health: &Health) -> Value {
    let check = |check: &HealthResult| {
        json!({
            "Start": time(check.start_unix_ns),
            "End": time(check.end_unix_ns),
            "ExitCode": check.exit_code,
            "Output": check.output,
        })
    };
    json!({
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": health.checks.iter().map(check).collect::<Vec<_>>(),
    })
}

impl InspectedState {
    fn of(state: &State) -> Self {
        Self {
            status: state.status.name().to_owned(),
            running: state.status.is_alive(),
            paused: state.status == Status::Paused,
            restarting: state.status == Status::Restarting,
            oom_killed: state.oom_killed,
            dead: false,
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error.clone(),
            started_at: time(state.started_unix_ns),
            finished_at: time(state.finished_unix_ns),
            health: state.health.as_ref().map(inspected_health),
        }
    }
}

fn time(unix_ns: i64) -> String {
    if unix_ns == 0 {
        return NEVER.to_owned();
    }
    Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
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

/// Docker's word for a network.
pub(super) fn network_mode(network: graph::Network) -> &'static str {
    match network {
        graph::Network::Default => "default",
        graph::Network::Host => "host",
        graph::Network::None => "none",
    }
}

fn host_config(config: &Config) -> Value {
    let settings = &config.settings;
    let resources = &settings.resources;
    let nano_cpus = match (resources.cpu_quota_us, resources.cpu_period_us) {
        (Some(quota), None) => quota * NANO_CPUS_PER_US,
        _ => 0,
    };
    let pairs = |list: &[(String, String)]| -> Vec<String> {
        list.iter().map(|(name, value)| format!("{name}:{value}")).collect()
    };
    let ulimit = |limit: &graph::Ulimit| {
        let number = |limit: Option<u64>| limit.and_then(|limit| i64::try_from(limit).ok()).unwrap_or(-1);
        json!({"Name": limit.name, "Soft": number(limit.soft), "Hard": number(limit.hard)})
    };
    let swap = match resources.memory_swap {
        executor::Swap::Default => 0,
        executor::Swap::Unlimited => -1,
        executor::Swap::Bytes(bytes) => i64::try_from(bytes).unwrap_or(i64::MAX),
    };
    let lender =
        |(name, read_only): &(String, bool)| if *read_only { format!("{name}:ro") } else { name.clone() };
    let lenders: Vec<String> = settings.volumes_from.iter().map(lender).collect();
    let network_of = settings.sharing.network_mode();
    let sysctls: BTreeMap<_, _> = settings.privileges.sysctls.iter().cloned().collect();
    json!({
        "AutoRemove": settings.auto_remove,
        "Binds": null,
        "BlkioWeight": resources.block_weight.unwrap_or(0),
        "CapAdd": null_if_empty(&settings.privileges.cap_add),
        "CapDrop": null_if_empty(&settings.privileges.cap_drop),
        "CgroupParent": resources.parent,
        "CpuPeriod": resources.cpu_period_us.unwrap_or(0),
        "CpuQuota": if nano_cpus > 0 { 0 } else { resources.cpu_quota_us.unwrap_or(0) },
        "CpuShares": resources.cpu_shares.unwrap_or(0),
        "CpusetCpus": resources.cpuset_cpus,
        "CpusetMems": resources.cpuset_mems,
        "Init": settings.sharing.has_init,
        "IpcMode": settings.sharing.queues.to_string(),
        "Dns": settings.dns.servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "DnsOptions": settings.dns.options,
        "Devices": settings.devices.iter().map(device).collect::<Vec<_>>(),
        "DnsSearch": settings.dns.search,
        "ExtraHosts": null_if_empty(&pairs(&settings.surroundings.extra_hosts)),
        "GroupAdd": null_if_empty(&settings.groups),
        "LogConfig": log_config(config),
        "Memory": resources.memory_bytes.unwrap_or(0),
        "MemorySwap": swap,
        "NanoCpus": nano_cpus.min(PERIOD_US * NANO_CPUS_PER_US * 1024),
        "NetworkMode": network_of.or(network_names(config).first().map(ToString::to_string)),
        "PidMode": settings.sharing.processes.to_string(),
        "PidsLimit": resources.pids_max,
        "PortBindings": port_bindings(config),
        "Privileged": settings.privileges.grants == Grants::Everything,
        "ReadonlyRootfs": settings.privileges.is_root_read_only,
        "RestartPolicy": {
            "Name": settings.restart.name(),
            "MaximumRetryCount": settings.restart.retries(),
        },
        "SecurityOpt": null_if_empty(&settings.privileges.security_options()),
        "ShmSize": settings.surroundings.shm_size_bytes.unwrap_or(executor::SHM_SIZE_BYTES_DEFAULT),
        "Sysctls": sysctls,
        "Ulimits": settings.surroundings.ulimits.iter().map(ulimit).collect::<Vec<_>>(),
        "UTSMode": if settings.sharing.has_name_of_host { "host" } else { "" },
        "UsernsMode": if settings.sharing.has_users_of_host { "host" } else { "" },
        "VolumesFrom": null_if_empty(&lenders),
    })
}

fn null_if_empty(list: &[String]) -> Option<&[String]> {
    (!list.is_empty()).then_some(list)
}

fn device(device: &Device) -> Value {
    let Device { source, target } = device;
    json!({ "PathOnHost": source, "PathInContainer": target, "CgroupPermissions": super::device::PERMISSIONS })
}

fn log_config(config: &Config) -> Value {
    let limits = config.settings.log;
    if !limits.is_kept {
        return json!({"Type": "none", "Config": {}});
    }
    json!({
        "Type": "json-file",
        "Config": {"max-file": limits.files_max.to_string(), "max-size": limits.file_bytes_max.to_string()},
    })
}

fn portable_config(config: &Config) -> Value {
    let settings = &config.settings;
    let env: Vec<String> = config.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let set = |names: &[String]| -> BTreeMap<String, Value> {
        names.iter().map(|name| (name.clone(), json!({}))).collect()
    };
    let mut value = json!({
        "AttachStderr": !settings.tty,
        "AttachStdin": settings.open_stdin,
        "AttachStdout": true,
        "Cmd": null_if_empty(&config.command),
        "Domainname": "",
        "Entrypoint": null_if_empty(&config.entrypoint),
        "Env": env,
        "ExposedPorts": set(&config.exposed_ports),
        "Healthcheck": config.healthcheck,
        "Hostname": config.hostname,
        "Image": settings.image,
        "Labels": config.labels,
        "OnBuild": null,
        "OpenStdin": settings.open_stdin,
        "StdinOnce": settings.open_stdin,
        "StopSignal": config.stop_signal,
        "StopTimeout": settings.stop_timeout_s,
        "Tty": settings.tty,
        "User": config.user,
        "Volumes": if config.volumes.is_empty() { Value::Null } else { json!(set(&config.volumes)) },
        "WorkingDir": config.working_dir,
    });
    let unset = ["ExposedPorts", "Healthcheck", "StopSignal", "StopTimeout"];
    if let Value::Object(fields) = &mut value {
        fields.retain(|name, value| {
            let is_empty = value.is_null() || *value == json!({}) || *value == json!("");
            !(is_empty && unset.contains(&name.as_str()))
        });
    }
    value
}

/// The ports of the host that lead to a container that runs, by its own; null for those that are exposed only.
fn ports(container: &Container) -> Value {
    let Container { config, state } = container;
    let mut ports: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    if state.status.is_alive() {
        ports.extend(config.exposed_ports.iter().map(|port| (port.clone(), None)));
    }
    for port in &state.ports {
        let host = json!({"HostIp": port.host.ip().to_string(), "HostPort": port.host.port().to_string()});
        ports.entry(port.inside()).or_default().get_or_insert_default().push(host);
    }
    json!(ports)
}

/// `PortBindings`: what was asked for, and not what came of it.
fn port_bindings(config: &Config) -> Value {
    let mut bindings: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for request in &config.settings.networks.ports {
        let (first, last) = request.container;
        for port in first..=last {
            let host = match request.host {
                Some((from, to)) if first == last && from != to => format!("{from}-{to}"),
                Some((from, _)) => (from + (port - first)).to_string(),
                None => String::new(),
            };
            let address = request.address.map(|address| address.to_string()).unwrap_or_default();
            let binding = json!({"HostIp": address, "HostPort": host});
            bindings.entry(format!("{port}/{}", request.protocol.name())).or_default().push(binding);
        }
    }
    json!(bindings)
}

/// The networks that a container is to be in.
fn network_names(config: &Config) -> Vec<&str> {
    let own = config.settings.networks.networks.iter().map(|request| request.network.as_str());
    match own.collect::<Vec<_>>() {
        // It is in none itself.
        _ if config.settings.sharing.network_of.is_some() => Vec::new(),
        names if names.is_empty() => vec![network_mode(config.settings.network)],
        names => names,
    }
}

fn network_settings(container: &Container, places: &[Place]) -> Value {
    let Container { config, state } = container;
    let mut networks: BTreeMap<&str, Value> =
        network_names(config).into_iter().map(|name| (name, json!({}))).collect();
    for place in places {
        networks.insert(&place.network, in_network(place));
    }
    let key = match state.pid {
        0 => String::new(),
        pid => format!("/proc/{pid}/ns/net"),
    };
    json!({
        "Bridge": "",
        "Gateway": "",
        "IPAddress": "",
        "MacAddress": "",
        "Networks": networks,
        "Ports": ports(container),
        "SandboxID": "",
        "SandboxKey": key,
    })
}

fn in_network(place: &Place) -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": place.names,
        "MacAddress": place.mac,
        "NetworkID": place.network_id,
        "EndpointID": place.endpoint_id,
        "Gateway": place.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        "IPAddress": place.address.to_string(),
        "IPPrefixLen": place.prefix,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": place.names,
    })
}
