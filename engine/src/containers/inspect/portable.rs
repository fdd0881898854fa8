//! `Config`: what would be the same on another machine.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::null_if_empty;
use crate::containers::Config;

pub(super) fn portable_config(config: &Config) -> Value {
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
