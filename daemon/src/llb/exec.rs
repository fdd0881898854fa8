//! Processes.

use std::net::IpAddr;

use engine::HOST_GATEWAY;
use engine::operations::{
    Device, Kept, KeptMount, Mount, Network, Op, Run, SecretEnv, Security, Surroundings, Ulimit, VertexId,
};

use super::LlbError;
use super::lower::{Lowering, out_of_range, unsupported, wrong};
use super::mounts;
use super::read::Operation;
use crate::proto::pb::{self, ExecOp, Meta, MountType, NetMode, SecurityMode};

/// Mounts of one process.
const MOUNTS_MAX: usize = 1024;
const ROOT: &str = "/";
/// What a process finds programs with that is not told where.
const PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// The vertex of one output of a process: of its root, or of a mount.
pub(super) fn lower(
    lowering: &mut Lowering,
    operation: &Operation,
    exec: &ExecOp,
    output: i64,
) -> Result<VertexId, LlbError> {
    if exec.mounts.len() > MOUNTS_MAX {
        return Err(LlbError::TooMany { what: "mounts of one process", max: MOUNTS_MAX });
    }
    let missing = |what| LlbError::Missing { operation: operation.digest.clone(), what };
    let meta = exec.meta.as_ref().filter(|meta| !meta.args.is_empty()).ok_or_else(|| missing("command"))?;
    let is_it = |mount: &&pb::Mount| mount.output == output && output >= 0;
    let no_output = || out_of_range(&operation.digest, "output", output);
    let kept = exec.mounts.iter().find(is_it).ok_or_else(no_output)?;
    let root = exec.mounts.iter().find(|mount| mount.dest == ROOT).ok_or_else(|| missing("root"))?;
    check_root(operation, root)?;
    let mut run = command(lowering, operation, exec, meta)?;
    let root_vertex = lowering.input_layers(operation, root.input)?;
    let mut inputs = vec![root_vertex];
    run.read_only_root = root.readonly;
    if kept.dest != ROOT {
        let path = mounts::path(operation, "selector", &kept.selector)?;
        let target = mounts::target(operation, &kept.dest)?;
        inputs = vec![lowering.input_layers(operation, kept.input)?, root_vertex];
        run.kept = Kept::Mount(Box::new(KeptMount { root: 1, target, path }));
    }
    let others = exec.mounts.iter().filter(|mount| mount.dest != ROOT && !std::ptr::eq(*mount, kept));
    let mut mounted: Vec<Mount> = Vec::new();
    for mount in others {
        mounted.push(mounts::lower(lowering, operation, mount, &mut inputs)?);
    }
    run.mounts = mounted;
    Ok(lowering.add(Op::Run(run), inputs))
}

fn check_root(operation: &Operation, root: &pb::Mount) -> Result<(), LlbError> {
    if MountType::try_from(root.mount_type) != Ok(MountType::Bind) {
        return Err(unsupported(operation, "kind of root", mounts::kind_name(root)));
    }
    match root.selector.as_str() {
        "" | ROOT => Ok(()),
        selector => Err(unsupported(operation, "root in a directory of an input", selector)),
    }
}

fn command(
    lowering: &mut Lowering,
    operation: &Operation,
    exec: &ExecOp,
    meta: &Meta,
) -> Result<Run, LlbError> {
    if !meta.cgroup_parent.is_empty() {
        let parent = &mut lowering.out.cgroup_parent;
        if parent.as_ref().is_some_and(|known| *known != meta.cgroup_parent) {
            return Err(unsupported(operation, "second control group", &meta.cgroup_parent));
        }
        *parent = Some(meta.cgroup_parent.clone());
    }
    let code = |code: &i32| {
        u8::try_from(*code).map_err(|_| wrong(operation, "exit code", &code.to_string(), "0 to 255"))
    };
    let cwd = if meta.cwd.is_empty() { ROOT } else { &meta.cwd };
    let devices =
        exec.cdi_devices.iter().map(|it| Device { name: it.name.clone(), required: !it.optional }).collect();
    Ok(Run {
        argv: meta.args.clone(),
        env: environment(operation, meta)?,
        proxy_env: proxies(meta.proxy_env.as_ref()),
        cwd: mounts::path(operation, "working directory", cwd)?,
        user: meta.user.clone(),
        network: match NetMode::try_from(exec.network) {
            Ok(NetMode::Unset) => Network::Default,
            Ok(NetMode::Host) => Network::Host,
            Ok(NetMode::None) => Network::None,
            Err(_) => return Err(unsupported(operation, "network mode", &exec.network.to_string())),
        },
        security: match SecurityMode::try_from(exec.security) {
            Ok(SecurityMode::Sandbox) => Security::Sandbox,
            Ok(SecurityMode::Insecure) => Security::Insecure,
            Err(_) => return Err(unsupported(operation, "security mode", &exec.security.to_string())),
        },
        secret_env: exec.secretenv.iter().map(secret).collect(),
        devices,
        hostname: Some(meta.hostname.clone()).filter(|name| !name.is_empty()),
        surroundings: surroundings(operation, meta)?,
        exit_codes: meta.valid_exit_codes.iter().map(code).collect::<Result<_, _>>()?,
        ..Run::default()
    })
}

fn secret(secret: &pb::SecretEnv) -> SecretEnv {
    SecretEnv { name: secret.name.clone(), id: secret.id.clone(), required: !secret.optional }
}

fn environment(operation: &Operation, meta: &Meta) -> Result<Vec<(String, String)>, LlbError> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            // The text may be the value of a secret.
            wrong(operation, "variable", "(hidden)", "NAME=VALUE")
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let mut env = meta.env.iter().map(pair).collect::<Result<Vec<_>, LlbError>>()?;
    if !env.iter().any(|(name, _)| name == PATH.0) {
        env.push((PATH.0.to_owned(), PATH.1.to_owned()));
    }
    Ok(env)
}

/// Programs look for either way to write them.
fn proxies(proxies: Option<&pb::ProxyEnv>) -> Vec<(String, String)> {
    let Some(pb::ProxyEnv { http_proxy, https_proxy, ftp_proxy, no_proxy, all_proxy }) = proxies else {
        return Vec::new();
    };
    let all = [
        ("HTTP_PROXY", http_proxy),
        ("HTTPS_PROXY", https_proxy),
        ("FTP_PROXY", ftp_proxy),
        ("NO_PROXY", no_proxy),
        ("ALL_PROXY", all_proxy),
    ];
    let given = all.into_iter().filter(|(_, value)| !value.is_empty());
    given
        .flat_map(|(name, value)| [(name.to_owned(), value.clone()), (name.to_lowercase(), value.clone())])
        .collect()
}

fn surroundings(operation: &Operation, meta: &Meta) -> Result<Surroundings, LlbError> {
    let host = |it: &pb::HostIp| {
        let is_address = it.ip == HOST_GATEWAY || it.ip.parse::<IpAddr>().is_ok();
        match is_address && !it.host.is_empty() && !it.host.contains(char::is_whitespace) {
            true => Ok((it.host.clone(), it.ip.clone())),
            false => Err(wrong(operation, "host", &format!("{}={}", it.host, it.ip), "NAME=IP")),
        }
    };
    let limit = |it: &pb::Ulimit| {
        let number = |value: i64| if value == -1 { Some(None) } else { u64::try_from(value).ok().map(Some) };
        let limits = number(it.soft).zip(number(it.hard));
        let (soft, hard) = limits
            .filter(|(soft, hard)| soft.unwrap_or(u64::MAX) <= hard.unwrap_or(u64::MAX))
            .ok_or_else(|| {
                wrong(
                    operation,
                    &format!("ulimit {}", it.name),
                    &format!("{}:{}", it.soft, it.hard),
                    "SOFT:HARD",
                )
            })?;
        Ok(Ulimit { name: it.name.clone(), soft, hard })
    };
    Ok(Surroundings {
        extra_hosts: meta.extra_hosts.iter().map(host).collect::<Result<_, LlbError>>()?,
        shm_size_bytes: None,
        ulimits: meta.ulimit.iter().map(limit).collect::<Result<_, LlbError>>()?,
    })
}
