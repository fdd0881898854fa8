//! What is different in a user namespace. Each check runs again, in a namespace with a single id.

use std::process::Command;

use cache::layer::Note;

use crate::support::{Raw, Tar, apply_to, listing};

/// Runs an ignored test of this binary as root of a new user namespace.
fn in_user_namespace(test: &str) {
    let binary = std::env::current_exe().expect("a test knows its binary");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user"])
        .arg(binary)
        .args(["--exact", test, "--ignored"])
        .output()
        .expect("unshare runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
fn devices_are_left_out_and_whiteouts_are_not() {
    in_user_namespace("rootless::inner_devices");
}

#[test]
#[ignore = "runs in the user namespace that another test makes"]
fn inner_devices() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tar = Tar::new()
        .dir("dev")
        .raw(&Raw { device: (1, 3), ..Raw::new(b'3', "dev/null") })
        .raw(&Raw { device: (8, 0), ..Raw::new(b'4', "dev/sda") })
        .raw(&Raw::new(b'6', "fifo"))
        .file(".wh.gone", "")
        .pax(&[("SCHILY.xattr.trusted.secret", b"1"), ("SCHILY.xattr.user.note", b"2")])
        .file("noted", "")
        .file("dir/.wh..wh..opq", "")
        .end();
    let applied = apply_to(&tar, directory.path()).expect("nothing here is an error");
    insta::assert_snapshot!(listing(directory.path()), @r#"
    d 0755 dev
    d 0755 dir user.overlay.opaque=y
    p 0644 fifo
    hidden gone
    f 0644 noted "" user.note=2
    "#);
    let device = |path: &str| Note::DeviceSkipped { path: path.to_owned() };
    let xattr = Note::XattrSkipped { path: "noted".to_owned(), name: "trusted.secret".to_owned() };
    assert_eq!(applied.notes, [device("dev/null"), device("dev/sda"), xattr]);
}

#[test]
fn owners_outside_of_the_namespace_are_named() {
    in_user_namespace("rootless::inner_owners");
}

#[test]
#[ignore = "runs in the user namespace that another test makes"]
fn inner_owners() {
    for raw in [
        Raw { ids: (5, 6), ..Raw::new(b'0', "mail") },
        Raw { ids: (5, 6), ..Raw::new(b'5', "mail") },
        Raw { ids: (5, 6), link: b"x".to_vec(), ..Raw::new(b'2', "mail") },
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let error = apply_to(&Tar::new().raw(&raw).end(), directory.path()).expect_err("id 5 is not mapped");
        assert_eq!(error.to_string(), "cannot give `mail` to user 5 and group 6");
    }
}
