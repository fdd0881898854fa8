//! `HostConfig`: what was asked for that belongs to this machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::network::network_names;
use super::null_if_empty;
use crate::containers::{Config, Device, LogMode, device};
use crate::run::Grants;

/// Nanoseconds per microsecond of processor time, and microseconds of Docker's period.
const NANO_CPUS_PER_US: u64 = 10_000;
const PERIOD_US: u64 = 100_000;

pub(super) fn host_config(config: &Config) -> Value {
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
        "Devices": settings.devices.iter().map(inspected_device).collect::<Vec<_>>(),
        "DnsSearch": settings.dns.search,
        "ExtraHosts": null_if_empty(&pairs(&settings.surroundings.extra_hosts)),
        "GroupAdd": null_if_empty(&settings.groups),
        "LogConfig": log_config(config),
        "Memory": resources.memory_bytes.unwrap_or(0),
        "MemoryReservation": resources.memory_reserved_bytes.unwrap_or(0),
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

fn inspected_device(device: &Device) -> Value {
    let Device { source, target } = device;
    json!({ "PathOnHost": source, "PathInContainer": target, "CgroupPermissions": device::PERMISSIONS })
}

fn log_config(config: &Config) -> Value {
    let limits = config.settings.log;
    if !limits.is_kept {
        return json!({"Type": "none", "Config": {}});
    }
    let (files, bytes) = (limits.files_max.to_string(), limits.file_bytes_max.to_string());
    let mut options = json!({"max-file": files, "max-size": bytes});
    if limits.mode != LogMode::default() {
        options["mode"] = json!(limits.mode);
    }
    json!({"Type": "json-file", "Config": options})
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
