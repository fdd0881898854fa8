//! Volumes and other mounts of containers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Command;

use crate::rootless;
use crate::support::{World, spawn};

/// Lines that a container writes.
fn container(world: &World, options: &[&str], script: &str) -> String {
    let command = ["bb", "sh", "-c", script];
    world.ok(["run", "--rm"].iter().chain(options).chain(&command).copied())
}

#[test]
fn volumes_are_made_listed_shown_and_removed() {
    let world = World::empty();
    assert_eq!(world.ok(["volume", "create", "--label", "a=b", "data"]), "data\n");
    assert_eq!(world.ok(["volume", "create", "data"]), "data\n", "it is there, which is no mistake");
    let anonymous = world.ok(["volume", "create"]);
    assert_eq!((anonymous.len(), anonymous.bytes().filter(u8::is_ascii_hexdigit).count()), (65, 64));
    assert_eq!(world.ok(["volume", "ls", "-q", "-f", "name=dat", "-f", "label=a=b"]), "data\n");
    assert_eq!(world.ok(["volume", "ls", "-q", "-f", "label=nope"]), "");
    assert_eq!(
        world.ok(["volume", "ls", "--format", "{{.Name}} {{.Driver}} {{.Labels}}", "-f", "label=a"]),
        "data local a=b\n"
    );
    let table = world.ok(["volume", "ls", "-f", "name=data"]);
    assert_eq!(table.split_whitespace().collect::<Vec<_>>(), ["DRIVER", "VOLUME", "NAME", "local", "data"]);
    let mountpoint = world.ok(["volume", "inspect", "-f", "{{.Mountpoint}}", "data"]);
    assert!(fs::metadata(mountpoint.trim()).unwrap().is_dir());
    let mut settings = world.settings();
    settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:]+Z", "<time>");
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!(world.ok(["volume", "inspect", "data"]), @r#"
    [
        {
            "CreatedAt": "<time>",
            "Driver": "local",
            "Labels": {
                "a": "b"
            },
            "Mountpoint": "[home]/store/volumes/data/_data",
            "Name": "data",
            "Options": null,
            "Scope": "local"
        }
    ]
    "#);
    insta::assert_snapshot!(world.run(["volume", "inspect", "nope"]), @r"
    exit code 1
    ---- stdout
    []
    ---- stderr
    ERROR: get nope: no such volume
    hint: `slipway volume ls` lists the volumes that there are
    ");
    assert_eq!(world.ok(["volume", "rm", "-f", "nope"]), "nope\n");
    assert_eq!(world.run(["volume", "rm", "nope"]).code, 1);
    let pruned = world.ok(["volume", "prune", "-f"]);
    assert_eq!(pruned, format!("Deleted Volumes:\n{anonymous}\nTotal reclaimed space: 0B\n"));
    assert_eq!(world.ok(["volume", "prune", "-af"]), "Deleted Volumes:\ndata\n\nTotal reclaimed space: 0B\n");
    assert_eq!(world.ok(["volume", "ls", "-q"]), "");
}

#[test]
fn mistakes_with_volumes_leave_nothing() {
    let world = World::new();
    let stderr = |arguments: &[&str]| {
        let ran = world.run(arguments);
        assert_eq!(ran.stdout, "", "{ran}");
        format!("{} {}", ran.code, ran.stderr)
    };
    insta::assert_snapshot!(stderr(&["volume", "create", "a/b"]), @r#"1 ERROR: create a/b: "a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path"#);
    insta::assert_snapshot!(stderr(&["volume", "create", "-d", "nope", "ab"]), @r#"1 ERROR: error looking up volume plugin nope: plugin "nope" not found"#);
    insta::assert_snapshot!(stderr(&["volume", "create", "-o", "colour=red", "ab"]), @r#"1 ERROR: invalid option: "colour""#);
    insta::assert_snapshot!(stderr(&["volume", "ls", "-f", "colour=red"]), @"1 ERROR: invalid filter 'colour=red'");
    insta::assert_snapshot!(stderr(&["run", "-v", "a:b:c:d", "bb", "true"]), @"125 ERROR: invalid volume specification: 'a:b:c:d'");
    insta::assert_snapshot!(stderr(&["run", "-v", "ab:/x:U", "bb", "true"]), @"125 ERROR: invalid mode: U");
    insta::assert_snapshot!(stderr(&["run", "-v", "ab:/", "bb", "true"]), @"125 ERROR: invalid mount path: '/' destination can't be '/'");
    insta::assert_snapshot!(stderr(&["run", "-v", "ab:/x", "--tmpfs", "/x", "bb", "true"]), @"125 ERROR: Duplicate mount point: /x");
    insta::assert_snapshot!(stderr(&["run", "--mount", "type=bind,src=/nope/x,dst=/x", "bb", "true"]), @r#"125 ERROR: invalid mount config for type "bind": bind source path does not exist: /nope/x"#);
    insta::assert_snapshot!(stderr(&["run", "-v", "/proc/nope:/x", "bb", "true"]), @"125 ERROR: error while creating mount source path '/proc/nope': No such file or directory (os error 2)");
    insta::assert_snapshot!(stderr(&["run", "--mount", "type=volume,src=ab,dst=/x,volume-subpath=../nope", "bb", "true"]), @"125 ERROR: cannot start the container: `subpath` has the value `../nope`: No such file or directory (os error 2)");
    assert_eq!(stderr(&["run", "--rm", "-v", "/x", "bb", "nope"]).split(' ').next(), Some("127"));
    assert_eq!(
        world.ok(["volume", "ls", "-q"]),
        "ab\n",
        "the named one that was asked for, and no anonymous one"
    );
}

#[test]
fn files_of_a_volume_outlive_their_container() {
    let world = World::new();
    container(&world, &["-v", "data:/data"], "echo kept > /data/file");
    assert_eq!(
        container(&world, &["-v", "data:/in:ro"], "cat /in/file; touch /in/x 2>/dev/null || echo refused"),
        "kept\nrefused\n"
    );
    let options = ["--mount", "src=data,dst=/in,volume-subpath=file,readonly"];
    assert_eq!(
        container(&world, &options, "cat /in; echo x 2>/dev/null >/in || echo refused"),
        "kept\nrefused\n"
    );
    // An anonymous one goes with its container.
    container(&world, &["-v", "/data"], "echo x > /data/file");
    assert_eq!(world.ok(["volume", "ls", "-q"]), "data\n");
}

/// An image with a volume that has content, an owner and a mode of its own.
fn image_with_a_volume(world: &World) {
    world.context("Dockerfile", "FROM bb\nRUN mkdir /data /data/sub && echo image > /data/file && busybox chown -R 7:7 /data && busybox chmod 1711 /data\nRUN busybox ln -s data /link\nVOLUME /data\n");
    world.ok(["build", "-q", "-t", "volume", "context"]);
}

#[test]
fn a_new_volume_begins_with_what_the_image_has() {
    let world = World::new();
    image_with_a_volume(&world);
    let show = "cat /data/file; busybox stat -c '%u %g %a' /data; [ -d /data/sub ] && echo sub";
    let run = |options: &[&str], script: &str| {
        let command = ["volume", "sh", "-c", script];
        let words = ["run", "--rm"].iter().chain(options).chain(&command).copied();
        world.ok(words)
    };
    let seeded = "image\n7 7 1711\nsub\n";
    assert_eq!(run(&[], show), seeded, "the image's own volume, which is gone afterwards");
    assert_eq!(world.ok(["volume", "ls", "-q"]), "");
    assert_eq!(run(&["-v", "v1:/data"], show), seeded);
    run(&["-v", "v1:/data"], "echo changed > /data/file");
    assert_eq!(run(&["-v", "v1:/data"], "cat /data/file"), "changed\n");
    assert_eq!(run(&["-v", "v2:/link"], "cat /link/file"), "image\n", "through the image's link");
    assert_eq!(run(&["-v", "v3:/data:nocopy"], "ls /data"), "");
    assert_eq!(run(&["--mount", "src=v4,dst=/data,volume-nocopy"], "ls /data"), "");
    let options = ["-o", "type=none", "-o", "o=bind", "-o"];
    let device = format!("device={}", world.path("device").display());
    world.ok(["volume", "create"].iter().chain(&options).chain(&[device.as_str(), "v5"]).copied());
    let ran = world.run(["run", "--rm", "-v", "v5:/data", "volume", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("failed to mount local volume"), "{ran}");
    fs::create_dir(world.path("device")).unwrap();
    assert_eq!(run(&["-v", "v5:/data"], show), seeded);
    assert_eq!(fs::read_to_string(world.path("device/file")).unwrap(), "image\n");
    assert_eq!(run(&["--tmpfs", "/data"], "ls /data"), "");
    assert_eq!(
        run(
            &["--mount", "type=tmpfs,dst=/data,tmpfs-size=64k,tmpfs-mode=700"],
            "busybox stat -c %a /data; busybox df -k /data | busybox awk 'END { print $2 }'"
        ),
        "700\n64\n"
    );
}

#[test]
fn directories_of_the_host_are_made_or_missed() {
    let world = World::new();
    let made = world.path("made/by us");
    let volume = format!("{}:/in", made.display());
    assert_eq!(container(&world, &["-v", &volume], "echo from inside > /in/file; id -u"), "0\n");
    assert_eq!(fs::read_to_string(made.join("file")).unwrap(), "from inside\n");
    assert_eq!(fs::metadata(&made).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(
        container(
            &world,
            &["-v", "./made/by us:/in:ro"],
            "cat /in/file; touch /in/x 2>/dev/null || echo refused"
        ),
        "from inside\nrefused\n"
    );
    let mount = format!("type=bind,src={},dst=/made/in/the/image", made.join("file").display());
    assert_eq!(container(&world, &["--mount", &mount], "cat /made/in/the/image"), "from inside\n");
    // Outer mounts come first, whatever the order in which they are asked for.
    let options = ["-v", &format!("{}:/a/b", made.display()), "--tmpfs", "/a:mode=711"];
    assert_eq!(container(&world, &options, "busybox stat -c %a /a; cat /a/b/file"), "711\nfrom inside\n");
    // A link in the image leads nowhere but into the image.
    world.context("Dockerfile", "FROM bb\nRUN busybox ln -s ../../../etc /out\n");
    world.ok(["build", "-q", "-t", "link", "context"]);
    let before = fs::read_dir("/etc").unwrap().count();
    assert_eq!(
        world.ok(["run", "--rm", "-v", &volume.replace(":/in", ":/out/in"), "link", "cat", "/etc/in/file"]),
        "from inside\n"
    );
    assert_eq!(fs::read_dir("/etc").unwrap().count(), before);
}

/// What a mount of the host looks like from a container that began before it.
fn seen_later(option: &str) -> String {
    let world = World::new();
    fs::create_dir(world.path("shared")).unwrap();
    fs::create_dir(world.path("shared/later")).unwrap();
    let script = format!(
        "mount --bind shared shared && mount --make-shared shared || exit 99
        mkfifo go; (sleep 0; exec 3<>go; {binary} run --rm -i -v \"$PWD/shared:/in:{option}\" bb sh -c 'echo up; read x; ls /in/later; ' <go | while read line; do
            if [ \"$line\" = up ]; then mount -t tmpfs none shared/later && touch shared/later/seen && echo >&3; else echo $line; fi; done)",
        binary = crate::support::binary().display(),
    );
    let mut command = world.command(["version"]);
    let environment: Vec<_> =
        command.get_envs().map(|(k, v)| (k.to_owned(), v.unwrap().to_owned())).collect();
    command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    command.env_clear().envs(environment).current_dir(world.path(""));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn later_mounts_are_seen_when_they_are_asked_for() {
    if !rootless::is_root() {
        return;
    }
    assert_eq!(seen_later("rslave"), "seen\n");
    assert_eq!(seen_later("rshared"), "seen\n");
    assert_eq!(seen_later("rprivate"), "");
    let world = World::new();
    fs::create_dir(world.path("d")).unwrap();
    let volume = format!("{}:/in:rshared", world.path("d").display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]).arg(crate::support::binary());
    command.args(["run", "-v", &volume, "bb", "true"]).env("SLIPWAY_ROOT", world.path("store"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("but it is not a shared mount"), "{output:?}");
}

#[test]
fn a_volume_in_use_stays() {
    let world = World::new();
    let mut command =
        world.command(["run", "--rm", "-i", "-v", "data:/data", "bb", "sh", "-c", "echo up; read x"]);
    let mut child = spawn(command.stdin(std::process::Stdio::piped()));
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let refused = world.run(["volume", "rm", "data"]);
    assert!(refused.code == 1 && refused.stderr.contains("remove data: volume is in use"), "{refused}");
    assert_eq!(world.ok(["volume", "ls", "-q", "-f", "dangling=true"]), "");
    assert_eq!(world.ok(["volume", "prune", "-af"]), "Total reclaimed space: 0B\n");
    // The container is not the client's: it goes on when that is killed.
    child.kill().unwrap();
    child.wait().unwrap();
    let container = world.ok(["ps", "-q"]);
    let refused = world.run(["volume", "rm", "data"]);
    assert!(refused.stderr.contains(container.trim()), "{refused}");
    world.ok(["rm", "-f", container.trim()]);
    let removed = world.run(["volume", "rm", "data"]);
    assert_eq!(removed.code, 0, "{removed}");
}

#[test]
fn a_container_keeps_its_empty_volume_when_another_one_fills_it() {
    let world = World::new();
    image_with_a_volume(&world);
    let wait = "until [ -e /x/file ]; do busybox sleep 0.05; done; cat /x/file; echo seen > /x/seen";
    world.ok(["run", "-d", "--name", "first", "-v", "data:/x", "bb", "sh", "-c", wait]);
    let filled =
        world.ok(["run", "--rm", "-v", "data:/data", "volume", "busybox", "stat", "-c", "%u %a", "/data"]);
    assert_eq!(filled, "7 1711\n");
    assert_eq!(world.ok(["wait", "first"]), "0\n");
    assert_eq!(world.ok(["logs", "first"]), "image\n");
    assert_eq!(container(&world, &["-v", "data:/x"], "cat /x/seen"), "seen\n");
    world.ok(["rm", "first"]);
}

#[test]
fn a_volume_whose_facts_cannot_be_read_is_not_used() {
    let world = World::new();
    fs::create_dir(world.path("device")).unwrap();
    let device = format!("device={}", world.path("device").display());
    world.ok(["volume", "create", "-o", "type=none", "-o", "o=bind", "-o", &device, "data"]);
    let facts = world.path("store/volumes/data/facts");
    let whole = fs::read(&facts).unwrap();
    fs::write(&facts, &whole[..whole.len() / 2]).unwrap();
    let refused = world.run(["run", "--rm", "-v", "data:/d", "bb", "sh", "-c", "echo 1 > /d/f"]);
    assert!(refused.code == 125 && refused.stderr.contains("volume data: "), "{refused}");
    assert_eq!(fs::read_dir(world.path("store/volumes/data/_data")).unwrap().count(), 0);
    assert_eq!(world.ok(["volume", "ls", "-q"]), "data\n");
    assert_eq!(world.ok(["volume", "rm", "data"]), "data\n");
    // Those that a power cut took are the default ones.
    world.ok(["volume", "create", "other"]);
    fs::write(world.path("store/volumes/other/facts"), "").unwrap();
    assert_eq!(container(&world, &["-v", "other:/d"], "echo 1 > /d/f; cat /d/f"), "1\n");
}

#[test]
fn drivers_mount_what_their_options_say() {
    let world = World::new();
    world.ok([
        "volume",
        "create",
        "-o",
        "type=tmpfs",
        "-o",
        "device=tmpfs",
        "-o",
        "o=size=64k,uid=7",
        "memory",
    ]);
    assert_eq!(
        container(
            &world,
            &["-v", "memory:/m"],
            "busybox stat -c %u /m; busybox df -k /m | busybox awk 'END { print $2 }'"
        ),
        "7\n64\n"
    );
    world.ok(["volume", "create", "-o", "type=nosuchtype", "-o", "device=:/x", "server"]);
    let ran = world.run(["run", "-v", "server:/m", "bb", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("nosuchtype"), "{ran}");
    // Where the kernel knows NFS, nobody listens there.
    let options = ["-o", "type=nfs", "-o", "device=:/x", "-o"];
    world
        .ok([&["volume", "create"][..], &options, &["o=addr=localhost,port=1,soft,retrans=0", "nfs"]]
            .concat());
    let ran = world.run(["run", "-v", "nfs:/m", "bb", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("nfs"), "{ran}");
    world.ok([&["volume", "create"][..], &options, &["o=addr=no such host", "lost"]].concat());
    let ran = world.run(["run", "-v", "lost:/m", "bb", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("the server of volume lost"), "{ran}");
}

#[test]
fn a_user_has_volumes() {
    let script = "slipway import rootfs.tar bb > id && slipway run --rm -u sailor -v data:/data bb sh -c 'id -u; touch /data/x 2>/dev/null || echo refused' &&
        mkdir mine && echo mine > mine/file && slipway run --rm -v $PWD/mine:/in -v data:/data bb sh -c 'cat /in/file > /data/copy; echo back > /in/back; cat /data/copy' &&
        stat -c %U mine/back >id; cat mine/back; slipway volume rm data";
    for ranges in [rootless::SUBORDINATE, ""] {
        let Some(world) = rootless::user() else { return };
        let script = if ranges.is_empty() {
            script
                .replace("-u sailor", "-u 0")
                .replace("id -u; touch /data/x 2>/dev/null || echo refused", "echo 7; echo refused")
        } else {
            script.to_owned()
        };
        let ran = rootless::as_user(&world, ranges, &script);
        assert_eq!(ran.stdout, "7\nrefused\nmine\nback\ndata\n", "{ran}");
    }
}

/// Only root can give the volume of a test to somebody.
#[test]
fn the_owner_of_a_directory_of_the_host_stays() {
    if !rootless::is_root() {
        return;
    }
    let world = World::new();
    fs::create_dir(world.path("owned")).unwrap();
    chown(world.path("owned"), Some(7), Some(7)).unwrap();
    fs::set_permissions(world.path("owned"), fs::Permissions::from_mode(0o700)).unwrap();
    let volume = format!("{}:/in", world.path("owned").display());
    assert_eq!(
        container(&world, &["-u", "sailor", "-v", &volume], "touch /in/x && busybox stat -c '%u %a' /in"),
        "7 700\n"
    );
}

#[test]
fn containers_lend_their_volumes() {
    let world = World::new();
    fs::create_dir(world.path("host")).unwrap();
    let bind = format!("{}:/host", world.path("host").display());
    let options = ["-v", "/anonymous", "-v", "data:/data", "-v", &bind, "--tmpfs", "/scratch"];
    let script = "for dir in anonymous data host; do echo lent > /$dir/file; done";
    world.ok([&["run", "--name", "lender"], &options[..], &["bb", "sh", "-c", script]].concat());
    let look = "cat /*/file; test -e /scratch || echo no scratch; touch /data/more || echo read only";
    let borrow = |from: &str| {
        let words = ["run", "--name", "borrower", "--volumes-from", from, "-v", "own:/host"];
        let shown = world.run([&words[..], &["bb", "sh", "-c", look]].concat()).stdout;
        let mounts = world.ok(["inspect", "-f", "{{.HostConfig.VolumesFrom}}", "borrower"]);
        (shown, mounts)
    };
    assert_eq!(borrow("lender:ro"), ("lent\nlent\nno scratch\nread only\n".into(), "[lender:ro]\n".into()));
    // The lender is gone, and what it has lent is not.
    world.ok(["rm", "-v", "lender"]);
    assert_eq!(world.ok(["start", "-a", "borrower"]), "lent\nlent\nno scratch\nread only\n");
    world.ok(["rm", "-v", "borrower"]);
    let absent = world.run(["create", "--volumes-from", "absent", "bb", "true"]);
    assert!(absent.code == 1 && absent.stderr.contains("No such container: absent"), "{absent}");
    let mode = world.run(["create", "--volumes-from", "x:z", "bb", "true"]);
    assert!(mode.code == 1 && mode.stderr.contains("invalid mode: z"), "{mode}");
}

#[test]
fn volumes_go_with_a_container_whose_creation_was_killed() {
    let world = World::new();
    world.ok(["volume", "create", "other"]);
    let name = world.ok(["volume", "create"]);
    let staged = world.path("store/containers/.new-0123456789ab");
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join("volumes"), format!("{name}{}\n", "0".repeat(64))).unwrap();
    assert_eq!(world.ok(["ps", "-aq"]), "");
    assert_eq!(world.ok(["volume", "ls", "-q"]), "other\n");
    assert!(!staged.exists());
    // One that was made leaves no such note, and keeps its volume when it goes.
    let id = world.ok(["create", "--name", "kept", "-v", "/data", "bb", "true"]);
    assert!(!world.path("store/containers").join(id.trim()).join("volumes").exists());
    world.ok(["rm", "kept"]);
    assert_eq!(world.ok(["volume", "ls", "-q"]).lines().count(), 2);
}
