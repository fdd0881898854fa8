use image::Digest;

use super::OpDigest;
use crate::{
    CacheBase, CacheSharing, Copy, Device, File, FileAction, GitSource, GitTimes, HttpSource, Kept,
    KeptMount, MakeDirectory, MakeFile, Mount, MountSource, Network, Op, Run, SecretEnv, Security, Ulimit,
};

fn run() -> Run {
    Run {
        argv: vec!["/bin/sh".into(), "-c".into(), "make".into()],
        env: vec![("A".into(), "1".into())],
        cwd: "/".into(),
        ..Run::default()
    }
}

/// Applies each change to a fresh copy and returns the digests, the unchanged one first.
fn digests<T: Clone>(base: &T, op: impl Fn(T) -> Op, changes: &[fn(&mut T)]) -> Vec<OpDigest> {
    let mut digests = vec![op(base.clone()).digest()];
    for change in changes {
        let mut changed = base.clone();
        change(&mut changed);
        digests.push(op(changed).digest());
    }
    digests
}

fn assert_all_different(mut digests: Vec<OpDigest>) {
    let count = digests.len();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

fn ulimit(soft: Option<u64>, hard: Option<u64>) -> Ulimit {
    Ulimit { name: "core".into(), soft, hard }
}

fn kept(root: usize, target: &str, path: &str) -> Kept {
    Kept::Mount(Box::new(KeptMount { root, target: target.into(), path: path.into() }))
}

#[test]
fn every_field_of_run_but_the_proxies_changes_the_digest() {
    assert_all_different(digests(
        &run(),
        Op::Run,
        &[
            |run| run.argv.push("x".into()),
            |run| run.env[0].1 = "2".into(),
            |run| run.env.push(("B".into(), String::new())),
            |run| run.cwd = "/app".into(),
            |run| run.user = "1".into(),
            |run| run.network = Network::None,
            |run| run.network = Network::Host,
            |run| run.security = Security::Insecure,
            |run| run.surroundings.extra_hosts.push(("a".into(), "10.0.0.1".into())),
            |run| run.surroundings.extra_hosts.push(("a".into(), "10.0.0.2".into())),
            |run| run.surroundings.shm_size_bytes = Some(1),
            |run| run.surroundings.ulimits.push(ulimit(Some(1), Some(2))),
            |run| run.surroundings.ulimits.push(ulimit(Some(1), None)),
            |run| run.surroundings.ulimits.push(ulimit(None, None)),
            |run| {
                let source = MountSource::Tmpfs { size_bytes: None, read_only: false };
                run.mounts.push(Mount { target: "/t".into(), source });
            },
            |run| run.mounts.push(secret_file(|_| ())),
            |run| run.secret_env.push(secret_env("A", "a", false)),
            |run| run.secret_env.push(secret_env("B", "a", false)),
            |run| run.secret_env.push(secret_env("A", "b", false)),
            |run| run.secret_env.push(secret_env("A", "a", true)),
            |run| run.exit_codes.push(0),
            |run| run.exit_codes.push(1),
            |run| run.read_only_root = true,
            |run| run.kept = kept(1, "/a", "/"),
            |run| run.kept = kept(2, "/a", "/"),
            |run| run.kept = kept(1, "/b", "/"),
            |run| run.kept = kept(1, "/a", "/c"),
            |run| run.hostname = Some("a".into()),
            |run| run.hostname = Some("b".into()),
            |run| run.devices.push(Device { name: "a".into(), required: false }),
            |run| run.devices.push(Device { name: "b".into(), required: false }),
            |run| run.devices.push(Device { name: "a".into(), required: true }),
        ],
    ));
    let mut proxied = run();
    proxied.proxy_env.push(("http_proxy".into(), "http://p".into()));
    assert_eq!(Op::Run(proxied).digest(), Op::Run(run()).digest());
    let told = Run { build_args: vec!["A".into()], ..run() };
    assert_eq!(Op::Run(told).digest(), Op::Run(run()).digest());
}

fn secret_env(name: &str, id: &str, required: bool) -> SecretEnv {
    SecretEnv { name: name.into(), id: id.into(), required }
}

type Changed<'a> = (&'a mut String, &'a mut (u32, u32), &'a mut u32, &'a mut bool);

fn mount(source: MountSource) -> Mount {
    Mount { target: "/s".into(), source }
}

fn secret_file(change: impl Fn(Changed<'_>)) -> Mount {
    let (mut id, mut owner, mut mode, mut required) = ("s".to_owned(), (0, 0), 0o400, false);
    change((&mut id, &mut owner, &mut mode, &mut required));
    mount(MountSource::Secret { id, owner, mode, required })
}

fn agent(change: impl Fn(Changed<'_>)) -> Mount {
    let (mut id, mut owner, mut mode, mut required) = ("s".to_owned(), (0, 0), 0o400, false);
    change((&mut id, &mut owner, &mut mode, &mut required));
    mount(MountSource::Agent { id, owner, mode, required })
}

#[test]
fn every_field_of_other_mounts_changes_the_digest() {
    let tmpfs = |size_bytes, read_only| mount(MountSource::Tmpfs { size_bytes, read_only });
    let bind =
        |input, path: &str, read_only| mount(MountSource::Input { input, path: path.into(), read_only });
    let base = |input, path: &str| Some(CacheBase { input, path: path.into() });
    let cache = |id: &str, base, sharing, owner: (Option<u32>, Option<u32>), mode, read_only| {
        let (uid, gid) = owner;
        let path = "/".to_owned();
        mount(MountSource::Cache { id: id.into(), base, path, sharing, uid, gid, mode, read_only })
    };
    let part = MountSource::Cache {
        id: "a".into(),
        base: None,
        path: "/a".into(),
        sharing: CacheSharing::Shared,
        uid: None,
        gid: None,
        mode: None,
        read_only: false,
    };
    let (shared, locked) = (CacheSharing::Shared, CacheSharing::Locked);
    let nobody = (None, None);
    let digests = [
        mount(part),
        tmpfs(None, false),
        tmpfs(Some(1), false),
        tmpfs(None, true),
        bind(1, "/", true),
        bind(2, "/", true),
        bind(1, "/a", true),
        bind(1, "/", false),
        cache("c", None, shared, nobody, None, false),
        cache("d", None, shared, nobody, None, false),
        cache("c", base(1, "/"), shared, nobody, None, false),
        cache("c", base(2, "/"), shared, nobody, None, false),
        cache("c", base(1, "/a"), shared, nobody, None, false),
        cache("c", None, locked, nobody, None, false),
        cache("c", None, shared, (Some(0), None), None, false),
        cache("c", None, shared, (None, Some(0)), None, false),
        cache("c", None, shared, nobody, Some(0o755), false),
        cache("c", None, shared, nobody, None, true),
    ]
    .map(|mount| OpDigest(mount.digest()));
    assert_all_different(digests.to_vec());
}

#[test]
fn every_field_of_secrets_and_agents_changes_the_digest() {
    let digests = [
        agent(|_| ()),
        agent(|(id, ..)| id.push('t')),
        agent(|(_, owner, ..)| owner.0 = 1),
        agent(|(_, owner, ..)| owner.1 = 1),
        agent(|(_, _, mode, _)| *mode = 0o440),
        agent(|(.., required)| *required = true),
        secret_file(|_| ()),
        secret_file(|(id, ..)| id.push('t')),
        secret_file(|(_, owner, ..)| owner.0 = 1),
        secret_file(|(_, owner, ..)| owner.1 = 1),
        secret_file(|(_, _, mode, _)| *mode = 0o440),
        secret_file(|(.., required)| *required = true),
    ]
    .map(|mount| OpDigest(mount.digest()));
    assert_all_different(digests.to_vec());
}

#[test]
fn a_file_is_the_same_wherever_it_is_from() {
    let http = HttpSource::new("https://host/a");
    assert_all_different(digests(
        &http,
        Op::Http,
        &[
            |http| http.filename = Some("a".into()),
            |http| http.mode = Some(0o644),
            |http| http.owner = Some((0, 0)),
            |http| http.owner = Some((0, 1)),
        ],
    ));
    let elsewhere = HttpSource { checksum: Some(Digest([1; 32])), ..HttpSource::new("https://other/b") };
    assert_eq!(Op::Http(elsewhere).digest(), Op::Http(http).digest());
}

#[test]
fn a_commit_is_the_same_wherever_it_is_from_unless_its_git_directory_says_so() {
    let git = GitSource::new("https://host/a.git");
    assert_all_different(digests(
        &git,
        Op::Git,
        &[
            |git| git.subdirectory = "a".into(),
            |git| git.submodules = false,
            |git| git.times = GitTimes::Checkout,
            |git| git.keep_git_dir = true,
            |git| {
                git.keep_git_dir = true;
                git.remote = "https://other/a.git".into();
            },
            |git| {
                git.keep_git_dir = true;
                git.reference = "main".into();
            },
        ],
    ));
    let elsewhere = GitSource {
        reference: "main".into(),
        checksum: Some("abc".into()),
        fetch_by_commit: true,
        ..GitSource::new("git@other:b.git")
    };
    assert_eq!(Op::Git(elsewhere).digest(), Op::Git(git).digest());
}

#[test]
fn every_field_of_copy_changes_the_digest() {
    let copy = Copy { sources: vec!["a".into()], destination: "/b".into(), ..Copy::default() };
    assert_all_different(digests(
        &copy,
        |copy| Op::File(File { actions: vec![FileAction::Copy(copy)] }),
        &[
            |copy| copy.rules.keep_directory = true,
            |copy| copy.rules.keep_symlink = true,
            |copy| copy.rules.replace = true,
            |copy| copy.rules.must_match = true,
            |copy| copy.rules.include.push("a".into()),
            |copy| copy.rules.mtime_ns = Some(0),
            |copy| copy.rules.mtime_ns = Some(1),
            |copy| copy.input = 1,
            |copy| copy.sources.push("c".into()),
            |copy| copy.destination = "/b/".into(),
            |copy| copy.owner = Some("1".into()),
            |copy| copy.mode = Some("644".into()),
            |copy| copy.exclude.push("x".into()),
            |copy| copy.parents = true,
            |copy| copy.link = true,
            |copy| copy.unpack = true,
        ],
    ));
}

#[test]
fn every_field_of_made_files_changes_the_digest() {
    let directory = MakeDirectory { path: "/a".into(), mode: 0o755, owner: None, mtime_ns: None };
    let file = MakeFile { path: "/a".into(), mode: 0o644, owner: None, content: vec![], mtime_ns: None };
    let mut all = digests(
        &directory,
        |it| Op::File(File { actions: vec![FileAction::MakeDirectory(it)] }),
        &[|it| it.path.push('b'), |it| it.mode = 0o700, |it| it.owner = Some("1".into())],
    );
    all.extend(digests(
        &file,
        |it| Op::File(File { actions: vec![FileAction::MakeFile(it)] }),
        &[
            |it| it.path.push('b'),
            |it| it.mode = 0o600,
            |it| it.owner = Some("1".into()),
            |it| it.content.push(0),
        ],
    ));
    assert_all_different(all);
}
