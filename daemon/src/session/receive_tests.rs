use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use tokio::sync::mpsc;

use super::*;

/// Packets of a client that sends the content of everything it is asked for.
fn sync(root: &Path, entries: &[(Stat, &str)]) -> Result<Vec<String>, ReceiveError> {
    let (bring, brought) = mpsc::channel(1024);
    let (ask, mut asked) = mpsc::unbounded_channel();
    for (stat, _) in entries {
        bring.try_send(vec![Packet { stat: Some(stat.clone()), ..Packet::default() }]).unwrap();
    }
    bring.try_send(vec![Packet::default()]).unwrap();
    let contents: Vec<_> =
        entries.iter().map(|(stat, text)| (stat.path.clone(), (*text).to_owned())).collect();
    let answer = std::thread::spawn(move || {
        let mut sent = Vec::new();
        while let Some(Packet { r#type, id, .. }) = asked.blocking_recv() {
            if r#type == PacketType::PacketFin as i32 {
                let fin = Packet { r#type: PacketType::PacketFin.into(), ..Packet::default() };
                let _ = bring.blocking_send(vec![fin]);
                break;
            }
            let (path, text) = &contents[id as usize];
            sent.push(path.clone());
            for data in [text.as_bytes(), b""] {
                let data = data.to_vec();
                let packet = Packet { r#type: PacketType::PacketData.into(), id, data, stat: None };
                let _ = bring.blocking_send(vec![packet]);
            }
        }
        sent
    });
    let received = {
        let mut receiving = Receiving::open(root, brought, ask, Others::Removed)?;
        receive(&mut receiving, &|_| ())
    };
    let sent = answer.join().unwrap();
    received.map(|()| sent)
}

fn stat(path: &str, mode: u32, size: usize) -> Stat {
    Stat {
        path: path.into(),
        mode,
        size: size as i64,
        mod_time: 1_700_000_000_000_000_005,
        ..Stat::default()
    }
}

fn file<'t>(path: &str, text: &'t str) -> (Stat, &'t str) {
    (stat(path, 0o640, text.len()), text)
}

fn directory(path: &str) -> (Stat, &'static str) {
    (stat(path, MODE_DIRECTORY | 0o755, 0), "")
}

fn link(path: &str, target: &str) -> (Stat, &'static str) {
    (Stat { linkname: target.into(), ..stat(path, MODE_LINK | 0o777, 0) }, "")
}

#[test]
fn only_differences_are_sent() {
    let root = tempfile::tempdir().unwrap();
    let first = [directory("a"), directory("a/b"), file("a/b/c", "one"), file("d", "two"), link("e", "/etc")];
    assert_eq!(sync(root.path(), &first).unwrap(), ["a/b/c", "d"]);
    assert_eq!(fs::read_to_string(root.path().join("a/b/c")).unwrap(), "one");
    let found = fs::metadata(root.path().join("d")).unwrap();
    assert_eq!(
        (found.permissions().mode() & 0o7777, found.mtime(), found.mtime_nsec()),
        (0o640, 1_700_000_000, 5)
    );
    assert_eq!(fs::metadata(root.path().join("a")).unwrap().mtime(), 1_700_000_000);
    assert_eq!(fs::read_link(root.path().join("e")).unwrap(), Path::new("/etc"));

    assert!(sync(root.path(), &first).unwrap().is_empty());

    let second = [file("a", "now a file"), file("d", "two"), file("e", "no link"), file("f", "")];
    assert_eq!(sync(root.path(), &second).unwrap(), ["a", "e", "f"]);
    assert_eq!(fs::read_to_string(root.path().join("a")).unwrap(), "now a file");
    assert_eq!(fs::read_to_string(root.path().join("e")).unwrap(), "no link");

    assert!(sync(root.path(), &[]).unwrap().is_empty());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}

#[test]
fn files_with_two_names_have_one_content() {
    let root = tempfile::tempdir().unwrap();
    let second = (Stat { linkname: "a".into(), ..stat("b", 0o640, 3) }, "");
    sync(root.path(), &[file("a", "one"), second]).unwrap();
    let [a, b] = ["a", "b"].map(|name| fs::metadata(root.path().join(name)).unwrap());
    assert_eq!(a.ino(), b.ino());
    assert_eq!(fs::read_to_string(root.path().join("b")).unwrap(), "one");
}

#[test]
fn nothing_is_written_outside() {
    let outside = tempfile::tempdir().unwrap();
    let root = tempfile::tempdir().unwrap();
    let target = outside.path().to_str().unwrap();
    for (entries, expected) in [
        (vec![file("../x", "")], "the client sent the path `../x`"),
        (vec![file("/x", "")], "the client sent the path `/x`"),
        (vec![file("a//b", "")], "the client sent the path `a//b`"),
        (vec![file("", "")], "the client sent the path ``"),
        (vec![link("l", target), file("l/x", "")], "the client sent `l/x` before its directory"),
        (vec![file("b", ""), file("a", "")], "the client sent `a` out of order"),
        (vec![file("a", ""), file("a", "")], "the client sent `a` out of order"),
        (vec![directory("a"), file("b", ""), file("a/c", "")], "the client sent `a/c` before its directory"),
    ] {
        assert_eq!(sync(root.path(), &entries).unwrap_err().to_string(), expected);
    }
    let escaping = (Stat { linkname: "../x".into(), ..stat("b", 0o640, 3) }, "");
    assert!(sync(root.path(), &[escaping]).is_err());
    let device = (stat("null", MODE_DEVICE | 0o666, 0), "");
    assert!(sync(root.path(), &[device]).unwrap_err().to_string().contains("`null` is a device"));
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn links_that_were_there_before_are_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("keep"), "").unwrap();
    let root = tempfile::tempdir().unwrap();
    symlink(outside.path(), root.path().join("a")).unwrap();
    symlink(outside.path().join("keep"), root.path().join("b")).unwrap();
    sync(root.path(), &[directory("a"), file("a/x", "one"), file("b", "two")]).unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.path().join("keep")).unwrap(), "");
}

#[test]
fn a_client_that_ends_early_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let (_, brought) = mpsc::channel(1);
    let (ask, _asked) = mpsc::unbounded_channel();
    let mut receiving = Receiving::open(root.path(), brought, ask, Others::Removed).unwrap();
    assert!(matches!(receive(&mut receiving, &|_| ()), Err(ReceiveError::Ended)));
}
