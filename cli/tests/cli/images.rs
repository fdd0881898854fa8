//! The commands for finished images.

use std::fs;

use crate::support::World;

fn two_images() -> World {
    let world = World::new();
    world.context(
        "Dockerfile",
        "FROM bb\nLABEL stage=final\nENV A=\"1 2\"\nCOPY file /\nEXPOSE 80\nCMD [\"cat\", \"/file\"]\n",
    );
    world.context("file", "content\n");
    world.ok(["build", "-q", "-t", "demo", "-t", "localhost:5000/team/demo:v1", "context"]);
    world
}

#[test]
fn images_are_listed_as_by_docker() {
    let world = two_images();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.ok(["images"]), @"
    REPOSITORY                 TAG          IMAGE ID       CREATED       SIZE
    bb                         latest       <id>   <age> <size>
    demo                       latest       <id>   <age> <size>
    localhost:5000/team/demo   v1           <id>   <age> <size>
    ");
    insta::assert_snapshot!(world.ok(["images", "--digests", "--no-trunc"]), @"
    REPOSITORY                 TAG          DIGEST       IMAGE ID                                                                  CREATED       SIZE
    bb                         latest       <none>       sha256:<digest>   <age> <size>
    demo                       latest       <none>       sha256:<digest>   <age> <size>
    localhost:5000/team/demo   v1           <none>       sha256:<digest>   <age> <size>
    ");
    insta::assert_snapshot!(world.ok(["image", "ls", "-a", "-q"]), @"
    <id>
    <id>
    <id>
    ");
    insta::assert_snapshot!(world.ok(["images", "demo"]), @"
    REPOSITORY   TAG          IMAGE ID       CREATED       SIZE
    demo         latest       <id>   <age> <size>
    ");
    insta::assert_snapshot!(world.ok(["images", "--format", "{{.Repository}}:{{.Tag}} {{.CreatedAt}}"]), @"
    bb:latest 2023-11-14 22:13:20 +0000 UTC
    demo:latest 2023-11-14 22:13:20 +0000 UTC
    localhost:5000/team/demo:v1 2023-11-14 22:13:20 +0000 UTC
    ");
    insta::assert_snapshot!(world.ok(["images", "--format", "table {{.Tag}}\\t{{.Repository}}"]), @"
    TAG          REPOSITORY
    latest       bb
    latest       demo
    v1           localhost:5000/team/demo
    ");
    insta::assert_snapshot!(world.ok(["images", "--format", "json", "bb"]), @r#"{"Containers":"N/A","CreatedAt":"2023-11-14 22:13:20 +0000 UTC","CreatedSince":"<age> ","Digest":"<none>","ID":"<id>","Repository":"bb","SharedSize":"N/A","Size":"<size>","Tag":"latest","UniqueSize":"N/A","VirtualSize":"<size>"}"#);
    insta::assert_snapshot!(world.ok(["images", "nothing"]), @"REPOSITORY   TAG          IMAGE ID     CREATED      SIZE");
}

#[test]
fn lists_are_filtered() {
    let world = two_images();
    world.ok(["rmi", "bb"]);
    world.ok(["import", "rootfs.tar"]);
    let names = |filter: &str| world.ok(["images", "-f", filter, "--format", "{{.Repository}}:{{.Tag}}"]);
    assert_eq!(names("label=stage=final"), "demo:latest\nlocalhost:5000/team/demo:v1\n");
    assert_eq!(names("dangling=true"), "<none>:<none>\n");
    assert_eq!(names("reference=*/*/*"), "localhost:5000/team/demo:v1\n");
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["images", "-f", "color=blue"]), @"
    exit code 1
    ---- stderr
    ERROR: invalid filter `color=blue`, expected one of before, dangling, label, label!, reference, since, until as NAME=VALUE
    ");
    insta::assert_snapshot!(world.run(["images", "--format", "{{.Nope}}"]), @r#"
    exit code 1
    ---- stderr
    ERROR: template parsing error: template: :1:2: executing "" at <.Nope>: map has no entry for key "Nope"
    "#);
}

#[test]
fn names_are_given_and_taken() {
    let world = two_images();
    let _guard = world.settings().bind_to_scope();
    let id = world.ok(["images", "-q", "--no-trunc", "demo"]);
    insta::assert_snapshot!(world.run(["tag", "demo", "other:2"]), @"exit code 0");
    insta::assert_snapshot!(world.run(["tag", "nope", "x"]), @"
    exit code 1
    ---- stderr
    ERROR: no such image: nope:latest
    hint: `slipway images` lists the images that there are
    ");
    insta::assert_snapshot!(world.run(["rmi", id.trim()]), @"
    exit code 1
    ---- stderr
    ERROR: conflict: unable to delete <id> (must be forced) - image is referenced in multiple repositories
    hint: remove its names (demo:latest, other:2, localhost:5000/team/demo:v1), or all of them with `--force`
    ");
    insta::assert_snapshot!(world.run(["rmi", "other:2", "missing"]), @"
    exit code 1
    ---- stdout
    Untagged: other:2
    ---- stderr
    ERROR: no such image: missing:latest
    hint: `slipway images` lists the images that there are
    ");
    insta::assert_snapshot!(world.run(["rmi", "--force", "missing"]), @"
    exit code 0
    ---- stderr
    ERROR: no such image: missing:latest
    hint: `slipway images` lists the images that there are
    ");
    insta::assert_snapshot!(world.run(["image", "rm", "--force", id.trim()]), @"
    exit code 0
    ---- stdout
    Untagged: demo:latest
    Untagged: localhost:5000/team/demo:v1
    Deleted: sha256:<digest>
    ");
    assert_eq!(world.ok(["images", "-q", "demo"]), "");
}

#[test]
fn history_and_inspect_have_dockers_fields() {
    let world = two_images();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.ok(["history", "demo"]), @r#"
    IMAGE          CREATED       CREATED BY               SIZE         COMMENT
    <id>   <age> CMD ["cat" "/file"]      <size>           buildkit.dockerfile.v0
    <missing>      <age> EXPOSE [80/tcp]          <size>           buildkit.dockerfile.v0
    <missing>      <age> COPY file / # buildkit   <size>           buildkit.dockerfile.v0
    <missing>      <age> ENV A=1 2                <size>           buildkit.dockerfile.v0
    <missing>      <age> LABEL stage=final        <size>           buildkit.dockerfile.v0
    <missing>      <age> <size>       busybox
    "#);
    insta::assert_snapshot!(world.ok(["history", "--human=false", "--format", "{{.CreatedAt}} {{.CreatedBy}}", "demo"]), @r#"
    2023-11-14T22:13:20Z CMD ["cat" "/file"]
    2023-11-14T22:13:20Z EXPOSE [80/tcp]
    2023-11-14T22:13:20Z COPY file / # buildkit
    2023-11-14T22:13:20Z ENV A=1 2
    2023-11-14T22:13:20Z LABEL stage=final
    2023-11-14T22:13:20Z
    "#);
    insta::assert_snapshot!(world.ok(["history", "-q", "demo"]), @"
    <id>
    <missing>
    <missing>
    <missing>
    <missing>
    <missing>
    ");
    insta::assert_snapshot!(world.ok(["inspect", "demo"]), @r#"
    [
        {
            "Id": "sha256:<digest>",
            "RepoTags": [
                "demo:latest",
                "localhost:5000/team/demo:v1"
            ],
            "RepoDigests": [],
            "Parent": "",
            "Comment": "buildkit.dockerfile.v0",
            "Created": "2023-11-14T22:13:20Z",
            "DockerVersion": "",
            "Author": "",
            "Config": {
                "Hostname": "",
                "Domainname": "",
                "User": "",
                "AttachStdin": false,
                "AttachStdout": false,
                "AttachStderr": false,
                "ExposedPorts": {
                    "80/tcp": {}
                },
                "Tty": false,
                "OpenStdin": false,
                "StdinOnce": false,
                "Env": [
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "A=1 2"
                ],
                "Cmd": [
                    "cat",
                    "/file"
                ],
                "ArgsEscaped": true,
                "Image": "",
                "Volumes": null,
                "WorkingDir": "",
                "Entrypoint": null,
                "OnBuild": null,
                "Labels": {
                    "stage": "final"
                }
            },
            "Architecture": "<arch>",
            "Os": "linux",
            "Size": <bytes>,
            "GraphDriver": {
                "Data": {
                    "LowerDir": "[home]/store/layers/<layer>/fs",
                    "MergedDir": "[home]/store/layers/<layer>/merged",
                    "UpperDir": "[home]/store/layers/<layer>/fs",
                    "WorkDir": "[home]/store/layers/<layer>/work"
                },
                "Name": "overlay2"
            },
            "RootFS": {
                "Type": "layers",
                "Layers": [
                    "sha256:<digest>",
                    "sha256:<digest>"
                ]
            },
            "Metadata": {
                "LastTagTime": "0001-01-01T00:00:00Z"
            }
        }
    ]
    "#);
    let format = "{{.Config.Env}} {{json .Config.Cmd}} {{.Config.Entrypoint}} {{index .Config.Labels \"stage\"}} {{len .RootFS.Layers}}";
    insta::assert_snapshot!(world.ok(["inspect", "-f", format, "demo"]), @r#"[PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin A=1 2] ["cat","/file"] [] final 2"#);
    insta::assert_snapshot!(world.run(["inspect", "--format", "{{.Config.Nope}}", "demo"]), @r#"
    exit code 1
    ---- stdout

    ---- stderr
    ERROR: template parsing error: template: :1:9: executing "" at <.Config.Nope>: map has no entry for key "Nope"
    "#);
    insta::assert_snapshot!(world.run(["image", "inspect", "missing"]), @"
    exit code 1
    ---- stdout
    []
    ---- stderr
    ERROR: no such image: missing:latest
    hint: `slipway images` lists the images that there are
    ");
    insta::assert_snapshot!(world.run(["history", "missing"]), @"
    exit code 1
    ---- stderr
    ERROR: no such image: missing:latest
    hint: `slipway images` lists the images that there are
    ");
}

#[test]
fn what_was_saved_can_be_loaded() {
    let world = two_images();
    world.ok(["save", "-o", "demo.tar", "demo", "localhost:5000/team/demo:v1"]);
    let id = world.ok(["images", "-q", "demo"]);
    let other = World::empty();
    fs::copy(world.path("demo.tar"), other.path("demo.tar")).unwrap();
    assert_eq!(
        other.ok(["load", "-i", "demo.tar"]),
        "Loaded image: demo:latest\nLoaded image: localhost:5000/team/demo:v1\n"
    );
    assert_eq!(other.ok(["images", "-q", "demo"]), id);
    let saved = fs::read(world.path("demo.tar")).unwrap();
    assert_eq!(other.run_with(&saved, ["load", "--quiet"]).code, 0);
    let _guard = other.settings().bind_to_scope();
    insta::assert_snapshot!(other.run_with(b"no archive", ["load"]), @"
    exit code 1
    ---- stderr
    ERROR: the archive is truncated at byte 10
    ");
    insta::assert_snapshot!(other.run(["load", "-i", "absent.tar"]), @"
    exit code 1
    ---- stderr
    ERROR: `absent.tar`: No such file or directory (os error 2)
    ");
    insta::assert_snapshot!(other.run(["save", "-o", "x.tar", "absent"]), @"
    exit code 1
    ---- stderr
    ERROR: no such image: absent:latest
    hint: `slipway images` lists the images that there are
    ");
    assert!(!other.path("x.tar").exists());
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let world = World::empty();
    world.write_rootfs("rootfs.tar");
    let tar = fs::read(world.path("rootfs.tar")).unwrap();
    let changes = ["-c", "CMD [\"echo\", \"hi\"]", "-c", "ENV A=1", "-m", "by hand"];
    let ran = world.run_with(&tar, ["import"].into_iter().chain(changes).chain(["-", "small:1"]));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(
        world.ok(["inspect", "-f", "{{.Config.Cmd}} {{.Config.Env}} {{.Comment}} {{.Created}}", "small:1"]),
        "[echo hi] [A=1] by hand 2023-11-14T22:13:20Z\n"
    );
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["import", "-c", "RUN true", "rootfs.tar"]), @"
    exit code 1
    ---- stderr
    ERROR: `RUN` is not a valid change command, expected one of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR
    ");
    insta::assert_snapshot!(world.run(["import", "absent.tar"]), @"
    exit code 1
    ---- stderr
    ERROR: `absent.tar`: No such file or directory (os error 2)
    ");
}
