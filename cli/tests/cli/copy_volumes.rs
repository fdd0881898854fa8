//! What a container that does not run would have mounted, for `cp`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::World;

#[test]
fn volumes_are_there_although_the_container_does_not_run() {
    let world = World::new();
    fs::create_dir_all(world.path("host/sub")).unwrap();
    fs::write(world.path("host/sub/file"), "of the host").unwrap();
    fs::write(world.path("file"), "text").unwrap();
    let host = world.path("host").display().to_string();
    let (writable, fixed) = (format!("{host}:/host"), format!("{host}:/fixed:ro"));
    let alone = format!("{host}/sub/file:/alone");
    let mounts = ["-v", "data:/srv/data", "-v", &writable, "-v", &fixed, "-v", &alone];
    world.ok([&["create", "--name", "rest"][..], &mounts, &["bb", "cat", "/srv/data/sub/file"]].concat());

    world.ok(["cp", "file", "rest:/srv/data"]);
    world.ok(["cp", "host/sub", "rest:/srv/data"]);
    world.ok(["cp", "file", "rest:/srv/data/sub/"]);
    world.ok(["cp", "rest:/srv/data", "whole"]);
    world.ok(["cp", "rest:/srv/data/.", "whole/again"]);
    assert_eq!(fs::read_to_string(world.path("whole/sub/file")).unwrap(), "text");
    assert_eq!(fs::read_to_string(world.path("whole/again/file")).unwrap(), "text");
    world.ok(["cp", "rest:/srv/data", "whole"]);
    assert!(world.path("whole/data/sub/file").exists(), "under its own name where there is a directory");
    assert_eq!(world.ok(["start", "-a", "rest"]), "text");

    world.ok(["cp", "file", "rest:/host/new"]);
    assert_eq!(fs::read_to_string(world.path("host/new")).unwrap(), "text");
    world.ok(["cp", "rest:/fixed/sub/file", "read"]);
    assert_eq!(fs::read_to_string(world.path("read")).unwrap(), "of the host");
    let refused = [
        ("rest:/fixed/new", "mounted volume is marked read-only"),
        ("rest:/alone", "start it first"),
        ("rest:/host/absent/file", "Could not find the file /host/absent/file in container rest"),
    ];
    for (to, expected) in refused {
        let ran = world.run(["cp", "file", to]);
        assert!(ran.code == 1 && ran.stderr.contains(expected), "{to}: {ran}");
    }
    assert!(!world.path("host/sub/new").exists());
}

#[test]
fn no_link_of_a_volume_leads_out_of_it() {
    let world = World::new();
    fs::create_dir_all(world.path("host/sub")).unwrap();
    fs::write(world.path("secret"), "of the host").unwrap();
    fs::write(world.path("host/sub/file"), "text").unwrap();
    for (name, target) in [("near", "sub/file"), ("abs", "/etc/passwd"), ("up", "../secret"), ("dir", "..")] {
        symlink(target, world.path("host").join(name)).unwrap();
    }
    let mount = format!("{}:/host", world.path("host").display());
    world.ok(["create", "--name", "rest", "-v", &mount, "bb", "true"]);
    world.ok(["cp", "-L", "rest:/host/near", "near"]);
    assert_eq!(fs::read_to_string(world.path("near")).unwrap(), "text");
    for path in ["/host/abs", "/host/up", "/host/dir/secret"] {
        let ran = world.run(["cp", "-L", &format!("rest:{path}"), "out"]);
        assert!(ran.code == 1 && ran.stderr.contains("leads out of what is mounted on `/host`"), "{ran}");
        let ran = world.run(["cp", "near", &format!("rest:{path}")]);
        assert_eq!(ran.code, 1, "{ran}");
    }
    assert_eq!(fs::read_to_string(world.path("secret")).unwrap(), "of the host");
    assert!(!world.path("out").exists());
}

#[test]
fn a_directory_is_copied_with_what_is_mounted_beneath_it() {
    let world = World::new();
    fs::create_dir_all(world.path("host/sub")).unwrap();
    fs::write(world.path("host/sub/file"), "of the host").unwrap();
    fs::write(world.path("secret"), "of the host").unwrap();
    symlink("../../secret", world.path("host/sub/out")).unwrap();
    fs::write(world.path("file"), "text").unwrap();
    let host = world.path("host").display().to_string();
    let mounts = [
        String::from("type=volume,source=data,target=/srv/data"),
        format!("type=bind,source={host},target=/srv/data/host,readonly"),
        format!("type=bind,source={host}/sub/file,target=/srv/alone"),
        String::from("type=tmpfs,target=/srv/memory"),
    ];
    let mounts = mounts.iter().flat_map(|mount| ["--mount", mount]);
    let script = "touch /srv/data/of-volume /srv/kept; mkdir -p /srv/data/more; ls /srv";
    let command: Vec<&str> =
        ["create", "--name", "rest"].into_iter().chain(mounts).chain(["bb", "sh", "-c", script]).collect();
    world.ok(command);
    world.ok(["start", "-a", "rest"]);
    for (from, to) in [("rest:/srv", "srv"), ("rest:/srv/.", "again"), ("rest:/srv/data", "data")] {
        world.ok(["cp", from, to]);
    }
    for top in ["srv", "again"] {
        let top = world.path(top);
        assert_eq!(fs::read_to_string(top.join("alone")).unwrap(), "of the host");
        assert!(top.join("kept").exists() && top.join("data/of-volume").exists());
        assert!(top.join("data/more").is_dir());
        assert_eq!(fs::read_to_string(top.join("data/host/sub/file")).unwrap(), "of the host");
        assert!(top.join("data/host/sub/out").is_symlink(), "links are copied as they are");
    }
    assert_eq!(fs::read_to_string(world.path("data/host/sub/file")).unwrap(), "of the host");
    let list = world.run(["cp", "rest:/srv", "-"]).stdout;
    assert!(list.contains("srv/data/host/sub/file") && list.contains("srv/data/of-volume"));
}

#[test]
fn what_is_mounted_beneath_is_there_before_a_container_has_run() {
    let world = World::new();
    fs::create_dir(world.path("host")).unwrap();
    fs::write(world.path("host/file"), "text").unwrap();
    let mount = format!("{}:/new", world.path("host").display());
    world.ok(["create", "--name", "fresh", "-v", &mount, "bb", "true"]);
    world.ok(["cp", "fresh:/", "all"]);
    assert_eq!(fs::read_to_string(world.path("all/new/file")).unwrap(), "text");
    assert!(world.path("all/bin").is_dir());
}
