//! Files on their way into a container and out of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{RenameFlags, renameat_with};

use crate::containers::start;
use crate::rootless::{SUBORDINATE, as_user, user};
use crate::support::{Ran, World};

/// Turns of a race, each with nine copies.
const RACES: usize = 8;

/// A container that does nothing, and one that has ended.
fn world() -> World {
    let world = World::new();
    start(&world, &["--name", "web", "-v", "data:/data"], "mkdir /d; echo ready; exec sleep 1000");
    world.ok(["create", "--name", "rest", "-v", "data:/data", "--tmpfs", "/memory", "bb", "true"]);
    world
}

fn exec(world: &World, script: &str) -> String {
    world.ok(["exec", "web", "sh", "-c", script])
}

/// What a container that does not run has at a path.
fn content_at_rest(world: &World, path: &str) -> String {
    world.ok(["cp", &format!("rest:{path}"), "out-of-rest"]);
    fs::read_to_string(world.path("out-of-rest")).unwrap()
}

/// Runs with standard input from a file, as bytes on standard output.
fn piped(world: &World, arguments: &[&str], input: &[u8]) -> (Ran, Vec<u8>) {
    fs::write(world.path("stdin"), input).unwrap();
    let stdin = fs::File::open(world.path("stdin")).unwrap();
    let output = world.command(arguments).stdin(stdin).stdout(Stdio::piped()).output().unwrap();
    (Ran::of(&output), output.stdout)
}

#[test]
fn files_are_copied_by_dockers_rules() {
    let world = world();
    fs::create_dir_all(world.path("tree/sub")).unwrap();
    fs::write(world.path("tree/sub/file"), "text").unwrap();
    fs::set_permissions(world.path("tree/sub/file"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(world.path("tree/sub/file"), world.path("tree/same")).unwrap();
    symlink("sub/file", world.path("tree/link")).unwrap();
    // To a directory that is not there, to one that is, and only what is in it.
    for target in ["web:/new", "web:/d", "rest:/new", "rest:/tmp"] {
        world.ok(["cp", "tree", target]);
    }
    world.ok(["cp", "tree/.", "web:/"]);
    let script =
        "cat /new/sub/file /d/tree/sub/file /sub/file; readlink /new/link; stat -c '%a %u %h' /new/same";
    assert_eq!(exec(&world, script), "texttexttextsub/file\n4751 0 2\n");
    assert_eq!(content_at_rest(&world, "/new/sub/file"), "text");
    assert_eq!(content_at_rest(&world, "/tmp/tree/same"), "text");
    world.ok(["start", "rest"]);
    world.ok(["wait", "rest"]);
    assert_eq!(content_at_rest(&world, "/new/sub/file"), "text", "a start changes nothing");
    // A file replaces a file, under the name of the destination.
    fs::write(world.path("other"), "longer text").unwrap();
    world.ok(["cp", "other", "web:/new/sub/file"]);
    world.ok(["cp", "web:/new", "back"]);
    assert_eq!(fs::read_to_string(world.path("back/sub/file")).unwrap(), "longer text");
    assert_eq!(
        fs::read_to_string(world.path("back/same")).unwrap(),
        "text",
        "the other name has the old file"
    );
    assert_eq!(fs::read_link(world.path("back/link")).unwrap().to_str(), Some("sub/file"));
    // Volumes are there while it runs.
    world.ok(["cp", "other", "web:/data/kept"]);
    assert_eq!(exec(&world, "cat /data/kept"), "longer text");
}

#[test]
fn owners_and_links_are_kept_on_demand() {
    let world = world();
    exec(
        &world,
        "echo a > /d/owned; chown 12:34 /d/owned; ln -s owned /d/link; touch -d '2001-02-03' /d/owned",
    );
    world.ok(["cp", "-a", "web:/d/owned", "kept"]);
    world.ok(["cp", "web:/d/owned", "given"]);
    let (kept, given) =
        (fs::metadata(world.path("kept")).unwrap(), fs::metadata(world.path("given")).unwrap());
    assert_eq!((kept.uid(), kept.gid()), (12, 34));
    assert_eq!((given.uid(), given.gid()), (0, 0));
    assert_eq!(kept.mtime(), given.mtime());
    assert!(kept.mtime() < 1_000_000_000, "the time is kept");
    world.ok(["cp", "-a", "kept", "web:/d/again"]);
    assert_eq!(exec(&world, "stat -c '%u:%g' /d/again"), "12:34\n");
    world.ok(["cp", "web:/d/link", "link"]);
    assert!(fs::symlink_metadata(world.path("link")).unwrap().is_symlink());
    world.ok(["cp", "-L", "web:/d/link", "led"]);
    assert_eq!(fs::read_to_string(world.path("led")).unwrap(), "a\n");
}

#[test]
fn archives_go_through_pipes() {
    let world = world();
    exec(&world, "mkdir -p /d/x; echo 1 > /d/x/one");
    let (ran, tar) = piped(&world, &["cp", "web:/d", "-"], b"");
    assert_eq!(ran.code, 0, "{ran}");
    for container in ["web:/tmp", "rest:/tmp"] {
        let (ran, _) = piped(&world, &["cp", "-", container], &tar);
        assert_eq!(ran.code, 0, "{ran}");
    }
    assert_eq!(exec(&world, "cat /tmp/d/x/one"), "1\n");
    assert_eq!(content_at_rest(&world, "/tmp/d/x/one"), "1\n");
    fs::write(world.path("d.tar"), &tar).unwrap();
    let listed = Command::new("tar").args(["tf", "d.tar"]).current_dir(world.path("")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "d/\nd/x/\nd/x/one\n");
    let (ran, _) = piped(&world, &["cp", "-", "web:/tmp"], b"this is no archive, whatever else it may be");
    assert!(ran.code != 0 && ran.stderr.contains("archive"), "{ran}");
    let climbing =
        Command::new("tar").args(["cPf", "-", "../etc/hostname"]).current_dir("/tmp").output().unwrap();
    let (ran, _) = piped(&world, &["cp", "-", "web:/tmp"], &climbing.stdout);
    assert!(ran.code == 1 && ran.stderr.contains("leads out of its directory"), "{ran}");
}

#[test]
fn no_link_of_a_container_leads_out() {
    let world = world();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "of the host").unwrap();
    fs::write(world.path("file"), "new").unwrap();
    let outside = outside.to_str().unwrap();
    fs::create_dir(world.path("links")).unwrap();
    for name in ["abs", "up"] {
        let up = if name == "up" { "../../../../../../../../.." } else { "" };
        symlink(format!("{up}{outside}"), world.path("links").join(name)).unwrap();
    }
    for container in ["web", "rest"] {
        world.ok(["cp", "links", &format!("{container}:/links")]);
        for name in ["abs", "up"] {
            let read = world.run(["cp", &format!("{container}:/links/{name}/secret"), "read"]);
            assert!(read.code == 1 && read.stderr.contains("Could not find the file"), "{read}");
            let followed = world.run(["cp", "-L", &format!("{container}:/links/{name}"), "read"]);
            assert!(followed.code == 1, "{followed}");
            let written = world.run(["cp", "file", &format!("{container}:/links/{name}/file")]);
            assert!(written.code == 1, "{written}");
        }
    }
    assert!(!world.path("read").exists() && !world.path("outside/file").exists());
    // The processes of others are no way out either.
    let through = world.run(["cp", "web:/proc/1/root/etc/passwd", "read"]);
    assert!(through.code == 1 && !world.path("read").exists(), "{through}");
}

#[test]
fn a_container_that_swaps_directories_for_links_gains_nothing() {
    let world = World::new();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "of the host").unwrap();
    let script = format!(
        "mkdir /d /d/real; echo inside > /d/real/file; ln -s {} /d/trap; echo ready
         while true; do mv /d/real /d/x; mv /d/trap /d/real; mv /d/real /d/trap; mv /d/x /d/real; done",
        outside.display()
    );
    start(&world, &["--name", "web"], &script);
    fs::write(world.path("file"), "new").unwrap();
    for turn in 0..20 {
        world.run(["cp", "file", "web:/d/real/new"]);
        let to = format!("out-{turn}");
        world.run(["cp", "web:/d/real/file", &to]);
        let read = fs::read_to_string(world.path(&to)).unwrap_or_default();
        assert!(read.is_empty() || read == "inside\n", "{read}");
        let whole = format!("whole-{turn}");
        world.run(["cp", "web:/d", &whole]);
    }
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "nothing was written outside");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "of the host");
}

#[test]
fn a_path_that_changes_places_with_a_link_while_it_is_copied_leads_nowhere() {
    let world = world();
    let outside = world.path("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "of the host").unwrap();
    fs::write(world.path("file"), "new").unwrap();
    // In the container's own files, and in a volume that a container at rest has as well.
    for directory in ["/d", "/data"] {
        let script = format!("mkdir {directory}/real; echo inside > {directory}/real/file");
        exec(&world, &format!("{script}; ln -s {} {directory}/trap", outside.display()));
    }
    let pid = crate::containers::inspect(&world, "web", "{{.State.Pid}}");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for directory in ["d", "data"] {
            let (pid, is_over) = (&pid, &is_over);
            scope.spawn(move || {
                let directory = fs::File::open(format!("/proc/{pid}/root/{directory}")).unwrap();
                while !is_over.load(Ordering::Relaxed) {
                    let how = RenameFlags::EXCHANGE;
                    renameat_with(&directory, "real", &directory, "trap", how).unwrap();
                }
            });
        }
        for turn in 0..RACES {
            for place in ["web:/d", "web:/data", "rest:/data"] {
                world.run(["cp", "file", &format!("{place}/real/new")]);
                let to = format!("out-{turn}");
                world.run(["cp", "-L", &format!("{place}/real/file"), &to]);
                let read = fs::read_to_string(world.path(&to)).unwrap_or_default();
                assert!(read.is_empty() || read == "inside\n", "{read}");
                world.run(["cp", place, &format!("whole-{turn}")]);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["file"], "nothing was written outside");
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "of the host");
}

#[test]
fn attributes_travel_both_ways() {
    let world = world();
    let attribute = |arguments: &[&str]| {
        let output = Command::new(arguments[0]).args(&arguments[1..]).current_dir(world.path("")).output();
        let output = output.expect("the tests need the package attr");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("tree/file"), "text").unwrap();
    for path in ["tree", "tree/file"] {
        attribute(&["setfattr", "-n", "user.note", "-v", path, path]);
    }
    attribute(&["setfattr", "-n", "trusted.note", "-v", "stays", "tree/file"]);
    // CAP_NET_BIND_SERVICE, permitted and effective.
    let capability = "0sAQAAAgAEAAAAAAAAAAAAAAAAAAA=";
    attribute(&["setfattr", "-n", "security.capability", "-v", capability, "tree/file"]);
    for container in ["web", "rest"] {
        let back = format!("of-{container}");
        world.ok(["cp", "tree", &format!("{container}:/copied")]);
        world.ok(["cp", &format!("{container}:/copied"), &back]);
        let file = format!("{back}/file");
        assert_eq!(attribute(&["getfattr", "--only-values", "-n", "user.note", &back]), "tree");
        assert_eq!(attribute(&["getfattr", "--only-values", "-n", "user.note", &file]), "tree/file");
        let all = attribute(&["getfattr", "-d", "-m", "-", "-e", "base64", &file]);
        assert!(all.contains(&format!("security.capability={capability}")), "{all}");
        assert!(!all.contains("trusted."), "{all}");
    }
}

#[test]
fn mistakes_of_a_copy_are_told_in_dockers_words() {
    let world = world();
    fs::create_dir(world.path("tree")).unwrap();
    fs::write(world.path("file"), "text").unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["cp", "file", "other"], "must specify at least one container source"),
        (&["cp", "web:/a", "rest:/b"], "copying between containers is not supported"),
        (&["cp", "absent:/a", "b"], "No such container: absent"),
        (&["cp", "web:/absent", "b"], "Could not find the file /absent in container web"),
        (&["cp", "absent", "web:/b"], "absent: no such file or directory"),
        (&["cp", "file", "web:/no/such/file"], "Could not find the file /no/such/file in container web"),
        (&["cp", "tree", "web:/etc/passwd"], "cannot copy directory"),
        (&["cp", "file", "web:/absent/"], "no such directory"),
        (&["cp", "-", "web:/etc/passwd"], "must be a directory"),
        (&["cp", "file", "rest:/memory/file"], "start it first"),
    ];
    for (arguments, expected) in cases {
        let ran = world.run(arguments);
        assert!(ran.code == 1 && ran.stderr.contains(expected), "{arguments:?}: {ran}");
    }
    assert!(!world.path("b").exists() && !world.path("other").exists());
    world.ok(["cp", "tree", "web:/d/file"]);
    let in_the_way = world.run(["cp", "file", "web:/d"]);
    assert!(
        in_the_way.code == 1 && in_the_way.stderr.contains("cannot overwrite directory \"file\""),
        "{in_the_way}"
    );
}

/// Copies into and out of a container that runs, and one that does not, each with clients in user namespaces of their own.
const ROOTLESS_SCRIPT: &str = "set -e; slipway import rootfs.tar bb > id; echo text > file
    slipway run -d --name web bb sleep 1000 > id; trap 'slipway rm -f web > id' EXIT
    slipway create --name rest bb true > id
    for name in web rest; do
        slipway cp file $name:/etc/copied; slipway cp $name:/etc/copied out-$name; cat out-$name; stat -c %u out-$name
    done
    slipway create --name kept -v data:/data bb true > id
    slipway cp file kept:/data/file; slipway cp kept:/data out; cat out/file; stat -c %u out/file
    slipway exec web sh -c 'stat -c %u /etc/copied'";

const ROOTLESS_OUTPUT: &str = "text\n54322\ntext\n54322\ntext\n54322\n0\n";

#[test]
fn an_ordinary_user_copies_as_well() {
    let Some(world) = user() else { return };
    let ran = as_user(&world, SUBORDINATE, ROOTLESS_SCRIPT);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ROOTLESS_OUTPUT), "{ran}");
    let alone = as_user(&world, "", &format!("export SLIPWAY_ROOT=$PWD/second; {ROOTLESS_SCRIPT}"));
    assert_eq!((alone.code, alone.stdout.as_str()), (0, ROOTLESS_OUTPUT), "{alone}");
}
