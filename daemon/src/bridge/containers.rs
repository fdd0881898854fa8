//! Containers on results: `NewContainer`, `ExecProcess`, `ReleaseContainer`. Each is for one process, and does no more than a
//! step of its build may.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use engine::operations::{Network, Security};
use engine::{
    Attended, AttendedExit, AttendedMount, Engine, Entitlement, HOST_GATEWAY, Steering, Stream, TakeOutput,
};
use image::ImageId;
use tokio::sync::{mpsc, oneshot, watch};
use tonic::{Status, Streaming};

use super::BridgeResult;
use super::processes;
use super::solve::session;
use crate::Daemon;
use crate::builds::Build;
use crate::proto::bridge::{
    ExecMessage, InitMessage, NewContainerRequest, NewContainerResponse, ReleaseContainerRequest,
    ReleaseContainerResponse,
};
use crate::proto::pb::{Meta, Mount, MountType, NetMode, SecurityMode};
use crate::run;
use crate::session::output::receiving;
use crate::wire::Replies;

/// Containers of one build.
const CONTAINERS_MAX: usize = 64;
/// Mounts of one container.
const MOUNTS_MAX: usize = 1024;
/// Messages that wait for a client that is slower than its process.
pub(super) const MESSAGES_WAITING_MAX: usize = 16;
const ROOT: &str = "/";
/// What a process finds programs with that is not told where.
const PATH: (&str, &str) = ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
/// Permissions of a secret for which nothing else is said, as in BuildKit.
const SECRET_MODE: u32 = 0o400;

/// The containers of a build, by the names that the client gave them.
#[derive(Debug, Default)]
pub(crate) struct Containers(Mutex<HashMap<String, Arc<Container>>>);

impl fmt::Debug for Container {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Container").field("image", &self.image).finish_non_exhaustive()
    }
}

/// A container in which a process can be started.
pub(super) struct Container {
    engine: Engine,
    image: ImageId,
    /// Whose files it sees, which stay as long as it is there.
    #[allow(dead_code, reason = "they are held, not looked at")]
    results: Vec<Arc<BridgeResult>>,
    mounts: Vec<AttendedMount>,
    read_only_root: bool,
    network: Network,
    hostname: String,
    extra_hosts: Vec<(String, String)>,
    /// Whether it has its process.
    is_used: Mutex<bool>,
    released: watch::Sender<bool>,
}

impl Containers {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Container>>> {
        self.0.lock().expect("no holder of the lock panics")
    }

    fn get(&self, name: &str) -> Result<Arc<Container>, Status> {
        let found = self.lock().get(name).cloned();
        found.ok_or_else(|| Status::not_found(format!("no such container: {name}")))
    }

    /// Ends all of them.
    pub(super) fn clear(&self) {
        for (_, container) in self.lock().drain() {
            container.released.send_replace(true);
        }
    }
}

impl Container {
    /// Returns when the container is to end.
    pub(super) async fn released(&self) {
        // The sender lives as long as `self`.
        let _ = self.released.subscribe().wait_for(|released| *released).await;
    }

    pub(super) async fn attend(
        &self,
        process: Attended,
        stdin: std::os::fd::OwnedFd,
        output: TakeOutput,
    ) -> Result<AttendedExit, engine::BuildError> {
        self.engine.attend(process, stdin, output).await
    }
}

/// Whether the build may do this, which a container asks for.
fn check(daemon: &Daemon, build: &Build, entitlement: &Entitlement) -> Result<(), Status> {
    match run::entitlements(daemon, &build.about.entitlements)?.contains(entitlement) {
        true => Ok(()),
        false => Err(Status::permission_denied(format!("{entitlement} is not allowed"))),
    }
}

pub(super) async fn create(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: NewContainerRequest,
) -> Result<NewContainerResponse, Status> {
    let NewContainerRequest { container_id, mounts, network, extra_hosts, hostname, .. } = request;
    if mounts.len() > MOUNTS_MAX {
        return Err(Status::invalid_argument(format!("more than {MOUNTS_MAX} mounts of a container")));
    }
    let network = match NetMode::try_from(network) {
        Ok(NetMode::Unset) => Network::Default,
        Ok(NetMode::None) => Network::None,
        Ok(NetMode::Host) => {
            check(&daemon, &build, &Entitlement::NetworkHost)?;
            Network::Host
        }
        Err(_) => return Err(Status::invalid_argument(format!("unknown network mode {network}"))),
    };
    let extra_hosts = extra_hosts.into_iter().map(|it| match it.ip.parse::<IpAddr>() {
        Ok(_) if !it.host.is_empty() && !it.host.contains(char::is_whitespace) => Ok((it.host, it.ip)),
        _ if it.ip == HOST_GATEWAY => Ok((it.host, it.ip)),
        _ => Err(Status::invalid_argument(format!("invalid host `{}={}`, expected NAME=IP", it.host, it.ip))),
    });
    let extra_hosts = extra_hosts.collect::<Result<_, _>>()?;
    let no_root = || Status::invalid_argument("a container needs a result at `/`");
    let root = mounts.iter().find(|mount| mount.dest == ROOT && !mount.result_id.is_empty());
    let root = root.ok_or_else(no_root)?;
    let result = build.bridge.get(&root.result_id)?;
    let (engine, image) = result.image(&daemon, &build).await?;
    let (engine, mut results, mut mounted) = (engine.clone(), vec![result.clone()], Vec::new());
    for mount in mounts.iter().filter(|mount| !std::ptr::eq(*mount, root)) {
        mounted.extend(mounting(&daemon, &build, mount, &mut results).await?);
    }
    let container = Container {
        engine,
        image,
        results,
        mounts: mounted,
        read_only_root: root.readonly,
        network,
        hostname,
        extra_hosts,
        is_used: Mutex::default(),
        released: watch::channel(false).0,
    };
    let mut containers = build.bridge.containers.lock();
    if containers.len() >= CONTAINERS_MAX {
        return Err(Status::resource_exhausted(format!(
            "more than {CONTAINERS_MAX} containers in one build"
        )));
    }
    if container_id.is_empty() || containers.contains_key(&container_id) {
        return Err(Status::already_exists(format!("the container `{container_id}` is there already")));
    }
    containers.insert(container_id, Arc::new(container));
    Ok(NewContainerResponse {})
}

/// What a container sees beside its root; nothing of a secret that the client does not have and that need not be there.
async fn mounting(
    daemon: &Daemon,
    build: &Build,
    mount: &Mount,
    results: &mut Vec<Arc<BridgeResult>>,
) -> Result<Option<AttendedMount>, Status> {
    let (target, read_only) = (mount.dest.clone(), mount.readonly);
    let is_plain = target.starts_with('/') && !target.contains('\0') && !mount.selector.contains('\0');
    if !is_plain {
        return Err(Status::invalid_argument(format!("invalid place of a mount: `{target}`")));
    }
    match MountType::try_from(mount.mount_type) {
        Ok(MountType::Bind) if mount.result_id.is_empty() => {
            Ok(Some(AttendedMount::Tmpfs { target, size_bytes: None, read_only }))
        }
        Ok(MountType::Bind) => {
            let result = build.bridge.get(&mount.result_id)?;
            // Another engine may have built it, whose lease is held with the result.
            let (_, image) = result.image(daemon, build).await?;
            results.push(result.clone());
            let subpath = mount.selector.clone();
            Ok(Some(AttendedMount::Image { image, subpath, target, read_only }))
        }
        Ok(MountType::Tmpfs) => {
            let size = mount.tmpfs_opt.as_ref().and_then(|options| u64::try_from(options.size).ok());
            let size_bytes = size.filter(|bytes| *bytes > 0);
            Ok(Some(AttendedMount::Tmpfs { target, size_bytes, read_only }))
        }
        Ok(MountType::Secret) => {
            let options = mount.secret_opt.clone().unwrap_or_default();
            let secret = secret(daemon, build, &options.id, options.optional).await?;
            let mode = if options.mode == 0 { SECRET_MODE } else { options.mode };
            let owner = (options.uid, options.gid);
            Ok(secret.map(|secret| AttendedMount::Secret { secret, target, mode, owner }))
        }
        Ok(kind @ (MountType::Cache | MountType::Ssh)) => Err(Status::unimplemented(format!(
            "a container of the gateway has no mounts of the kind {}",
            kind.as_str_name()
        ))),
        Err(_) => Err(Status::invalid_argument(format!("unknown kind of mount {}", mount.mount_type))),
    }
}

async fn secret(
    daemon: &Daemon,
    build: &Build,
    id: &str,
    is_optional: bool,
) -> Result<Option<engine::Secret>, Status> {
    let mut found = match session(daemon, build).await {
        Some(session) => session.secrets(&[id.to_owned()]).await?,
        None => engine::Secrets::new(),
    };
    match found.remove(id) {
        None if !is_optional => Err(Status::not_found(format!("secret {id} not found"))),
        found => Ok(found),
    }
}

pub(super) async fn release(
    build: Arc<Build>,
    request: ReleaseContainerRequest,
) -> Result<ReleaseContainerResponse, Status> {
    let name = request.container_id;
    let removed = build.bridge.containers.lock().remove(&name);
    let removed = removed.ok_or_else(|| Status::not_found(format!("no such container: {name}")))?;
    removed.released.send_replace(true);
    Ok(ReleaseContainerResponse {})
}

/// Runs processes until the client has no more of them: what it says is to be given to the first value, and the second is
/// what it is told.
pub(super) fn execute(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
) -> (oneshot::Sender<Streaming<ExecMessage>>, Replies<ExecMessage>) {
    let (tell, told) = mpsc::channel(MESSAGES_WAITING_MAX);
    let (begin, begun) = oneshot::channel();
    tokio::task::spawn_local(async move {
        if let Ok(arriving) = begun.await {
            processes::serve(daemon, build, arriving, tell).await;
        }
    });
    (begin, Box::pin(receiving(told)))
}

/// The container that a process is for, and the process.
pub(super) async fn prepare(
    daemon: &Daemon,
    build: &Build,
    init: InitMessage,
    steering: &Steering,
) -> Result<(Arc<Container>, Attended), Status> {
    let container = build.bridge.containers.get(&init.container_id)?;
    if init.tty {
        return Err(Status::unimplemented("a process in a container of the gateway has no terminal"));
    }
    if let Some(fd) = init.fds.iter().find(|fd| **fd > 2) {
        return Err(Status::unimplemented(format!("a process has the descriptors 0, 1 and 2, and no {fd}")));
    }
    let security = match SecurityMode::try_from(init.security) {
        Ok(SecurityMode::Sandbox) => Security::Sandbox,
        Ok(SecurityMode::Insecure) => {
            check(daemon, build, &Entitlement::SecurityInsecure)?;
            Security::Insecure
        }
        Err(_) => return Err(Status::invalid_argument(format!("unknown security mode {}", init.security))),
    };
    let no_command = || Status::invalid_argument("a process needs a command");
    let meta = init.meta.filter(|meta| !meta.args.is_empty()).ok_or_else(no_command)?;
    let mut env = environment(&meta)?;
    for wanted in &init.secretenv {
        if let Some(secret) = secret(daemon, build, &wanted.id, wanted.optional).await? {
            let text = String::from_utf8(secret.bytes().to_vec());
            let wrong = |_| Status::invalid_argument(format!("secret {} is no text", wanted.id));
            env.push((wanted.name.clone(), text.map_err(wrong)?));
        }
    }
    {
        let mut is_used = container.is_used.lock().expect("no holder of the lock panics");
        if *is_used {
            return Err(Status::unimplemented("a container of the gateway is for one process"));
        }
        *is_used = true;
    }
    let name = meta.args.join(" ");
    let hostname = if meta.hostname.is_empty() { container.hostname.clone() } else { meta.hostname };
    let process = Attended {
        env,
        cwd: if meta.cwd.is_empty() { ROOT.to_owned() } else { meta.cwd },
        user: meta.user,
        network: container.network,
        hostname,
        extra_hosts: container.extra_hosts.clone(),
        security,
        read_only_root: container.read_only_root,
        mounts: container.mounts.clone(),
        steering: steering.clone(),
        ..Attended::new(name, container.image, meta.args)
    };
    Ok((container, process))
}

fn environment(meta: &Meta) -> Result<Vec<(String, String)>, Status> {
    let pair = |text: &String| {
        let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
        // The text may be the value of a secret.
        let (name, value) = pair.ok_or_else(|| Status::invalid_argument("a variable is NAME=VALUE"))?;
        Ok((name.to_owned(), value.to_owned()))
    };
    let mut env = meta.env.iter().map(pair).collect::<Result<Vec<_>, Status>>()?;
    if !env.iter().any(|(name, _)| name == PATH.0) {
        env.push((PATH.0.to_owned(), PATH.1.to_owned()));
    }
    Ok(env)
}

/// The number of a stream as messages have it.
pub(super) fn descriptor(stream: Stream) -> u32 {
    match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    }
}
