use image::Digest;

use super::*;
use crate::{CacheBase, ContextSource, Copy, File, ImageSource, Label, Location, MakeFile, Ulimit, Vertex};

/// A graph with every operation.
fn graph() -> (BuildGraph, VertexId) {
    let mut graph = BuildGraph::new();
    let mut add = |op, inputs: &[VertexId], name: &str, stage: &str| {
        let label = Label {
            name: name.to_owned(),
            stage: stage.to_owned(),
            location: (!stage.is_empty()).then_some(Location { span: 0..1, line: 3 }),
        };
        graph.add(Vertex { op, inputs: inputs.to_vec(), label, no_cache: stage == "build" })
    };
    let image = Op::Image(ImageSource {
        reference: "debian:12".parse().expect("a reference"),
        platform: "linux/amd64".parse().expect("a platform"),
    });
    let base = add(image, &[], "FROM debian:12", "build");
    let context = add(Op::Context(ContextSource { name: "context".to_owned() }), &[], "load", "");
    let scratch = add(Op::Scratch, &[], "scratch", "");
    let run = Run {
        argv: vec!["sh".to_owned(), "-c".to_owned(), "echo \"a\\b\"\n".to_owned()],
        env: vec![("A".to_owned(), "1".to_owned())],
        build_args: vec!["A".to_owned()],
        proxy_env: vec![("http_proxy".to_owned(), "http://user:password@proxy".to_owned())],
        cwd: "/w".to_owned(),
        user: "me".to_owned(),
        network: Network::None,
        security: Security::Insecure,
        hostname: Some("builder".to_owned()),
        surroundings: Surroundings {
            extra_hosts: vec![("db".to_owned(), "10.0.0.1".to_owned())],
            shm_size_bytes: Some(1 << 20),
            ulimits: vec![Ulimit { name: "nofile".to_owned(), soft: Some(64), hard: None }],
        },
        mounts: vec![
            Mount {
                target: "/m".to_owned(),
                source: MountSource::Input { input: 1, path: "/p".to_owned(), read_only: true },
            },
            Mount {
                target: "/t".to_owned(),
                source: MountSource::Tmpfs { size_bytes: Some(9), read_only: true },
            },
            Mount {
                target: "/c".to_owned(),
                source: MountSource::Cache {
                    id: "go".to_owned(),
                    base: Some(CacheBase { input: 1, path: "/b".to_owned() }),
                    path: "/part".to_owned(),
                    sharing: CacheSharing::Locked,
                    uid: Some(1),
                    gid: None,
                    mode: Some(0o755),
                    read_only: false,
                },
            },
            Mount {
                target: "/s".to_owned(),
                source: MountSource::Secret {
                    id: "key".to_owned(),
                    owner: (3, 4),
                    mode: 0o400,
                    required: true,
                },
            },
            Mount {
                target: "/a".to_owned(),
                source: MountSource::Agent {
                    id: "default".to_owned(),
                    owner: (5, 6),
                    mode: 0o600,
                    required: false,
                },
            },
        ],
        devices: vec![Device { name: "vendor.com/gpu=0".to_owned(), required: true }],
        secret_env: vec![SecretEnv { name: "TOKEN".to_owned(), id: "token".to_owned(), required: false }],
        ..Run::default()
    };
    let ran = add(Op::Run(run), &[base, context], "[build 2/2] RUN echo \"a\\b\"", "build");
    let copy = Copy {
        input: 1,
        sources: vec!["a".to_owned()],
        destination: "/d/".to_owned(),
        owner: Some("1:2".to_owned()),
        link: true,
        ..Copy::default()
    };
    let file =
        MakeFile { path: "/f".to_owned(), mode: 0o644, owner: None, content: b"hi".to_vec(), mtime_ns: None };
    let actions = vec![FileAction::Copy(copy), FileAction::MakeFile(file)];
    let target = add(Op::File(File { actions }), &[scratch, ran], "[stage-1 1/1] COPY a /d/", "stage-1");
    (graph, target)
}

#[test]
fn text_says_what_each_vertex_does() {
    let (graph, target) = graph();
    insta::assert_snapshot!(graph.to_text(target), @r#"
      0  FROM debian:12
           image docker.io/library/debian:12 for linux/amd64
           always runs
      1  load
           files of context
      2  scratch
           the empty file system
      3  [build 2/2] RUN echo "a\b"
           on 0, reads 1
           run sh -c echo "a\b"\n
           in /w as me
           arg A=1
           network none
           security insecure
           mount /m from /p of input 1
           mount /t in memory of 9 bytes, read-only
           mount /c from /part of cache go, locked, at first /b of input 1, user 1, mode 755
           mount /s from secret key, owner 3:4, mode 400, required
           mount /a from agent default, owner 5:6, mode 600
           device vendor.com/gpu=0, required
           env TOKEN from secret token
           host name builder
           host db at 10.0.0.1
           /dev/shm of 1048576 bytes
           ulimit nofile=64:-1
           always runs
    * 4  [stage-1 1/1] COPY a /d/
           on 2, reads 3
           copy a of input 1 to /d/, owner 1:2, link
           make file /f of 2 bytes, mode 644
    "#);
}

#[test]
fn sources_from_afar_show_everything_but_passwords() {
    let mut graph = BuildGraph::new();
    let mut add = |op| {
        let label = Label { name: "source".to_owned(), ..Label::default() };
        graph.add(Vertex { op, inputs: Vec::new(), label, no_cache: false })
    };
    add(Op::Http(HttpSource {
        checksum: Some(Digest([0; 32])),
        filename: Some("a.tar".to_owned()),
        mode: Some(0o644),
        owner: Some((1, 2)),
        ..HttpSource::new("https://me:secret@host/a.tar")
    }));
    add(Op::Git(GitSource::new("git@host:a.git")));
    let target = add(Op::Git(GitSource {
        reference: "refs/heads/main".to_owned(),
        checksum: Some("abc".to_owned()),
        subdirectory: "docs".to_owned(),
        keep_git_dir: true,
        submodules: false,
        fetch_by_commit: true,
        times: GitTimes::Checkout,
        ..GitSource::new("https://token@host/a.git")
    }));
    insta::assert_snapshot!(graph.to_text(target), @"
      0  source
           file of https://xxxxx:xxxxx@host/a.tar, named a.tar, mode 644, owner 1:2, must be sha256:0000000000000000000000000000000000000000000000000000000000000000
      1  source
           repository git@host:a.git
    * 2  source
           repository https://xxxxx@host/a.git, at refs/heads/main, directory docs, must be abc, with .git, without submodules, fetched by its commit, with the time of the checkout
    ");
    let json: serde_json::Value = serde_json::from_str(&graph.to_json(target)).expect("JSON");
    insta::assert_snapshot!(format!("{:#}", json["vertices"][0]["op"]), @r#"
    {
      "checksum": "sha256:0000000000000000000000000000000000000000000000000000000000000000",
      "filename": "a.tar",
      "mode": "644",
      "owner": "1:2",
      "type": "http",
      "url": "https://xxxxx:xxxxx@host/a.tar"
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", json["vertices"][2]["op"]), @r#"
    {
      "checksum": "abc",
      "fetchByCommit": true,
      "keepGitDir": true,
      "reference": "refs/heads/main",
      "remote": "https://xxxxx@host/a.git",
      "subdirectory": "docs",
      "submodules": false,
      "times": "checkout",
      "type": "git"
    }
    "#);
}

#[test]
fn dot_has_a_cluster_for_each_stage() {
    let (graph, target) = graph();
    insta::assert_snapshot!(graph.to_dot(target), @r#"
    digraph build {
      rankdir=LR;
      node [shape=box, fontname="monospace"];
      v1 [label="load", shape=ellipse];
      v2 [label="scratch", shape=ellipse];
      subgraph cluster_1 {
        label="build";
        v0 [label="FROM debian:12", shape=ellipse];
        v3 [label="[build 2/2] RUN echo \"a\\b\""];
      }
      subgraph cluster_2 {
        label="stage-1";
        v4 [label="[stage-1 1/1] COPY a /d/", shape=note, peripheries=2];
      }
      v0 -> v3;
      v1 -> v3 [style=dashed];
      v2 -> v4;
      v3 -> v4 [style=dashed];
    }
    "#);
}

#[test]
fn json_has_every_field_but_the_proxies() {
    let (graph, target) = graph();
    let text = graph.to_json(target);
    assert!(!text.contains("password"));
    let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(value["target"], 4);
    assert_eq!(value["vertices"].as_array().map(Vec::len), Some(graph.len()));
    insta::assert_snapshot!(format!("{:#}", value["vertices"][3]), @r#"
    {
      "digest": "sha256:fae9a6a9f78af2a05be5394705c7d887202a001bd73c7aff0fd41c7fd39c1032",
      "id": 3,
      "inputs": [
        0,
        1
      ],
      "line": 3,
      "name": "[build 2/2] RUN echo \"a\\b\"",
      "noCache": true,
      "op": {
        "argv": [
          "sh",
          "-c",
          "echo \"a\\b\"\n"
        ],
        "buildArgs": [
          "A"
        ],
        "cwd": "/w",
        "devices": [
          {
            "name": "vendor.com/gpu=0",
            "required": true
          }
        ],
        "env": [
          "A=1"
        ],
        "extraHosts": [
          "db=10.0.0.1"
        ],
        "hostname": "builder",
        "mounts": [
          {
            "input": 1,
            "path": "/p",
            "readOnly": true,
            "target": "/m",
            "type": "bind"
          },
          {
            "readOnly": true,
            "sizeBytes": 9,
            "target": "/t",
            "type": "tmpfs"
          },
          {
            "base": {
              "input": 1,
              "path": "/b"
            },
            "gid": null,
            "id": "go",
            "mode": "755",
            "path": "/part",
            "readOnly": false,
            "sharing": "locked",
            "target": "/c",
            "type": "cache",
            "uid": 1
          },
          {
            "gid": 4,
            "id": "key",
            "mode": "400",
            "required": true,
            "target": "/s",
            "type": "secret",
            "uid": 3
          },
          {
            "gid": 6,
            "id": "default",
            "mode": "600",
            "required": false,
            "target": "/a",
            "type": "ssh",
            "uid": 5
          }
        ],
        "network": "none",
        "secretEnv": [
          {
            "id": "token",
            "name": "TOKEN",
            "required": false
          }
        ],
        "security": "insecure",
        "shmSizeBytes": 1048576,
        "type": "run",
        "ulimits": [
          "nofile=64:-1"
        ],
        "user": "me"
      },
      "stage": "build"
    }
    "#);
    insta::assert_snapshot!(format!("{:#}", value["vertices"][4]["op"]["actions"]), @r#"
    [
      {
        "destination": "/d/",
        "exclude": [],
        "input": 1,
        "link": true,
        "mode": null,
        "owner": "1:2",
        "parents": false,
        "sources": [
          "a"
        ],
        "type": "copy",
        "unpack": false
      },
      {
        "content": "hi",
        "mode": "644",
        "owner": null,
        "path": "/f",
        "sizeBytes": 2,
        "type": "makeFile"
      }
    ]
    "#);
}
