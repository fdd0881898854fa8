//! Builds that clients have put together themselves: definitions in BuildKit's LLB, built as they are.

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use bollard_buildkit_proto::pb::{
    BuildOp, CacheOpt, DiffOp, ExecOp, FileActionCopy, HostIp, LowerDiffInput, MergeInput, MergeOp, Meta,
    Mount, MountType, NetMode, ProxyEnv, SecretEnv, SecretOpt, SecurityMode, SourceOp, TmpfsOpt, Ulimit,
    UpperDiffInput, op,
};

use crate::buildkitd::named;
use crate::client::Served;
use crate::marshal::{Marshal, State, actions, bind, copied, copy, mkdir, mkfile, rm, sh, special, symlink};

fn solve(served: &Served, definition: &[u8], arguments: &[&str]) -> Output {
    let mut command = named(&served.home, "buildctl");
    command.args(["--addr", &served.address, "build", "--progress=plain"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(definition).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn ok(served: &Served, definition: &[u8], arguments: &[&str]) -> String {
    let output = solve(served, definition, arguments);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{shown}");
    shown
}

pub(crate) fn fails(served: &Served, definition: &[u8], arguments: &[&str]) -> String {
    let output = solve(served, definition, arguments);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The files of a result: paths with kind, permissions and content.
fn files(served: &Served, definition: &[u8], arguments: &[&str]) -> String {
    let out = served.home.path("out");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir(&out).unwrap();
    ok(served, definition, &[&["--output=type=local,dest=out"], arguments].concat());
    listed(&out)
}

fn listed(root: &std::path::Path) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let mut lines = Vec::new();
    for entry in walkdir::WalkDir::new(root).sort_by_file_name().min_depth(1) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(root).unwrap().display().to_string();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        lines.push(match entry.file_type() {
            kind if kind.is_dir() => format!("{path}/ {mode:o}"),
            kind if kind.is_symlink() => {
                format!("{path} -> {}", fs::read_link(entry.path()).unwrap().display())
            }
            _ => format!("{path} {mode:o} {}", fs::read_to_string(entry.path()).unwrap().trim_end()),
        });
    }
    lines.join("\n")
}

pub(crate) fn base(build: &mut Marshal) -> State {
    build.source("docker-image://docker.io/library/base:latest", &[])
}

#[test]
fn processes_and_their_mounts() {
    let served = Served::alone(&[]);
    fs::write(served.home.path("secret"), "hidden").unwrap();
    served.home.context("", &[("sub/f", "from the client\n"), ("sub/x.o", "no")]);
    let mut build = Marshal::default();
    let base = base(&mut build);
    let local = build.source(
        "local://src",
        &[("local.excludepatterns", "[\"**/*.o\"]"), ("local.sharedkeyhint", "src"), ("local.unique", "1")],
    );
    let secret = SecretOpt { id: "s".to_owned(), mode: 0o400, ..SecretOpt::default() };
    let mounts = vec![
        Mount { selector: "/sub".to_owned(), readonly: true, ..bind("/src", 1, -1) },
        Mount { tmpfs_opt: Some(TmpfsOpt { size: 1 << 20 }), ..special("/mem", MountType::Tmpfs) },
        Mount {
            cache_opt: Some(CacheOpt { id: "c".to_owned(), sharing: 0 }),
            ..special("/cache", MountType::Cache)
        },
        Mount { secret_opt: Some(secret), ..special("/run/s", MountType::Secret) },
        bind("/out", -1, 1),
    ];
    let script = "ls /src; cat /src/f; test \"$(cat /run/s)\" = hidden; test \"$TOKEN\" = hidden; echo kept > /cache/it; \
        touch /mem/x; echo \"$WHO at $(pwd) uses $http_proxy\"; cat /etc/hosts; id -u; mkdir /out/d; echo made > /out/d/f; \
        echo gone > /tmp/gone";
    let exec = sh(script, mounts);
    let exec = ExecOp {
        meta: Some(Meta {
            env: vec!["WHO=me".to_owned()],
            cwd: "/tmp".to_owned(),
            user: "0".to_owned(),
            hostname: "builder".to_owned(),
            extra_hosts: vec![HostIp { host: "db".to_owned(), ip: "10.1.2.3".to_owned() }],
            ulimit: vec![Ulimit { name: "nofile".to_owned(), soft: 99, hard: 100 }],
            proxy_env: Some(ProxyEnv { http_proxy: "http://p".to_owned(), ..ProxyEnv::default() }),
            ..exec.meta.unwrap()
        }),
        network: NetMode::None as i32,
        secretenv: vec![SecretEnv { id: "s".to_owned(), name: "TOKEN".to_owned(), optional: false }],
        ..sh("", exec.mounts[1..].to_vec())
    };
    let ran = build.add(op::Op::Exec(exec), &[&base, &local]);
    let named_step = build.metadata(&ran);
    named_step.description.insert("llb.customname".to_owned(), "make it".to_owned());
    let definition = build.finish(&ran.output(1));
    let arguments = ["--local=src=context", "--secret=id=s,src=secret"];
    let out = served.home.path("out");
    fs::create_dir(&out).unwrap();
    let shown = ok(&served, &definition, &[&["--output=type=local,dest=out"], &arguments[..]].concat());
    for expected in
        ["make it\n", " from the client\n", " me at /tmp uses http://p\n", "10.1.2.3\tdb\n", " 0\n"]
    {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    assert!(!shown.contains("x.o"), "{shown}");
    assert_eq!(listed(&out), "d/ 755\nd/f 644 made");
    assert!(ok(&served, &definition, &arguments).contains(" CACHED"));
}

#[test]
fn what_a_mount_has_becomes_a_result_and_goes_on() {
    let served = Served::alone(&[]);
    let mut build = Marshal::default();
    let base = base(&mut build);
    let start =
        build.file(actions(0, vec![mkdir("/d", true), mkfile("/d/old", "old"), mkfile("/gone", "x")]), &[]);
    let script = "echo new > /out/d/new; rm /out/gone; echo both > /beside; ls /out/d";
    let ran = build.exec(script, &[&base, &start], vec![bind("/out", 1, 1)]);
    // Both outputs are used.
    let joined = build
        .file(actions(2, vec![copied(copy("/beside", "/beside"), 1)]), &[&ran.output(1), &ran.output(0)]);
    assert_eq!(
        files(&served, &build.finish(&joined), &[]),
        "beside 644 both\nd/ 750\nd/new 644 new\nd/old 640 old"
    );
    let mut build = Marshal::default();
    let base = self::base(&mut build);
    let mut exec = sh("exit 3", vec![]);
    exec.meta.as_mut().unwrap().valid_exit_codes = vec![3, 4];
    let ran = build.add(op::Op::Exec(exec), &[&base]);
    let read_only = Mount { dest: "/".to_owned(), readonly: true, ..Mount::default() };
    let mut exec = sh("touch /x 2>/dev/null && exit 1; echo refused", vec![]);
    exec.mounts = vec![read_only];
    let ran = build.add(op::Op::Exec(exec), &[&ran]);
    assert!(ok(&served, &build.finish(&ran), &[]).contains(" refused\n"));
}

#[test]
fn files_are_copied_made_and_removed() {
    let served = Served::alone(&[]);
    let context =
        [("a/one.txt", "1"), ("a/two.o", "2"), ("a/deep/three.txt", "3"), ("star*", "s"), ("link/x", "x")];
    served.home.context("", &context);
    let mut build = Marshal::default();
    let local = build.source("local://src", &[("local.includepattern", "[\"a\",\"star*\"]")]);
    let start = build.file(
        actions(
            0,
            vec![
                mkdir("/d/e", true),
                mkfile("/d/e/f", "text"),
                mkfile("/d/g1", ""),
                mkfile("/d/g2", ""),
                symlink("/d/e", "/d/link"),
                rm("/d/g*", true, false),
                rm("/nothing", false, true),
            ],
        ),
        &[],
    );
    let with_contents = FileActionCopy {
        create_dest_path: true,
        dir_copy_contents: true,
        include_patterns: vec!["**/*.txt".to_owned()],
        exclude_patterns: vec!["deep".to_owned()],
        mode_str: "u=rwX,go=".to_owned(),
        ..copy("/a", "/new/contents")
    };
    let all = vec![
        // A directory lands as itself where there is one, and as the destination where there is none.
        copied(copy("/a", "/d"), 1),
        copied(copy("/a", "/b"), 1),
        copied(with_contents, 1),
        copied(copy("/star*", "/d/e/"), 1),
        copied(FileActionCopy { allow_wildcard: true, ..copy("/a/*.txt", "/d/e/") }, 1),
        rm("/b/deep", false, false),
    ];
    let done = build.file(actions(2, all), &[&start, &local]);
    assert_eq!(
        files(&served, &build.finish(&done), &["--local=src=context"]),
        "b/ 755\nb/one.txt 644 1\nb/two.o 644 2\nd/ 750\nd/a/ 755\nd/a/deep/ 755\nd/a/deep/three.txt 644 3\n\
         d/a/one.txt 644 1\nd/a/two.o 644 2\nd/e/ 750\nd/e/f 640 text\nd/e/one.txt 644 1\nd/e/star* 644 s\n\
         d/link -> /d/e\nnew/ 755\nnew/contents/ 755\nnew/contents/one.txt 600 1"
    );
    for (made, message) in [
        (vec![mkfile("/no/where/f", "")], "\"/no/where\": not found"),
        (vec![mkdir("/no/where", false)], "\"/no\": not found"),
        (vec![rm("/nothing", false, false)], "\"/nothing\": not found"),
        (vec![copied(copy("/no*", "/"), 0)], "\"/no*\": not found"),
        (
            vec![copied(FileActionCopy { allow_wildcard: true, ..copy("/no*", "/") }, 0)],
            "\"/no*\": not found",
        ),
        (vec![mkfile("/a", ""), symlink("x", "/a")], "`/a` exists already"),
    ] {
        let mut build = Marshal::default();
        let base = base(&mut build);
        let done = build.file(actions(1, made), &[&base]);
        let shown = fails(&served, &build.finish(&done), &[]);
        assert!(shown.contains(message), "{message}:\n{shown}");
    }
}

#[test]
fn file_systems_are_compared_and_put_together() {
    let served = Served::alone(&[]);
    let mut build = Marshal::default();
    let base = base(&mut build);
    let changed = build.exec(
        "rm /old/deep/file; mkdir /fresh; echo f > /fresh/f; chmod 700 /tmp; rm /bin/od; mkdir /bin/od; echo x > /bin/od/x",
        &[&base],
        vec![],
    );
    let difference = op::Op::Diff(DiffOp {
        lower: Some(LowerDiffInput { input: 0 }),
        upper: Some(UpperDiffInput { input: 1 }),
    });
    let difference = build.add(difference, &[&base, &changed]);
    let other = build.file(
        actions(
            0,
            vec![
                mkdir("/fresh", false),
                mkfile("/fresh/kept", "k"),
                mkdir("/old/deep", true),
                mkfile("/old/deep/file", "goes"),
                mkfile("/old/stays", "s"),
            ],
        ),
        &[],
    );
    let inputs = [0, 1].map(|input| MergeInput { input }).to_vec();
    let merged = build.add(op::Op::Merge(MergeOp { inputs: inputs.clone() }), &[&other, &difference]);
    assert_eq!(
        files(&served, &build.finish(&merged), &[]),
        "bin/ 755\nbin/od/ 755\nbin/od/x 644 x\nfresh/ 755\nfresh/f 644 f\nfresh/kept 640 k\nold/ 750\nold/deep/ 750\n\
         old/stays 640 s\ntmp/ 700"
    );
    let mut build = Marshal::default();
    let base = self::base(&mut build);
    let one = build.file(actions(0, vec![mkdir("/x", false), mkfile("/x/one", "1")]), &[]);
    let two = build.exec("mkdir /x; echo 2 > /x/two", &[&base], vec![]);
    let merged = build.add(op::Op::Merge(MergeOp { inputs }), &[&one, &two]);
    let ran = build.exec("cat /x/one /x/two", &[&merged], vec![]);
    let shown = ok(&served, &build.finish(&ran), &[]);
    assert!(shown.contains(" 12\n") || shown.contains(" 1\n"), "{shown}");
}

#[test]
fn what_cannot_be_built_is_refused_by_name() {
    let served = Served::alone(&[]);
    let refuse = |make: &dyn Fn(&mut Marshal, &State) -> State| {
        let mut build = Marshal::default();
        let base = base(&mut build);
        let made = make(&mut build, &base);
        let definition = build.finish(&made);
        fails(&served, &definition, &[])
    };
    let missing =
        State(bollard_buildkit_proto::pb::Input { digest: format!("sha256:{}", "0".repeat(64)), index: 0 });
    type Make<'a> = Box<dyn Fn(&mut Marshal, &State) -> State + 'a>;
    let cases: [(&str, Make<'_>); 14] = [
        ("source `ftp://x`, which is not supported", Box::new(|build, _| build.source("ftp://x", &[]))),
        (
            "attribute `image.color`, which is not supported",
            Box::new(|build, _| build.source("docker-image://base", &[("image.color", "red")])),
        ),
        ("`A B` as image, expected the name", Box::new(|build, _| build.source("docker-image://A B", &[]))),
        ("`-x` as git, expected", Box::new(|build, _| build.source("git://h/p", &[("git.fullurl", "-x")]))),
        ("the definition does not have", Box::new(|build, _| build.exec("true", &[&missing], vec![]))),
        ("names output 7", Box::new(|build, base| build.exec("true", &[base], vec![]).output(7))),
        ("names output 1", Box::new(|_, base| base.output(1))),
        ("names input 5", Box::new(|build, base| build.exec("true", &[base], vec![bind("/m", 5, -1)]))),
        (
            "operation `build`, which is not supported",
            Box::new(|build, base| build.add(op::Op::Build(BuildOp::default()), &[base])),
        ),
        (
            "capability `exec.time.travel`, which is not supported",
            Box::new(|build, base| {
                let ran = build.exec("true", &[base], vec![]);
                build.metadata(&ran).caps.insert("exec.time.travel".to_owned(), true);
                ran
            }),
        ),
        (
            "network.host is not allowed",
            Box::new(|build, base| {
                let host = ExecOp { network: NetMode::Host as i32, ..sh("true", vec![]) };
                build.add(op::Op::Exec(host), &[base])
            }),
        ),
        (
            "security.insecure is not allowed",
            Box::new(|build, base| {
                let insecure = ExecOp { security: SecurityMode::Insecure as i32, ..sh("true", vec![]) };
                build.add(op::Op::Exec(insecure), &[base])
            }),
        ),
        (
            "kind of mount `9`, which is not supported",
            Box::new(|build, base| {
                build.exec("true", &[base], vec![Mount { mount_type: 9, ..bind("/m", -1, -1) }])
            }),
        ),
        (
            "the source `nobody`, which is not supported",
            Box::new(|build, _| {
                let identifier = "slipway-result://nobody".to_owned();
                build.add(op::Op::Source(SourceOp { identifier, ..SourceOp::default() }), &[])
            }),
        ),
    ];
    for (expected, make) in cases {
        let shown = refuse(&*make);
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    let shown = fails(&served, b"\x0a\x01\xff", &[]);
    assert!(shown.contains("cannot be decoded"), "{shown}");
}
