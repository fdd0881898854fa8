//! What builds come to.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Home, check, testdata};

fn listing(name: &str) -> String {
    let home = Home::new();
    home.ok(&["build", "-q", "-t", name, &testdata(name)]);
    home.unpack(name).listing()
}

#[test]
fn stages() {
    insta::assert_snapshot!(listing("stages"), @r#"
    0755 0:0     app/
    0644 0:0     app/main.txt: the program
    0644 0:0     app/version: version 1
    0755 0:0     etc/
    0644 0:0     etc/group: root:x:0:\napp:x:200:\nextra:x:300:app
    0644 0:0     etc/passwd: root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh
    0755 0:0     old/
    0755 0:0     old/deep/
    0644 0:0     old/deep/file: old
    1777 0:0     tmp/
    "#);
    let home = Home::new();
    home.ok(&["build", "-q", "-t", "stages", "--build-arg", "VERSION=2", &testdata("stages")]);
    assert_eq!(home.ok(&["run", "--rm", "stages"]), "version 2\nthe program\n");
}

#[test]
fn the_build_argument_names_the_machine_of_steps() {
    let home = Home::new();
    let steps = "RUN cat /proc/sys/kernel/hostname /etc/hostname > /name && cat /etc/hosts >> /name";
    let context = home.context(&format!("FROM base\n{steps}\n"), &[]);
    let named = ["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=builder-1"];
    home.ok(&[&["build", "-q", "-t", "image"], &named[..], &[&context]].concat());
    let name = fs::read_to_string(home.unpack("image").path("name")).unwrap();
    assert!(name.starts_with("builder-1\nbuilder-1\n127.0.0.1\tlocalhost builder-1\n"), "{name}");
    assert_eq!(home.log(&[&named[..], &[&context]].concat()), format!("hit [2/2] {steps}"));
    assert_eq!(home.log(&[&context]), format!("run [2/2] {steps}"));
}

#[test]
fn changes_of_a_run() {
    insta::assert_snapshot!(listing("changes"), @r#"
    0700 0:0     data/
    0755 0:0     data/b/
    0644 100:200 data/b/x: 
    0755 0:0     etc/
    0644 0:0     etc/group: root:x:0:\napp:x:200:\nextra:x:300:app
    0644 0:0     etc/passwd: root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh
    4711 0:0     first (2 links): one
    0755 0:0     old/
    0644 0:0     old/fresh: new
    4711 0:0     second (2 links): one
    0777 0:0     third -> first
    1777 0:0     tmp/
    "#);
}

#[test]
fn copies() {
    insta::assert_snapshot!(listing("copies"), @r#"
    0755 0:0     directory/
    0644 0:0     directory/one.txt: 1
    0755 0:0     etc/
    0644 0:0     etc/group: root:x:0:\napp:x:200:\nextra:x:300:app
    0644 0:0     etc/passwd: root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh
    0777 0:0     link -> real
    0755 0:0     made/
    0644 0:0     made/by-heredoc: made of
    0755 0:0     merged/
    0644 0:0     merged/a: a
    0777 0:0     merged/link -> a
    0644 0:0     merged/o: o
    0644 0:0     merged/readme.md: doc
    0755 0:0     merged/sub/
    0644 0:0     merged/sub/s: s2
    0755 0:0     old/
    0755 0:0     old/deep/
    0644 0:0     old/deep/file: old
    0640 100:300 owned: 1
    0755 100:100 owned-tree/
    0644 100:100 owned-tree/a: a
    0777 100:100 owned-tree/link -> a
    0644 100:100 owned-tree/readme.md: doc
    0755 100:100 owned-tree/sub/
    0644 100:100 owned-tree/sub/s: s
    0644 0:0     plain: 1
    0755 0:0     real/
    0644 0:0     real/one.txt: 1
    0755 0:0     several/
    0644 0:0     several/one.txt: 1
    0644 0:0     several/two.txt: 2
    1777 0:0     tmp/
    0755 0:0     unpacked/
    0755 0:0     unpacked/in/
    0644 0:0     unpacked/in/file: archived
    0755 0:0     without/
    0644 0:0     without/a: a
    0777 0:0     without/link -> a
    0755 0:0     without/sub/
    0644 0:0     without/sub/s: s
    "#);
}

#[test]
fn users() {
    insta::assert_snapshot!(listing("users"), @r#"
    0644 0:0     as-root: uid=0(root) gid=0(root) groups=0(root)
    0755 0:0     etc/
    0644 0:0     etc/group: root:x:0:\napp:x:200:\nextra:x:300:app
    0644 0:0     etc/passwd: root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh
    0755 0:0     home/
    0755 100:200 home/app/
    0644 100:200 home/app/as-app: uid=100(app) gid=200(app) groups=200(app),300(extra)\n/home/app\n/home/app
    0755 0:0     old/
    0755 0:0     old/deep/
    0644 0:0     old/deep/file: old
    0644 0:0     pid: 1
    1777 0:0     tmp/
    0644 1000:1000 tmp/as-number: uid=1000 gid=1000 groups=1000
    "#);
}

#[test]
fn mounts() {
    insta::assert_snapshot!(listing("mounts"), @r#"
    0755 0:0     etc/
    0644 0:0     etc/group: root:x:0:\napp:x:200:\nextra:x:300:app
    0644 0:0     etc/passwd: root:x:0:0::/:/bin/sh\napp:x:100:200::/home/app:/bin/sh
    0644 0:0     from-context: context
    0644 0:0     from-tools: tool
    0644 0:0     in-scratch: x
    0755 0:0     old/
    0755 0:0     old/deep/
    0644 0:0     old/deep/file: old
    0644 0:0     seen: cached
    1777 0:0     tmp/
    "#);
}

#[test]
fn config() {
    let home = Home::new();
    let argument = ["--build-arg", "SOURCE_DATE_EPOCH=1000000000"];
    home.ok(&[
        &["build", "-q", "-t", "config", "--label", "from=command line"],
        &argument[..],
        &[&testdata("config")],
    ]
    .concat());
    let mut config = home.raw_config("config");
    // The base image's own layer is as old as this test.
    config["rootfs"]["diff_ids"].as_array_mut().unwrap().remove(0);
    config["history"].as_array_mut().unwrap().remove(0);
    insta::assert_snapshot!(serde_json::to_string_pretty(&config).unwrap(), @r#"
    {
      "architecture": "amd64",
      "author": "Somebody <somebody@example.com>",
      "config": {
        "ArgsEscaped": true,
        "Cmd": [
          "default"
        ],
        "Entrypoint": [
          "/bin/echo",
          "-n"
        ],
        "Env": [
          "PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "GREETING=hello world",
          "EMPTY="
        ],
        "ExposedPorts": {
          "443/tcp": {},
          "53/udp": {},
          "80/tcp": {},
          "8000/tcp": {},
          "8001/tcp": {}
        },
        "Healthcheck": {
          "Interval": 5000000000,
          "Retries": 2,
          "Test": [
            "CMD-SHELL",
            "test -e /ok"
          ],
          "Timeout": 1000000000
        },
        "Labels": {
          "a": "1",
          "b c": "2 3",
          "from": "command line"
        },
        "OnBuild": [
          "RUN echo child"
        ],
        "Shell": [
          "/bin/sh",
          "-e",
          "-c"
        ],
        "StopSignal": "SIGINT",
        "User": "app",
        "Volumes": {
          "/data": {},
          "/more": {}
        },
        "WorkingDir": "/work/sub"
      },
      "created": "2001-09-09T01:46:40Z",
      "history": [
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "MAINTAINER Somebody <somebody@example.com>",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "ARG WHO=world",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "ENV GREETING=hello world EMPTY=",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "ENV PATH=/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "LABEL a=1 b c=2 3",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "EXPOSE [443/tcp 53/udp 80/tcp 8000/tcp 8001/tcp]",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "VOLUME [/data /more]",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "USER app",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "WORKDIR /work"
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "WORKDIR /work/sub"
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "STOPSIGNAL SIGINT",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "SHELL [/bin/sh -e -c]",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "HEALTHCHECK {Test:[CMD-SHELL test -e /ok] Interval:5s Timeout:1s StartPeriod:0s StartInterval:0s Retries:2}",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "ENTRYPOINT [\"/bin/echo\" \"-n\"]",
          "empty_layer": true
        },
        {
          "comment": "buildkit.dockerfile.v0",
          "created": "2001-09-09T01:46:40Z",
          "created_by": "CMD [\"default\"]",
          "empty_layer": true
        }
      ],
      "os": "linux",
      "rootfs": {
        "diff_ids": [
          "sha256:e851bc5ca1739694928568316e503123c4f17dba098ff48b5cb73795faeb16e1",
          "sha256:74078f2f926e9b539dbc0da7b6cd95b274e2c0fc98a438abef3f4371cb1f1aa5"
        ],
        "type": "layers"
      }
    }
    "#);
}

#[test]
fn the_same_inputs_give_the_same_image_in_another_store() {
    let id = |home: &Home| {
        home.ok(&["build", "-q", "--build-arg", "SOURCE_DATE_EPOCH=1000000000", &testdata("copies")])
    };
    let (first, second) = (Home::new(), Home::without_base());
    let archive = first.path("base-image.tar");
    first.ok(&["save", "-o", archive.to_str().unwrap(), "base"]);
    second.ok(&["load", "-i", archive.to_str().unwrap()]);
    assert_eq!(id(&first), id(&second));
}

#[test]
fn every_output_holds_the_same_files() {
    let home = Home::new();
    let text = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let (oci, docker, tar, local) = (text("o.tar"), text("d.tar"), text("t.tar"), text("local"));
    home.ok(&[
        "build",
        "-q",
        "-t",
        "out",
        "-o",
        &format!("type=oci,dest={oci}"),
        "-o",
        &format!("type=docker,dest={docker}"),
        "-o",
        &format!("type=tar,dest={tar}"),
        "-o",
        &format!("type=local,dest={local}"),
        &testdata("stages"),
    ]);
    let diff_ids = |archive: String| {
        let config = check(Command::new("skopeo").args(["inspect", "--config", &archive]));
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["rootfs"].clone()
    };
    assert_eq!(diff_ids(format!("oci-archive:{oci}")), diff_ids(format!("docker-archive:{docker}")));
    let in_tar = check(Command::new("tar").args(["-xOf", &tar, "app/version"]));
    assert_eq!(in_tar, "version 1\n");
    assert_eq!(std::fs::read_to_string(format!("{local}/app/version")).unwrap(), in_tar);
    // What left as an archive comes back as the same image.
    let id = home.ok(&["inspect", "--format", "{{.Id}}", "out"]);
    home.ok(&["rmi", "out"]);
    home.ok(&["load", "-i", &docker]);
    assert_eq!(home.ok(&["inspect", "--format", "{{.Id}}", "out"]), id);
}

#[test]
fn buildah_runs_what_we_save() {
    let home = Home::new();
    home.ok(&["build", "-q", "-t", "stages", &testdata("stages")]);
    let archive = home.path("image.tar");
    home.ok(&["save", "-o", archive.to_str().unwrap(), "stages"]);
    let storage = home.path("storage");
    let buildah = |arguments: &[&str]| {
        let mut command = Command::new("buildah");
        command.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        command.args(["--storage-driver", "vfs"]).args(arguments).stdin(Stdio::null());
        check(&mut command).trim().to_owned()
    };
    let container =
        buildah(&["from", "--pull-never=false", &format!("docker-archive:{}", archive.display())]);
    let run = buildah(&["run", "--isolation", "chroot", &container, "cat", "/app/version"]);
    buildah(&["rm", &container]);
    assert_eq!(run, "version 1");
}

#[test]
fn named_contexts() {
    let home = Home::new();
    let other = home.path("other");
    std::fs::create_dir(&other).unwrap();
    for (name, content) in [("file", "of the other"), ("hidden", ""), (".dockerignore", "hidden")] {
        std::fs::write(other.join(name), content).unwrap();
    }
    let dockerfile = "FROM start\nCOPY --from=Other . /other/\nCOPY . /main/\nRUN ls /other /main > /list\n";
    let context = home.context(dockerfile, &[("own", "")]);
    home.ok(&[
        "build",
        "-q",
        "-t",
        "named",
        "--build-context",
        &format!("other={}", other.display()),
        "--build-context",
        "start=docker-image://base",
        &context,
    ]);
    insta::assert_snapshot!(home.ok(&["run", "--rm", "named", "cat", "/list", "/other/file"]), @r"
    /main:
    Dockerfile
    own

    /other:
    file
    of the other
    ");
}
