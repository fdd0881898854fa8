//! Whom a command runs as.

use std::fs;
use std::process::Command;

use executor::{ErrorKind, SandboxError, Spec};

use crate::support::{World, output, refused};

fn ids(world: &World, user: &str) -> String {
    let script = "echo $(id -u):$(id -g):$(id -G | tr ' ' ','):$HOME";
    output(&Spec { user: user.into(), ..world.shell(script) })
}

pub(crate) fn names_and_numbers(world: &World) {
    assert_eq!(ids(world, ""), "0:0:0:/root");
    assert_eq!(ids(world, "root"), "0:0:0:/root");
    assert_eq!(ids(world, "app"), "1000:1001:1001,10,44:/home/app");
    assert_eq!(ids(world, "1000"), "1000:1001:1001,10,44:/home/app");
    assert_eq!(ids(world, "app:video"), "1000:44:44:/home/app");
    assert_eq!(ids(world, "app:7"), "1000:7:7:/home/app");
    assert_eq!(ids(world, "4000"), "4000:0:0:/");
    assert_eq!(ids(world, "4000:4001"), "4000:4001:4001:/");
    assert_eq!(ids(world, "+0"), "0:0:0:/root");
    assert_eq!(ids(world, ":video"), "0:44:44:/root");
}

pub(crate) fn unknown_and_impossible(world: &World) {
    let error = |user: &str| refused(&Spec { user: user.into(), ..world.spec(&["true"]) });
    assert_eq!(error("nobody-here"), SandboxError::UnknownUser { user: "nobody-here".into() });
    assert_eq!(error("app:nobody-here"), SandboxError::UnknownGroup { group: "nobody-here".into() });
    // A malformed line is no user, least of all root.
    assert_eq!(error("broken"), SandboxError::UnknownUser { user: "broken".into() });
    for id in ["-1", "4294967296", "4294967295", "2147483648"] {
        assert_eq!(error(id), SandboxError::IdOutOfRange { id: id.into() });
        assert_eq!(error(&format!("0:{id}")), SandboxError::IdOutOfRange { id: id.into() });
    }
    assert_eq!(error("nobody-here").kind(), ErrorKind::Spec);
}

pub(crate) fn images_without_users(world: &World) {
    fs::remove_file(world.image("etc/passwd")).unwrap();
    fs::remove_file(world.image("etc/group")).unwrap();
    assert_eq!(ids(world, ""), "0:0:0:/");
    assert_eq!(output(&Spec { user: "12:34".into(), ..world.spec(&["id", "-u"]) }), "12");
}

pub(crate) fn hostile_files(world: &World) {
    let passwd = world.image("etc/passwd");
    let bad = |spec: &Spec| matches!(refused(spec), SandboxError::BadImageFile { path, .. } if path == "/etc/passwd");
    let spec = || Spec { user: "app".into(), ..world.spec(&["true"]) };
    fs::remove_file(&passwd).unwrap();
    assert!(Command::new("mkfifo").arg(&passwd).status().unwrap().success());
    assert!(bad(&spec()));
    fs::remove_file(&passwd).unwrap();
    fs::create_dir(&passwd).unwrap();
    assert!(bad(&spec()));
    fs::remove_dir(&passwd).unwrap();
    // 10 GB that take no room.
    fs::File::create(&passwd).unwrap().set_len(10 << 30).unwrap();
    assert!(bad(&spec()));
    fs::remove_file(&passwd).unwrap();
    std::os::unix::fs::symlink("/proc/self/environ", &passwd).unwrap();
    assert_eq!(refused(&spec()), SandboxError::UnknownUser { user: "app".into() });
}

pub(crate) fn links_stay_in_the_image(world: &World) {
    // The host's file has other users; the link means the image's.
    fs::rename(world.image("etc/passwd"), world.image("etc/users")).unwrap();
    std::os::unix::fs::symlink("/../../../etc/users", world.image("etc/passwd")).unwrap();
    assert_eq!(ids(world, "app"), "1000:1001:1001,10,44:/home/app");
}

pub(crate) fn streams_belong_to_the_user(world: &World) {
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; : < /dev/stdin";
    let spec = Spec { user: "app".into(), ..world.shell(script) };
    assert_eq!(output(&spec), "out");
}

pub(crate) fn a_single_id_says_so(world: &World) {
    let error = refused(&Spec { user: "app".into(), ..world.spec(&["true"]) });
    assert!(matches!(&error, SandboxError::Kernel { call, .. } if call.starts_with("set")), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Kernel);
    assert_eq!(output(&world.spec(&["id", "-u"])), "0");
}
