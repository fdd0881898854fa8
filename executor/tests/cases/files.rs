//! What a run leaves in the upper directory, and what mounts do.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use executor::{Exit, Mount, Rootfs, SandboxError, Spec, spawn};

use crate::support::{Collected, Mode, World, exists, output, refused, run};

pub(crate) fn changes_are_in_the_upper_directory(world: &World) {
    fs::write(world.image("etc/old"), "old").unwrap();
    fs::create_dir(world.image("gone")).unwrap();
    let script = "rm /etc/old; echo new > /etc/new; rmdir /gone; mkdir -m 700 /made; ln -s new /etc/link";
    output(&world.shell(script));
    let whiteout = fs::symlink_metadata(world.upper("etc/old")).unwrap();
    assert!(whiteout.file_type().is_char_device());
    assert_eq!(whiteout.rdev(), 0);
    assert!(fs::symlink_metadata(world.upper("gone")).unwrap().file_type().is_char_device());
    assert_eq!(fs::read_to_string(world.upper("etc/new")).unwrap(), "new\n");
    assert_eq!(fs::metadata(world.upper("made")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::read_link(world.upper("etc/link")).unwrap(), PathBuf::from("new"));
    assert!(world.image("etc/old").exists());
}

pub(crate) fn opaque_directories_are_marked_for_users(world: &World) {
    fs::create_dir(world.image("etc/conf")).unwrap();
    fs::write(world.image("etc/conf/a"), "").unwrap();
    output(&world.shell("rm -r /etc/conf; mkdir /etc/conf; touch /etc/conf/b"));
    let mut value = [0; 8];
    let size = rustix::fs::getxattr(world.upper("etc/conf"), c"user.overlay.opaque", &mut value).unwrap();
    assert_eq!(&value[..size], b"y");
}

pub(crate) fn complete_after_wait(world: &World) {
    output(&world.shell("dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null; seq 1 1000 | while read i; do echo $i > /tmp/$i; done"));
    assert_eq!(fs::metadata(world.upper("big")).unwrap().len(), 20 << 20);
    assert_eq!(fs::read_dir(world.upper("tmp")).unwrap().count(), 1000);
}

pub(crate) fn a_run_without_changes_leaves_nothing(world: &World) {
    output(&world.spec(&["true"]));
    assert_eq!(world.upper_names(""), [""; 0]);
}

/// Removes the mount points of the image, and gives its directories an old time.
fn strip(world: &World) {
    for directory in ["dev", "proc", "sys"] {
        fs::remove_dir(world.image(directory)).unwrap();
    }
    for path in ["etc", ""] {
        let file = fs::File::open(world.image(path)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000)).unwrap();
    }
}

fn with_files(spec: Spec) -> Spec {
    Spec {
        hosts: "127.0.0.1 localhost\n".into(),
        resolv_conf: "nameserver 192.0.2.1\n".into(),
        hostname: "harbour".into(),
        ..spec
    }
}

pub(crate) fn missing_mount_points_leave_no_trace(world: &World) {
    strip(world);
    let mut spec = with_files(world.shell("ls / | tr '\\n' ' '; cat /deep/er/file; ls -d /deep/dir"));
    spec.mounts = vec![
        Mount::File {
            target: "/deep/er/file".into(),
            content: b"secret ".to_vec().into(),
            mode: 0o400,
            uid: 0,
            gid: 0,
        },
        Mount::Tmpfs { target: "/deep/dir".into(), size_bytes: Some(1 << 20), mode: 0o700, read_only: false },
    ];
    let before = fs::metadata(world.upper("")).unwrap().modified().unwrap();
    assert_eq!(output(&spec), "bin deep dev etc home proc root sys tmp usr secret /deep/dir");
    assert_eq!(world.upper_names(""), [""; 0]);
    assert_eq!(fs::metadata(world.upper("")).unwrap().modified().unwrap(), before);
}

pub(crate) fn changes_beside_mount_points_stay(world: &World) {
    strip(world);
    let spec = with_files(world.shell("chmod 711 /etc; echo mine > /etc/mine; mkdir /srv"));
    output(&spec);
    assert_eq!(world.upper_names(""), ["etc", "srv"]);
    assert_eq!(world.upper_names("etc"), ["mine"]);
    let etc = fs::metadata(world.upper("etc")).unwrap();
    assert_eq!(etc.permissions().mode() & 0o777, 0o711);
    assert!(etc.mtime() > 1_000_000_000, "the command changed it");
    // Only the mode: the directory stays with its old time.
    let world = World::new(world.mode);
    strip(&world);
    output(&with_files(world.shell("chmod 711 /etc")));
    assert_eq!(world.upper_names("etc"), [""; 0]);
    assert_eq!(fs::metadata(world.upper("etc")).unwrap().mtime(), 1_000_000_000);
}

pub(crate) fn clean_up_touches_only_its_own(world: &World) {
    let victim = world.path("victim");
    fs::create_dir(&victim).unwrap();
    for name in ["hosts", "resolv.conf", "hostname"] {
        fs::write(victim.join(name), "").unwrap();
    }
    fs::remove_dir_all(world.image("etc")).unwrap();
    // The command moves the directory with the mount points away, and puts a link to the host in its place.
    let script = format!("mv /etc /moved && ln -s {0} /etc && ls /moved", victim.display());
    assert_eq!(output(&with_files(world.shell(&script))), "hostname\nhosts\nresolv.conf");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 3);
    assert!(fs::symlink_metadata(world.upper("etc")).unwrap().file_type().is_symlink());
    // And this one puts files with the same names there.
    let world = World::new(world.mode);
    fs::remove_dir_all(world.image("etc")).unwrap();
    let script = "mv /etc /moved && mkdir /etc && touch /etc/hosts && echo x > /etc/resolv.conf";
    output(&with_files(world.shell(script)));
    assert_eq!(world.upper_names("etc"), ["hosts", "resolv.conf"]);
}

pub(crate) fn dangling_resolv_conf(world: &World) {
    symlink("../run/resolve/stub.conf", world.image("etc/resolv.conf")).unwrap();
    assert_eq!(
        output(&with_files(world.shell("cat /etc/resolv.conf; ls /run/resolve"))),
        "nameserver 192.0.2.1\nstub.conf"
    );
    assert!(!exists(&world.upper("run")));
}

pub(crate) fn small_files_do_not_reach_the_layer(world: &World) {
    fs::write(world.image("etc/hosts"), "the image's\n").unwrap();
    let spec = with_files(world.shell("echo 192.0.2.7 other >> /etc/hosts; tail -n 1 /etc/hosts"));
    assert_eq!(output(&spec), "192.0.2.7 other");
    assert_eq!(world.upper_names(""), [""; 0]);
    assert_eq!(output(&world.shell("cat /etc/hosts")), "the image's");
}

pub(crate) fn read_only_root(world: &World) {
    let mut spec = world.shell("touch /x 2>&1; touch /dev/shm/x /scratch/x && echo fine");
    spec.read_only_root = true;
    spec.mounts.push(Mount::Tmpfs {
        target: "/scratch".into(),
        size_bytes: None,
        mode: 0o1777,
        read_only: false,
    });
    let text = output(&spec);
    assert!(text.contains("Read-only file system") && text.ends_with("fine"), "{text}");
    assert_eq!(world.upper_names(""), [""; 0]);
}

pub(crate) fn read_only_memory(world: &World) {
    let mut spec = world.shell("touch /in/x 2>&1 | grep -c Read-only; stat -c %a /in");
    spec.mounts =
        vec![Mount::Tmpfs { target: "/in".into(), size_bytes: None, mode: 0o1777, read_only: true }];
    assert_eq!(output(&spec), "1\n1777");
}

fn bind(world: &World, subpath: &str, target: &str, read_only: bool) -> Mount {
    Mount::Bind {
        source: world.path("shared"),
        subpath: subpath.into(),
        target: target.into(),
        read_only,
        binding: executor::Binding::default(),
    }
}

pub(crate) fn bind_mounts(world: &World) {
    fs::create_dir_all(world.path("shared/sub")).unwrap();
    fs::write(world.path("shared/file"), "content\n").unwrap();
    let mut spec = world.shell("cat /in/file /one; touch /in/sub/new; echo more >> /one; (touch /ro/x || mkdir /ro/sub/y) 2>&1 | grep -c Read-only");
    spec.mounts = vec![
        bind(world, "", "/in", false),
        bind(world, "file", "/one", false),
        bind(world, "/", "/ro", true),
    ];
    assert_eq!(output(&spec), "content\ncontent\n2");
    assert!(world.path("shared/sub/new").exists());
    assert_eq!(fs::read_to_string(world.path("shared/file")).unwrap(), "content\nmore\n");
    assert_eq!(world.upper_names(""), [""; 0]);
}

pub(crate) fn sources_stay_beneath_their_root(world: &World) {
    fs::create_dir(world.path("shared")).unwrap();
    fs::create_dir(world.path("shared/etc")).unwrap();
    symlink("/etc", world.path("shared/absolute")).unwrap();
    symlink("../../../../../../etc", world.path("shared/relative")).unwrap();
    for link in ["absolute", "relative", "../../../etc"] {
        let mut spec = world.shell("ls /in | wc -l");
        spec.mounts = vec![bind(world, link, "/in", true)];
        // The root's own, empty `etc`.
        assert_eq!(output(&spec), "0", "{link}");
    }
    let mut spec = world.spec(&["true"]);
    spec.mounts = vec![bind(world, "absent", "/in", true)];
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "subpath"));
}

pub(crate) fn targets_stay_in_the_root(world: &World) {
    fs::create_dir(world.path("shared")).unwrap();
    fs::create_dir(world.path("canary")).unwrap();
    symlink(world.path("canary"), world.image("away")).unwrap();
    let mut spec = world.shell("mount | grep -c canary");
    spec.mounts = vec![bind(world, "", "/away", false), bind(world, "", "/../../x/../y", false)];
    assert_eq!(output(&spec), "1");
    assert_eq!(fs::read_dir(world.path("canary")).unwrap().count(), 0);
    let error = |target: &str| {
        let mut spec = world.spec(&["true"]);
        spec.mounts = vec![bind(world, "", target, false)];
        refused(&spec)
    };
    assert!(matches!(error("/etc/passwd"), SandboxError::Target { .. }));
    assert!(matches!(error("/etc/passwd/below"), SandboxError::Target { .. }));
    assert!(matches!(error("/"), SandboxError::Target { .. }));
    assert!(matches!(error("/etc/.."), SandboxError::Target { .. }));
    assert!(matches!(error("/a\0b"), SandboxError::Target { .. }));
}

/// Ends a thread, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sandboxes in the race below: each makes five mounts in it. `SLIPWAY_RACES=20000` is the long form.
fn races() -> usize {
    std::env::var("SLIPWAY_RACES").map_or(60, |text| text.parse().expect("SLIPWAY_RACES is a number"))
}

pub(crate) fn swapped_links_lead_nowhere(world: &World) {
    fs::create_dir_all(world.path("shared/x")).unwrap();
    fs::write(world.path("shared/x/file"), "inside").unwrap();
    fs::create_dir(world.path("canary")).unwrap();
    fs::write(world.path("canary/file"), "outside").unwrap();
    symlink(world.path("canary"), world.path("shared/link")).unwrap();
    let (x, link) = (world.path("shared/x"), world.path("shared/link"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Another stage with the same cache swaps a directory and a link all the time.
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &x, rustix::fs::CWD, &link, flags).unwrap();
            }
        });
        let _stop = Stop(&done);
        for _ in 0..races() {
            let mut spec = world.shell("cat /source/file");
            // A source in the shared directory, and a target that has to be created in it.
            spec.mounts = vec![
                bind(world, "x", "/source", true),
                bind(world, "", "/cache", false),
                Mount::Tmpfs {
                    target: "/cache/x/target".into(),
                    size_bytes: None,
                    mode: 0o755,
                    read_only: false,
                },
                Mount::File {
                    target: "/cache/x/secret".into(),
                    content: b"inside".to_vec().into(),
                    mode: 0o400,
                    uid: 0,
                    gid: 0,
                },
                Mount::Socket { target: "/cache/x/agent".into(), mode: 0o600, uid: 0, gid: 0 },
            ];
            match run(&spec) {
                Ok(ran) => assert_eq!(ran.stdout, "inside"),
                Err(SandboxError::BadField { .. } | SandboxError::Target { .. }) => {}
                Err(SandboxError::Kernel { call, source }) => {
                    assert!([libc::ENOENT, libc::ELOOP].contains(&source.0), "{call}: {source}");
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(fs::read_dir(world.path("canary")).unwrap().count(), 1);
}

pub(crate) fn overlay_mounts(world: &World) {
    for (layer, name) in [("stage-a", "a"), ("stage-b", "b")] {
        fs::create_dir_all(world.path(layer).join("out")).unwrap();
        fs::write(world.path(layer).join("out").join(name), name).unwrap();
    }
    let lowers = vec![world.path("stage-b"), world.path("stage-a")];
    let overlay = |lowers: &[PathBuf], subpath: &str, target: &str, read_only| Mount::Overlay {
        lowers: lowers.to_vec(),
        subpath: subpath.into(),
        target: target.into(),
        read_only,
    };
    let mut spec = world.shell(
        "ls /all/out /out /one | tr '\\n' ' '; cat /file; (touch /all/x || touch /one/x || touch /out/x) 2>&1 | grep -c Read-only; \
         touch /writable/x && rm /writable/out/a && ls /writable/out",
    );
    spec.mounts = vec![
        overlay(&lowers, "", "/all", true),
        overlay(&lowers, "/out", "/out", true),
        overlay(&lowers, "out/b", "/file", true),
        overlay(&lowers[..1], "out", "/one", true),
        overlay(&lowers, "", "/writable", false),
    ];
    assert_eq!(output(&spec), "/all/out: a b  /one: b  /out: a b b3\nb");
    assert!(world.path("stage-a/out/a").exists());
    assert!(!world.path("stage-b/x").exists());
    let mut spec = world.spec(&["true"]);
    spec.mounts = vec![overlay(&[], "", "/none", true)];
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "lowers"));
}

pub(crate) fn secret_files(world: &World) {
    let script = "cat /run/secrets/key; stat -c '%a %u %g' /run/secrets/key
        (echo x > /run/secrets/key) 2>&1 | grep -c Read-only; chmod +x /run/secrets/key 2>&1 | grep -c Read-only
        rm /run/secrets/key 2>&1 | grep -c busy; mount | grep -c ' on /run/secrets/key type tmpfs (ro,nosuid,nodev,noexec'";
    let mut spec = world.shell(script);
    let content = b"s3cret\n".to_vec().into();
    spec.mounts =
        vec![Mount::File { target: "/run/secrets/key".into(), content, mode: 0o440, uid: 0, gid: 0 }];
    assert!(format!("{spec:?}").contains("content: 7 bytes"));
    assert_eq!(output(&spec), "s3cret\n440 0 0\n1\n1\n1\n1");
    assert_eq!(world.upper_names(""), [""; 0]);
}

/// The host's programs, for a client that speaks to a socket.
fn with_host_programs(world: &World, spec: Spec) -> Spec {
    for name in ["lib", "lib64"] {
        symlink(format!("usr/{name}"), world.image(name)).unwrap();
    }
    let usr = Mount::Bind {
        source: "/usr".into(),
        subpath: String::new(),
        target: "/usr".into(),
        read_only: true,
        binding: executor::Binding::default(),
    };
    Spec { mounts: [vec![usr], spec.mounts].concat(), ..spec }
}

pub(crate) fn device_files(world: &World) {
    let device = |source: &str, target: &str, owner, mode| Mount::Device {
        source: source.into(),
        target: target.into(),
        owner,
        mode,
    };
    let mut spec = world
        .shell("head -c 3 /dev/mine | wc -c; echo x > /srv/sink && stat -c %F /srv/sink; ls -d /dev/mine");
    spec.mounts =
        vec![device("/dev/zero", "/dev/mine", None, None), device("/dev/null", "/srv/sink", None, None)];
    assert_eq!(output(&spec), "3\ncharacter special file\n/dev/mine");
    assert_eq!(world.upper_names(""), [""; 0]);
    let mut spec = world.shell("stat -c '%a %u %g' /dev/mine && head -c 3 /dev/mine | wc -c");
    spec.mounts = vec![device("/dev/zero", "/dev/mine", Some((1, 2)), Some(0o640))];
    if world.mode == Mode::Root {
        assert_eq!(output(&spec), "640 1 2\n3");
    } else {
        assert!(matches!(refused(&spec), SandboxError::Kernel { source, .. } if source.0 == libc::EPERM));
    }
    fs::write(world.path("file"), "").unwrap();
    let file = world.path("file");
    let mut spec = world.spec(&["true"]);
    spec.mounts = vec![device(file.to_str().unwrap(), "/dev/mine", None, None)];
    assert!(matches!(refused(&spec), SandboxError::BadField { .. }));
}

pub(crate) fn sockets(world: &World) {
    let socket = |target: &str, mode| Mount::Socket { target: target.into(), mode, uid: 0, gid: 0 };
    let script = r#"stat -c '%F %a %u %g' /run/one /run/two
        perl -MIO::Socket::UNIX -e 'for (@ARGV) { $s = IO::Socket::UNIX->new($_) or die $!; print $s "x\n"; print <$s> }' \
            /run/two /run/one /run/two"#;
    let spec =
        Spec { mounts: vec![socket("/run/one", 0o600), socket("/run/two", 0o660)], ..world.shell(script) };
    let spec = with_host_programs(world, spec);
    let collected = Collected::default();
    let mut child = spawn(&spec, collected.io()).unwrap();
    let listeners = child.take_listeners();
    assert_eq!((listeners.len(), child.take_listeners().len()), (2, 0));
    std::thread::scope(|scope| {
        for (name, listener) in ["one", "two"].into_iter().zip(&listeners) {
            scope.spawn(move || {
                let mut accepted = 0;
                while let Ok(stream) = rustix::net::accept(listener) {
                    accepted += 1;
                    rustix::io::read(&stream, &mut [0; 2]).unwrap();
                    rustix::io::write(&stream, format!("{name} {accepted}\n").as_bytes()).unwrap();
                }
            });
        }
        let outcome = child.wait();
        for listener in &listeners {
            rustix::net::shutdown(listener, rustix::net::Shutdown::Both).unwrap();
        }
        assert_eq!(outcome.unwrap().exit, Exit::Code(0), "{}", collected.stderr());
    });
    assert_eq!(collected.stdout(), "socket 600 0 0\nsocket 660 0 0\ntwo 1\none 1\ntwo 2\n");
    assert_eq!(world.upper_names(""), [""; 0]);
    let mut spec = world.spec(&["true"]);
    spec.mounts = (0..=executor::SOCKETS_MAX).map(|index| socket(&format!("/s{index}"), 0o600)).collect();
    assert!(matches!(refused(&spec), SandboxError::BadField { field, .. } if field == "mounts"));
}

/// Whatever a run does with the parents of its mount points.
pub(crate) fn moved_parents_of_memory_mounts(world: &World) {
    let victim = world.path("victim");
    fs::create_dir(&victim).unwrap();
    for name in ["key", "agent"] {
        fs::write(victim.join(name), "").unwrap();
    }
    let script = format!("mv /run /moved && ln -s {} /run && cat /moved/key && ls /moved", victim.display());
    let mut spec = world.shell(&script);
    let content = b"secret ".to_vec().into();
    spec.mounts = vec![
        Mount::File { target: "/run/key".into(), content, mode: 0o400, uid: 0, gid: 0 },
        Mount::Socket { target: "/run/agent".into(), mode: 0o600, uid: 0, gid: 0 },
    ];
    assert_eq!(output(&spec), "secret agent\nkey");
    assert_eq!(fs::read_dir(&victim).unwrap().count(), 2);
    assert!(fs::symlink_metadata(world.upper("run")).unwrap().file_type().is_symlink());
}

pub(crate) fn a_work_directory_is_for_one_run(world: &World) {
    let spec = world.spec(&["true"]);
    let Rootfs::Overlay { work, .. } = &spec.rootfs else { unreachable!("a world is an overlay") };
    // As it is after a helper that was killed before it could empty it.
    fs::create_dir_all(work.join("work/incompat/volatile")).unwrap();
    match refused(&spec) {
        SandboxError::NoOverlay { call, source } => {
            assert!(call.contains("volatile"), "{call}");
            assert_eq!(source.0, libc::EINVAL);
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_lower_that_is_missing(world: &World) {
    let mut spec = world.spec(&["true"]);
    let executor::Rootfs::Overlay { lowers, .. } = &mut spec.rootfs else { unreachable!("it is") };
    lowers.insert(0, world.path("absent"));
    match refused(&spec) {
        SandboxError::Kernel { call, source } => {
            assert!(call.contains("absent"), "{call}");
            assert_eq!(source.0, libc::ENOENT);
        }
        other => panic!("{other:?}"),
    }
    // The failure left nothing behind.
    assert_eq!(run(&world.spec(&["true"])).unwrap().outcome.exit, Exit::Code(0));
}
