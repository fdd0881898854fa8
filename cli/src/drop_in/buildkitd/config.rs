//! BuildKit's file, `buildkitd.toml`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use engine::registries::{KeyPair, RegistrySettings};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::options::{self, Options, Space};
use crate::report::Report;

/// A table of the file, from which is taken what counts here.
struct Section<'a> {
    file: &'a Path,
    name: String,
    table: Table,
}

/// A certificate of ours.
#[derive(Deserialize)]
struct Pair {
    key: PathBuf,
    cert: PathBuf,
}

/// Adds what the file says.
pub(super) fn read(path: &Path, options: &mut Options) -> Result<(), Report> {
    let text = fs::read_to_string(path).map_err(|error| Report::file(path, &error))?;
    let table = text.parse::<Table>().map_err(|error| {
        Report::mistake(format!("`{}` is no TOML: {}", path.display(), error.to_string().trim_end()))
    })?;
    let mut file = Section { file: path, name: String::new(), table };
    options.debug |= file.take("debug")?.unwrap_or(false) | file.take("trace")?.unwrap_or(false);
    if let Some(root) = file.take::<String>("root")? {
        options.root = Some(options::absolute(&root)?);
    }
    if let Some(names) = file.take::<Vec<String>>("insecure-entitlements")? {
        options.entitlements = options::entitlements(names.iter().map(String::as_str))?;
    }
    grpc(file.section("grpc")?, options)?;
    let mut workers = file.section("worker")?;
    worker(workers.section("oci")?, options)?;
    if let Some(mut containerd) = workers.present("containerd")? {
        // That there is none is what is said here.
        if containerd.take("enabled")? != Some(false) {
            options.ignored.push(format!("`{}`", containerd.named("")));
        }
    }
    workers.ignored(options);
    let mut registries = file.section("registry")?;
    for name in registries.table.keys().cloned().collect::<Vec<_>>() {
        let settings = registry(registries.section(&name)?, options)?;
        options.registries.push((name, settings));
    }
    file.ignored(options);
    Ok(())
}

fn grpc(mut grpc: Section<'_>, options: &mut Options) -> Result<(), Report> {
    options.addresses = grpc.take("address")?.unwrap_or_default();
    options.socket_owner.uid = grpc.take("uid")?;
    options.socket_owner.gid = grpc.take("gid")?;
    let mut tls = grpc.section("tls")?;
    options.tls_certificate = tls.take("cert")?;
    options.tls_key = tls.take("key")?;
    options.tls_authority = tls.take("ca")?;
    tls.ignored(options);
    grpc.ignored(options);
    Ok(())
}

fn worker(mut worker: Section<'_>, options: &mut Options) -> Result<(), Report> {
    if worker.take("enabled")? == Some(false) {
        options.ignored.push(format!("`{}`", worker.named("enabled")));
    }
    // Whether it is root, and what file systems there are, is found out.
    let _: Option<Value> = worker.take("rootless")?;
    options.labels = worker.take::<BTreeMap<_, _>>("labels")?.unwrap_or_default();
    if let Some(names) = worker.take::<Vec<String>>("platforms")? {
        options.platforms = options::platforms(names.iter().map(String::as_str))?;
    }
    options.max_parallelism = worker.take("max-parallelism")?.and_then(std::num::NonZeroUsize::new);
    options.is_unlimited = worker.take("gc")? == Some(false);
    let older = worker.space("gckeepstorage")?;
    options.space = worker.spaces(older)?;
    let policies: Vec<Table> = worker.take("gcpolicy")?.unwrap_or_default();
    // The rules are ours. What the widest of theirs lets the cache have is what it may have.
    let count = policies.len();
    if let Some(table) = policies.into_iter().next_back() {
        let name = worker.named("gcpolicy");
        let mut policy = Section { file: worker.file, name, table };
        let _: Option<bool> = policy.take("all")?;
        let older = policy.space("keepBytes")?;
        options.space = policy.spaces(older)?;
        policy.ignored(options);
        if count > 1 {
            options.ignored.push(format!("`{}` but for the last one", worker.named("gcpolicy")));
        }
    }
    worker.ignored(options);
    Ok(())
}

fn registry(mut registry: Section<'_>, options: &mut Options) -> Result<RegistrySettings, Report> {
    let pairs: Vec<Pair> = registry.take("keypair")?.unwrap_or_default();
    let settings = RegistrySettings {
        mirrors: registry.take("mirrors")?.unwrap_or_default(),
        insecure: registry.take("insecure")?.unwrap_or_default(),
        http: registry.take("http")?.unwrap_or_default(),
        ca: registry.take("ca")?.unwrap_or_default(),
        keypair: pairs.into_iter().map(|Pair { key, cert }| KeyPair { key, cert }).collect(),
        token_hosts: Vec::new(),
    };
    registry.ignored(options);
    Ok(settings)
}

impl<'a> Section<'a> {
    /// The full name of a key, or that of the section.
    fn named(&self, key: &str) -> String {
        let parts = [self.name.as_str(), key];
        parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(".")
    }

    fn wrong(&self, key: &str, what: &str) -> Report {
        let what = what.trim_end();
        Report::mistake(format!("`{}` of `{}`: {what}", self.named(key), self.file.display()))
    }

    fn take<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>, Report> {
        let Some(value) = self.table.remove(key) else { return Ok(None) };
        value.try_into().map(Some).map_err(|error: toml::de::Error| self.wrong(key, error.message()))
    }

    /// A section of this one; without keys when there is none.
    fn section(&mut self, key: &str) -> Result<Section<'a>, Report> {
        let (file, name) = (self.file, self.named(key));
        Ok(self.present(key)?.unwrap_or(Section { file, name, table: Table::new() }))
    }

    fn present(&mut self, key: &str) -> Result<Option<Section<'a>>, Report> {
        let (file, name) = (self.file, self.named(key));
        Ok(self.take(key)?.map(|table| Section { file, name, table }))
    }

    /// A number of bytes, or a part of the disk.
    fn space(&mut self, key: &str) -> Result<Option<String>, Report> {
        match self.take::<Value>(key)? {
            None => Ok(None),
            Some(Value::Integer(bytes)) if bytes >= 0 => Ok((bytes > 0).then(|| bytes.to_string())),
            Some(Value::String(text)) if text.parse::<engine::space::Share>().is_ok() => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "expected a number of bytes (10GB) or a percentage (20%)")),
        }
    }

    /// What is reserved has an older name as well.
    fn spaces(&mut self, older: Option<String>) -> Result<Space, Report> {
        Ok(Space {
            reserved: self.space("reservedSpace")?.or(older),
            min_free: self.space("minFreeSpace")?,
            max_used: self.space("maxUsedSpace")?,
        })
    }

    /// Notes the keys that nobody took.
    fn ignored(&self, options: &mut Options) {
        options.ignored.extend(self.table.keys().map(|key| format!("`{}`", self.named(key))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Options, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut options = Options::default();
        let read = read(file.path(), &mut options);
        let path = file.path().display().to_string();
        read.map(|()| options).map_err(|report| report.text().replace(&path, "FILE"))
    }

    #[test]
    fn what_counts_is_taken_and_the_rest_is_named() {
        let text = r#"
            root = "/data"
            insecure-entitlements = ["security.insecure", "network.host", "device"]
            provenanceEnvDir = "/etc/p"
            [grpc]
            address = ["tcp://0.0.0.0:1234", "unix:///run/b.sock"]
            uid = 10
            debugAddress = "x"
            tls = { cert = "c", key = "k", ca = "a" }
            [worker.oci]
            max-parallelism = 4
            gckeepstorage = "10GB"
            platforms = ["linux/arm64"]
            networkMode = "host"
            [[worker.oci.gcpolicy]]
            keepBytes = 1
            filters = ["type==source.local"]
            [[worker.oci.gcpolicy]]
            all = true
            reservedSpace = "10%"
            maxUsedSpace = 5000
            [worker.containerd]
            enabled = false
            [registry."docker.io"]
            mirrors = ["localhost:5000"]
            keypair = [{ key = "k", cert = "c" }]
            tlsconfigdir = ["d"]
        "#;
        let options = of(text).unwrap();
        assert_eq!(
            options.ignored,
            [
                "`grpc.debugAddress`",
                "`worker.oci.gcpolicy` but for the last one",
                "`worker.oci.networkMode`",
                "`registry.docker.io.tlsconfigdir`",
                "`provenanceEnvDir`"
            ]
        );
        assert_eq!((options.entitlements.len(), options.socket_owner.uid), (3, Some(10)));
        assert_eq!(options.space.reserved.as_deref(), Some("10%"));
        assert_eq!(options.space.max_used.as_deref(), Some("5000"));
        assert_eq!(options.max_parallelism.map(usize::from), Some(4));
        assert_eq!(options.registries[0].1.keypair.len(), 1);
        assert_eq!(options.addresses.len(), 2);
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            ("debug = 3", "ERROR: `debug` of `FILE`: invalid type: integer `3`, expected a boolean\n"),
            (
                "worker.oci.maxUsedSpace = 'much'",
                "ERROR: `worker.oci.maxUsedSpace` of `FILE`: expected a number of bytes (10GB) or a percentage (20%)\n",
            ),
            (
                "insecure-entitlements = ['x']",
                "ERROR: unknown entitlement x, expected network.host, security.insecure or device[=NAME[,alias=ALIAS]]\n",
            ),
        ] {
            assert_eq!(of(text).unwrap_err(), expected);
        }
        assert!(of("[").unwrap_err().starts_with("ERROR: `FILE` is no TOML: "));
    }
}
