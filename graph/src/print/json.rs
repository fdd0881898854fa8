//! Graphs for programs.

use serde_json::{Map, Value, json};

use crate::{
    BuildGraph, CopyRules, Device, FileAction, GitSource, HttpSource, Kept, KeptMount, Mount, MountSource,
    Op, Run, SecretEnv, Surroundings, Ulimit, Vertex, VertexId, redacted,
};

pub(super) fn render(graph: &BuildGraph, target: VertexId) -> String {
    let vertices: Vec<Value> = graph.vertices().map(|(id, vertex)| one(id, vertex)).collect();
    let value = json!({ "target": target.index(), "vertices": vertices });
    format!("{value:#}")
}

fn one(id: VertexId, vertex: &Vertex) -> Value {
    let Vertex { op, inputs, label, no_cache } = vertex;
    let mut fields = Map::new();
    fields.insert("id".to_owned(), json!(id.index()));
    fields.insert("digest".to_owned(), json!(op.digest().0.to_string()));
    fields.insert("name".to_owned(), json!(label.name));
    fields.insert("inputs".to_owned(), inputs.iter().map(|input| json!(input.index())).collect());
    fields.insert("op".to_owned(), operation(op));
    if !label.stage.is_empty() {
        fields.insert("stage".to_owned(), json!(label.stage));
    }
    if let Some(location) = &label.location {
        fields.insert("line".to_owned(), json!(location.line));
    }
    if *no_cache {
        fields.insert("noCache".to_owned(), json!(true));
    }
    Value::Object(fields)
}

fn operation(op: &Op) -> Value {
    match op {
        Op::Scratch => json!({ "type": "scratch" }),
        Op::Image(source) => json!({
            "type": "image",
            "reference": source.reference.to_string(),
            "platform": source.platform.to_string(),
        }),
        Op::Context(source) => json!({ "type": "context", "name": source.name }),
        Op::Http(source) => http(source),
        Op::Git(source) => git(source),
        Op::Run(run) => process(run),
        Op::File(file) => {
            json!({ "type": "file", "actions": file.actions.iter().map(action).collect::<Vec<_>>() })
        }
    }
}

fn http(source: &HttpSource) -> Value {
    let HttpSource { url, checksum, filename, mode, owner } = source;
    json!({
        "type": "http",
        "url": redacted(url),
        "checksum": checksum.map(|checksum| checksum.to_string()),
        "filename": filename,
        "mode": mode.map(octal),
        "owner": owner.map(|(uid, gid)| format!("{uid}:{gid}")),
    })
}

fn git(source: &GitSource) -> Value {
    let GitSource {
        remote,
        reference,
        checksum,
        subdirectory,
        keep_git_dir,
        submodules,
        fetch_by_commit,
        times,
    } = source;
    json!({
        "type": "git",
        "remote": redacted(remote),
        "reference": reference,
        "checksum": checksum,
        "subdirectory": subdirectory,
        "keepGitDir": keep_git_dir,
        "submodules": submodules,
        "fetchByCommit": fetch_by_commit,
        "times": times.name(),
    })
}

fn process(run: &Run) -> Value {
    let env: Vec<String> = run.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let Surroundings { extra_hosts: hosts, shm_size_bytes, ulimits } = &run.surroundings;
    json!({
        "type": "run",
        "argv": run.argv,
        "env": env,
        "buildArgs": run.build_args,
        "cwd": run.cwd,
        "user": run.user,
        "network": run.network.name(),
        "security": run.security.name(),
        "mounts": run.mounts.iter().map(mount).collect::<Vec<_>>(),
        "devices": run.devices.iter().map(device).collect::<Vec<_>>(),
        "secretEnv": run.secret_env.iter().map(secret_env).collect::<Vec<_>>(),
        "hostname": run.hostname,
        "extraHosts": hosts.iter().map(|(name, address)| format!("{name}={address}")).collect::<Vec<_>>(),
        "shmSizeBytes": shm_size_bytes,
        "ulimits": ulimits.iter().map(Ulimit::written).collect::<Vec<_>>(),
    })
    .with("exitCodes", (!run.exit_codes.is_empty()).then(|| json!(run.exit_codes)))
    .with("readOnlyRoot", run.read_only_root.then_some(Value::Bool(true)))
    .with("keptMount", kept(&run.kept))
}

fn device(device: &Device) -> Value {
    let Device { name, required } = device;
    json!({ "name": name, "required": required })
}

fn secret_env(secret: &SecretEnv) -> Value {
    let SecretEnv { name, id, required } = secret;
    json!({ "name": name, "id": id, "required": required })
}

fn mount(mount: &Mount) -> Value {
    let target = &mount.target;
    match &mount.source {
        MountSource::Input { input, path, read_only } => json!({
            "type": "bind", "target": target, "input": input, "path": path, "readOnly": read_only,
        }),
        MountSource::Tmpfs { size_bytes, read_only } => json!({
            "type": "tmpfs", "target": target, "sizeBytes": size_bytes, "readOnly": read_only,
        }),
        MountSource::Cache { id, base, path, sharing, uid, gid, mode, read_only } => json!({
            "type": "cache", "target": target, "id": id, "path": path, "sharing": sharing.name(), "uid": uid, "gid": gid,
            "mode": mode.map(octal), "readOnly": read_only,
            "base": base.as_ref().map(|base| json!({ "input": base.input, "path": base.path })),
        }),
        MountSource::Secret { id, owner, mode, required } => json!({
            "type": "secret", "target": target, "id": id, "uid": owner.0, "gid": owner.1,
            "mode": octal(*mode), "required": required,
        }),
        MountSource::Agent { id, owner, mode, required } => json!({
            "type": "ssh", "target": target, "id": id, "uid": owner.0, "gid": owner.1,
            "mode": octal(*mode), "required": required,
        }),
    }
}

fn action(action: &FileAction) -> Value {
    match action {
        FileAction::Copy(copy) => json!({
            "type": "copy", "input": copy.input, "sources": copy.sources, "destination": copy.destination,
            "owner": copy.owner, "mode": copy.mode, "exclude": copy.exclude, "parents": copy.parents,
            "link": copy.link, "unpack": copy.unpack,
        })
        .with("rules", rules(&copy.rules)),
        FileAction::MakeDirectory(make) => json!({
            "type": "makeDirectory", "path": make.path, "mode": octal(make.mode), "owner": make.owner,
        }),
        FileAction::MakeFile(make) => json!({
            "type": "makeFile", "path": make.path, "mode": octal(make.mode), "owner": make.owner,
            "sizeBytes": make.content.len(), "content": String::from_utf8(make.content.clone()).ok(),
        }),
        FileAction::MakeSymlink(make) => json!({
            "type": "makeSymlink", "path": make.path, "target": make.target, "owner": make.owner,
        }),
        FileAction::Remove(remove) => json!({
            "type": "remove", "path": remove.path, "pattern": remove.is_pattern,
            "mayBeMissing": remove.may_be_missing,
        }),
        FileAction::Change(change) => json!({ "type": "change", "from": change.from, "to": change.to }),
        FileAction::Expect(path) => json!({ "type": "expect", "path": path }),
    }
}

/// Nothing where a copy does what instructions do.
fn rules(rules: &CopyRules) -> Option<Value> {
    let CopyRules { keep_directory, keep_symlink, include, replace, must_match, mtime_ns } = rules;
    (*rules != CopyRules::default()).then(|| {
        json!({
            "keepDirectory": keep_directory, "keepSymlink": keep_symlink, "include": include,
            "replace": replace, "mustMatch": must_match, "mtimeNs": mtime_ns,
        })
    })
}

fn kept(kept: &Kept) -> Option<Value> {
    match kept {
        Kept::Root => None,
        Kept::Mount(mount) => {
            let KeptMount { root, target, path } = &**mount;
            Some(json!({ "root": root, "target": target, "path": path }))
        }
    }
}

/// Fields that few values have.
trait With {
    fn with(self, name: &str, value: Option<Value>) -> Self;
}

impl With for Value {
    fn with(mut self, name: &str, value: Option<Value>) -> Self {
        if let (Some(fields), Some(value)) = (self.as_object_mut(), value) {
            fields.insert(name.to_owned(), value);
        }
        self
    }
}

fn octal(mode: u32) -> String {
    format!("{mode:o}")
}
