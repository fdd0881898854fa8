//! A store of its own for each test, and the archives that tests are made of.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cache::Store;
use engine::images::{ImageError, ImportOptions, Loaded, Source, import, load, save};
use image::{Digest, ImageId};
use serde_json::{Value, json};

pub(crate) const NO_PROGRESS: &(dyn Fn(&str, u64, Option<u64>) + Sync) = &|_, _, _| ();

/// 2023-11-14T22:13:20Z, of all files and images here.
pub(crate) const EPOCH: i64 = 1_700_000_000;

pub(crate) struct Fixture {
    pub(crate) store: Store,
    directory: tempfile::TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        Self { store, directory }
    }

    /// A path outside of the store.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// An image of these files, with a name.
    pub(crate) fn import(&self, name: &str, files: &[(&str, &str)], changes: &[&str]) -> ImageId {
        self.import_at(name, files, changes, EPOCH)
    }

    pub(crate) fn import_at(
        &self,
        name: &str,
        files: &[(&str, &str)],
        changes: &[&str],
        epoch: i64,
    ) -> ImageId {
        let options = ImportOptions {
            reference: (!name.is_empty()).then(|| name.parse().unwrap()),
            changes: changes.iter().map(ToString::to_string).collect(),
            source_date_epoch: Some(epoch),
            platform: Some("linux/amd64".parse().unwrap()),
            ..ImportOptions::default()
        };
        import(&self.store, &mut &tar_of(files)[..], &options, NO_PROGRESS).unwrap()
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Result<Vec<Loaded>, ImageError> {
        load(&self.store, Source::Stream(&mut &archive[..]), NO_PROGRESS)
    }

    pub(crate) fn save(&self, names: &[&str]) -> Vec<u8> {
        let mut to = Vec::new();
        save(&self.store, names, &mut to, NO_PROGRESS).unwrap();
        to
    }

    /// The store has no image, no tag and nothing that is not finished.
    pub(crate) fn assert_nothing_visible(&self) {
        assert_eq!(self.store.images().unwrap(), []);
        assert_eq!(self.store.tags().unwrap(), []);
        let staged = std::fs::read_dir(self.store.root().join("staging")).into_iter().flatten();
        for session in staged {
            let left: Vec<_> = std::fs::read_dir(session.unwrap().path()).unwrap().collect();
            assert!(left.iter().all(|entry| entry.as_ref().unwrap().file_name() == "lock"), "{left:?}");
        }
    }
}

/// A tar of directories (`name/`), symbolic links (`name` with text `-> target`) and files.
pub(crate) fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_mtime(EPOCH as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        if let Some(target) = text.strip_prefix("-> ") {
            header.set_entry_type(tar::EntryType::Symlink);
            tar.append_link(&mut header, name, target).unwrap();
        } else if name.ends_with('/') {
            header.set_mode(0o755);
            header.set_entry_type(tar::EntryType::Directory);
            tar.append_data(&mut header, name, &b""[..]).unwrap();
        } else {
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

/// A tar of members in memory, as an image archive is one. Names are written as they are, even unusable ones.
pub(crate) fn archive_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut tar = Vec::new();
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.as_ustar_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        tar.write_all(header.as_bytes()).unwrap();
        tar.write_all(bytes).unwrap();
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

/// A config with everything that Docker knows, for layers given as tars.
pub(crate) fn full_config(layers: &[Vec<u8>]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({
        "architecture": "amd64",
        "author": "somebody",
        "created": "2023-11-14T22:13:20.5Z",
        "docker_version": "20.10.7",
        "os": "linux",
        "config": {
            "User": "1000:50",
            "ExposedPorts": {"80/tcp": {}},
            "Env": ["PATH=/bin", "A=b"],
            "Entrypoint": ["/bin/app"],
            "Cmd": ["serve"],
            "Volumes": {"/data": {}},
            "WorkingDir": "/srv",
            "Labels": {"tier": "web", "empty": ""},
            "StopSignal": "SIGINT",
            "Shell": ["/bin/bash", "-c"],
            "OnBuild": ["RUN true"],
            "Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 30_000_000_000_u64, "Retries": 3}
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [
            {"created": "2023-11-14T22:13:18Z", "created_by": "COPY a /", "comment": "one"},
            {"created": "2023-11-14T22:13:19Z", "created_by": "ENV A=b", "empty_layer": true},
            {"created": "2023-11-14T22:13:20Z", "created_by": "COPY b /", "comment": "two"},
        ]
    })
}

pub(crate) fn two_layers() -> Vec<Vec<u8>> {
    vec![tar_of(&[("etc/", ""), ("etc/a", "hello\n")]), tar_of(&[("b", "four"), ("link", "-> etc/a")])]
}

/// Members of a Docker archive as old versions wrote it.
pub(crate) fn docker_members(config: &Value, layers: &[Vec<u8>], tags: &[&str]) -> Vec<(String, Vec<u8>)> {
    let config = serde_json::to_vec(config).unwrap();
    let config_name = format!("{}.json", Digest::of(&config).hex());
    let names: Vec<String> = (0..layers.len()).map(|number| format!("{number:064}/layer.tar")).collect();
    let manifest = json!([{"Config": config_name, "RepoTags": tags, "Layers": names}]);
    let mut members = vec![(config_name, config)];
    members.extend(names.into_iter().zip(layers.iter().cloned()));
    members.push(("manifest.json".to_owned(), serde_json::to_vec(&manifest).unwrap()));
    members
}

/// Members of an OCI layout of one image.
pub(crate) fn oci_members(config: &Value, layers: &[Vec<u8>], name: Option<&str>) -> Vec<(String, Vec<u8>)> {
    let blob = |bytes: &[u8]| (format!("blobs/sha256/{}", Digest::of(bytes).hex()), bytes.to_vec());
    let config = serde_json::to_vec(config).unwrap();
    let descriptor = |kind: &str, bytes: &[u8]| {
        json!({
            "mediaType": format!("application/vnd.oci.image.{kind}"),
            "digest": Digest::of(bytes).to_string(),
            "size": bytes.len(),
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("config.v1+json", &config),
        "layers": layers.iter().map(|layer| descriptor("layer.v1.tar", layer)).collect::<Vec<_>>(),
    });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    let mut in_index = descriptor("manifest.v1+json", &manifest);
    if let Some(name) = name {
        in_index["annotations"] = json!({"io.containerd.image.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [in_index]});
    let mut members = vec![blob(&config), blob(&manifest)];
    members.extend(layers.iter().map(|layer| blob(layer)));
    members.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    members.push(("index.json".to_owned(), serde_json::to_vec(&index).unwrap()));
    members
}

/// Runs another program and gives its output; its failure is the test's.
pub(crate) fn run(program: &str, arguments: &[&str], directory: &Path) -> String {
    let output =
        Command::new(program).args(arguments).current_dir(directory).output().unwrap_or_else(|error| {
            panic!("`{program}` is needed by this test (cargo xtask test installs it): {error}")
        });
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text
}
