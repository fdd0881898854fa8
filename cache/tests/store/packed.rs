//! Layers that are kept as one file.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::{Path, PathBuf};

use cache::tree::{Action, Landing, Source, Target, build, plan, select};
use cache::{Layer, PruneOptions, Repair, Store};

use crate::support::{Fixture, key, names, record};

/// A directory with files of all kinds that can be packed.
fn source(fixture: &Fixture) -> PathBuf {
    let root = fixture.path("source");
    for directory in ["a", "a/b", "c"] {
        fs::create_dir_all(root.join(directory)).unwrap();
        for file in 0..20 {
            fs::write(root.join(directory).join(format!("file{file}")), format!("{directory} {file}"))
                .unwrap();
        }
    }
    std::os::unix::fs::symlink("../a/file1", root.join("c/link")).unwrap();
    fs::hard_link(root.join("a/file2"), root.join("c/hard")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, root.join("c/fifo"), rustix::fs::FileType::Fifo, 0o640.into(), 0)
        .unwrap();
    root
}

/// The layer of `COPY source /to/`, packed or not.
fn copy(store: &Store, source: &Path, packs: bool) -> Layer {
    let root = fs::File::open(source).unwrap();
    let selection = select(Source::Directory(root.as_fd()), &["."], Landing::default()).unwrap();
    let actions = [Action::Copy { selection: &selection, destination: "/to/" }];
    let layer = store.begin_layer().unwrap();
    if packs {
        let packing = plan(None, Some(7), &actions).unwrap().expect("it can be packed");
        return layer.commit_packed(&packing, None).unwrap();
    }
    let directory = layer.open().unwrap();
    build(&Target { layer: directory.as_fd(), base: None, mtime: Some(7) }, &actions).unwrap();
    layer.commit().unwrap()
}

fn seen(store: &Store, layer: &Layer, name: &str) -> std::io::Result<String> {
    let view = store.view(&[layer.id()]).map_err(std::io::Error::other)?;
    fs::read_to_string(format!("/proc/self/fd/{}/{name}", view.root().as_raw_fd()))
}

#[test]
fn it_is_one_file_until_somebody_looks_into_it() {
    let fixture = Fixture::new();
    let (store, source) = (fixture.open(), source(&fixture));
    let (packed, made) = (copy(&store, &source, true), copy(&store, &source, false));
    let directory = fixture.root().join(format!("layers/{}", packed.id()));
    assert_eq!(names(&directory), ["facts", "packed"]);
    assert_eq!(packed.diff_id(None).unwrap(), made.diff_id(None).unwrap());
    assert_eq!(packed.diff_id(Some(1)).unwrap(), made.diff_id(Some(1)).unwrap());
    assert_eq!(packed.content_digest().unwrap(), made.content_digest().unwrap());
    assert_eq!(packed.size_bytes().unwrap(), made.size_bytes().unwrap());
    assert!(!packed.is_empty().unwrap());
    let (mut one, mut other) = (Vec::new(), Vec::new());
    packed.write_tar(&mut one, Some(1)).unwrap();
    made.write_tar(&mut other, Some(1)).unwrap();
    assert_eq!(one, other);
    assert_eq!(names(&directory), ["facts", "packed"], "all of that needs no directory");

    assert_eq!(seen(&store, &packed, "to/a/b/file3").unwrap(), "a/b 3");
    assert_eq!(seen(&store, &packed, "to/c/link").unwrap(), "a 1");
    assert_eq!(names(&directory).len(), 3);
    assert!(packed.fs_path().unwrap().starts_with(&directory));
    assert_eq!(
        cache::layer::content_digest(packed.open().unwrap().as_fd()).unwrap(),
        made.content_digest().unwrap()
    );
}

#[test]
fn many_look_into_it_at_the_same_time() {
    let fixture = Fixture::new();
    let layer = copy(&fixture.open(), &source(&fixture), true);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(seen(&fixture.open(), &layer, "to/a/file0").unwrap(), "a 0"));
        }
    });
    drop(layer);
    assert_eq!(names(&fixture.root().join("staging")), [""; 0], "who came too late has left nothing");
}

#[test]
fn whatever_byte_is_flipped_is_noticed() {
    let fixture = Fixture::new();
    let (id, good) = {
        let store = fixture.open();
        let layer = copy(&store, &source(&fixture), true);
        layer.diff_id(None).unwrap();
        store.put_record(&record("copy", &[layer.id()])).unwrap();
        (layer.id(), fs::read(fixture.root().join(format!("layers/{}/packed", layer.id()))).unwrap())
    };
    let file = fixture.root().join(format!("layers/{id}/packed"));
    for at in (0..good.len()).step_by(7).chain(good.len() - 10..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&file, bad).unwrap();
        let store = fixture.open();
        let layer = store.layer(&id).unwrap().unwrap();
        assert!(layer.write_tar(&mut std::io::sink(), None).is_err(), "tar, byte {at}");
        assert!(seen(&store, &layer, "to/a/file0").is_err(), "view, byte {at}");
        drop((layer, store));
        let checked = fixture.open().check(Repair::Leave).unwrap();
        assert!(checked.problems.iter().any(|it| it.path.contains(&id.to_string())), "check, byte {at}");
    }
    for length in [0, 5, good.len() / 2, good.len() - 1] {
        fs::write(&file, &good[..length]).unwrap();
        let store = fixture.open();
        let layer = store.layer(&id).unwrap().unwrap();
        assert!(layer.write_tar(&mut std::io::sink(), None).is_err(), "{length} bytes");
    }
    fs::write(&file, [&good[..], b"x"].concat()).unwrap();
    let checked = fixture.open().check(Repair::TakeAway).unwrap();
    assert!(checked.problems.iter().all(|it| it.is_repaired), "{:?}", checked.problems);
    let store = fixture.open();
    assert!(store.layer(&id).unwrap().is_none() && store.record(&key("copy")).unwrap().is_none());
}

#[test]
fn a_directory_that_was_made_of_it_is_checked_as_well() {
    let fixture = Fixture::new();
    let id = {
        let store = fixture.open();
        let layer = copy(&store, &source(&fixture), true);
        layer.diff_id(None).unwrap();
        fs::write(layer.fs_path().unwrap().join("to/a/file0"), "another").unwrap();
        layer.id()
    };
    let checked = fixture.open().check(Repair::TakeAway).unwrap();
    let [problem] = &checked.problems[..] else { panic!("{:?}", checked.problems) };
    assert!(problem.path.contains("/unpacked-") && problem.is_repaired, "{problem:?}");
    let store = fixture.open();
    let layer = store.layer(&id).unwrap().unwrap();
    assert_eq!(seen(&store, &layer, "to/a/file0").unwrap(), "a 0", "it is made anew");
}

#[test]
fn it_goes_with_its_directory() {
    let fixture = Fixture::new();
    {
        let store = fixture.open();
        let layer = copy(&store, &source(&fixture), true);
        layer.fs_path().unwrap();
    }
    let pruned = fixture.open().prune(&PruneOptions { all: true, ..PruneOptions::default() }).unwrap();
    assert!(pruned.bytes > 0);
    assert_eq!(names(&fixture.root().join("layers")), [""; 0]);
}
