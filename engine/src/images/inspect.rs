//! Everything about an image, in the words of `docker image inspect`.

use std::collections::BTreeMap;

use cache::{Store, StoredImage};
use image::{Healthcheck, ImageConfig, ImageId, RunConfig};
use serde::Serialize;
use serde_json::Value;

use super::config::read_config;
use super::find::references_of;
use super::{ImageError, find, stored};

/// Go's zero time, which Docker shows for an image that was never tagged here.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// An image with the fields, the order and the nulls of Docker's API, version 1.47.
///
/// It is written here and not in a front end because it is the output of a command of ours, and because
/// scripts know it by these names.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Inspection {
    /// Digest of the config.
    pub id: ImageId,
    /// Names with a tag.
    pub repo_tags: Vec<String>,
    /// Names with a digest.
    pub repo_digests: Vec<String>,
    /// Always empty: images here have no parents.
    pub parent: String,
    /// Of the image, or else of the newest step of its history.
    pub comment: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Version of the Docker that made it, if one did.
    pub docker_version: String,
    /// `MAINTAINER`.
    pub author: String,
    /// What containers run with.
    pub config: ContainerConfig,
    /// Architecture by its Go name.
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Operating system.
    pub os: String,
    /// The files of all its layers together, bytes.
    pub size: u64,
    /// Where the layers are.
    pub graph_driver: GraphDriver,
    /// The layers by their digests.
    #[serde(rename = "RootFS")]
    pub root_fs: RootFs,
    /// What is known of it only here.
    pub metadata: Metadata,
}

/// `Config` as Docker shows it: every key that a container's config has, unset ones included.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    hostname: String,
    domainname: String,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: BTreeMap<String, Value>,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Healthcheck>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    args_escaped: bool,
    image: String,
    volumes: Option<BTreeMap<String, Value>>,
    working_dir: String,
    entrypoint: Option<Vec<String>>,
    on_build: Option<Vec<String>>,
    labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    stop_signal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shell: Option<Vec<String>>,
}

/// `GraphDriver`: where the layers of the image are on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GraphDriver {
    /// `LowerDir` (highest first, separated by colons) and `UpperDir` as overlayfs(5) takes them, and the
    /// `WorkDir` and `MergedDir` that Docker names beside them; null for an image without layers.
    pub data: Option<BTreeMap<String, String>>,
    /// Always `overlay2`: layers are directories for overlayfs, as with Docker's driver of that name.
    pub name: String,
}

/// `RootFS`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "Type")]
    pub kind: String,
    /// Diff ids, lowest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub layers: Vec<String>,
}

/// `Metadata`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Metadata {
    /// RFC 3339.
    pub last_tag_time: String,
}

/// Everything about the image of this name or id.
///
/// # Errors
///
/// Those of [`find`], and [`ImageError::Damaged`].
pub fn inspect(store: &Store, name: &str) -> Result<Inspection, ImageError> {
    let id = find(store, name)?;
    let image = stored(store, &id)?;
    let config = read_config(store, &id)?;
    let references = references_of(store, &id)?;
    let (tagged, by_digest): (Vec<_>, Vec<_>) =
        references.iter().partition(|reference| reference.digest().is_none());
    let graph_driver = graph_driver(store, &image)?;
    Ok(Inspection {
        id,
        repo_tags: tagged.iter().map(|reference| reference.familiar()).collect(),
        repo_digests: by_digest.iter().map(|reference| reference.familiar()).collect(),
        parent: String::new(),
        comment: comment(&config),
        docker_version: text_field(&config, "docker_version"),
        author: config.author,
        config: container_config(config.config),
        architecture: config.architecture,
        variant: config.variant,
        os: config.os,
        created: config.created,
        size: image.size_bytes,
        graph_driver,
        root_fs: RootFs {
            kind: config.rootfs.kind,
            layers: config.rootfs.diff_ids.iter().map(ToString::to_string).collect(),
        },
        metadata: Metadata { last_tag_time: NEVER.to_owned() },
    })
}

fn comment(config: &ImageConfig) -> String {
    let own = text_field(config, "comment");
    match config.history.last() {
        Some(newest) if own.is_empty() => newest.comment.clone(),
        _ => own,
    }
}

/// A field of Docker's that the OCI image specification does not have.
fn text_field(config: &ImageConfig, name: &str) -> String {
    config.extra.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn container_config(config: RunConfig) -> ContainerConfig {
    let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
    ContainerConfig {
        hostname: String::new(),
        domainname: String::new(),
        user: config.user,
        attach_stdin: false,
        attach_stdout: false,
        attach_stderr: false,
        exposed_ports: config.exposed_ports,
        tty: false,
        open_stdin: false,
        stdin_once: false,
        env: some(config.env),
        cmd: config.cmd,
        healthcheck: config.healthcheck,
        args_escaped: config.args_escaped,
        image: String::new(),
        volumes: (!config.volumes.is_empty()).then_some(config.volumes),
        working_dir: config.working_dir,
        entrypoint: config.entrypoint,
        on_build: some(config.on_build),
        labels: (!config.labels.is_empty()).then_some(config.labels),
        stop_signal: config.stop_signal,
        shell: config.shell,
    }
}

fn graph_driver(store: &Store, image: &StoredImage) -> Result<GraphDriver, ImageError> {
    let lowers = store.lower_paths(&image.layers)?;
    let name = "overlay2".to_owned();
    let Some((upper, lowers)) = lowers.split_first() else { return Ok(GraphDriver { data: None, name }) };
    let beside = |name: &str| upper.with_file_name(name).display().to_string();
    let mut data = BTreeMap::from([
        ("MergedDir".to_owned(), beside("merged")),
        ("UpperDir".to_owned(), upper.display().to_string()),
        ("WorkDir".to_owned(), beside("work")),
    ]);
    if !lowers.is_empty() {
        let lowers: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
        data.insert("LowerDir".to_owned(), lowers.join(":"));
    }
    Ok(GraphDriver { data: Some(data), name })
}
