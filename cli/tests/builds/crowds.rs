//! Many builds at once on one store, builds that die, builds elsewhere, and files that are large.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::Home;

const BUILDS: usize = 64;
/// On a machine that has other work.
const PATIENCE: Duration = Duration::from_secs(120);

fn start(home: &Home, arguments: &[&str]) -> Child {
    home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What the only cache mount of the store holds.
fn cached(home: &Home, name: &str) -> Option<PathBuf> {
    let mounts = fs::read_dir(home.store().join("mounts")).ok()?;
    let paths = mounts.flatten().map(|mount| mount.path().join("0/data").join(name));
    paths.into_iter().find(|path| path.exists())
}

#[test]
fn sixty_four_builds_at_once_run_each_step_once() {
    let home = Home::new();
    let step = |name: &str| {
        format!("RUN --mount=type=cache,target=/c echo {name} >> /c/ran; echo {name} > /{name}\n")
    };
    let dockerfile = format!("FROM base\nCOPY file /\n{}{}{}", step("one"), step("two"), step("three"));
    let context = home.context(&dockerfile, &[("file", "content")]);
    let is_over = AtomicBool::new(false);
    let images: Vec<String> = std::thread::scope(|scope| {
        let collections = scope.spawn(|| {
            let mut count = 0;
            while !is_over.load(Ordering::Relaxed) {
                home.ok(&["builder", "prune", "-f", "--filter", "type=regular"]);
                count += 1;
            }
            count
        });
        let names: Vec<_> = (0..BUILDS).map(|number| format!("app{}", number % 3)).collect();
        let builds: Vec<_> =
            names.iter().map(|name| start(&home, &["build", "-q", "-t", name, &context])).collect();
        let outputs = builds.into_iter().map(|build| build.wait_with_output().unwrap());
        let images = outputs
            .map(|output| {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).unwrap()
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(collections.join().unwrap() > 0);
        images
    });
    assert!(images.iter().all(|image| *image == images[0]), "{images:?}");
    let ran = fs::read_to_string(cached(&home, "ran").unwrap()).unwrap();
    assert_eq!(ran, "one\ntwo\nthree\n");
    assert_eq!(home.ok(&["run", "--rm", "app1", "cat", "/one", "/two", "/three"]), "one\ntwo\nthree\n");
    assert!(home.ok(&["store", "check"]).ends_with("Nothing is wrong\n"));
}

#[test]
fn the_step_of_a_killed_build_is_taken_over() {
    let home = Home::new();
    let dockerfile = "FROM base\n\
        RUN --mount=type=cache,target=/c if [ ! -e /c/first ]; then touch /c/first; sleep 1000; fi; echo done > /out\n";
    let context = home.context(dockerfile, &[]);
    let mut first = start(&home, &["build", "-q", "-t", "first", &context]);
    let until = Instant::now() + PATIENCE;
    while cached(&home, "first").is_none() {
        assert!(Instant::now() < until, "the step begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut second = start(&home, &["build", "-q", "-t", "second", &context]);
    std::thread::sleep(Duration::from_millis(300));
    assert!(second.try_wait().unwrap().is_none(), "the other one runs it");
    first.kill().unwrap();
    first.wait().unwrap();
    let output = second.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(home.ok(&["run", "--rm", "second", "cat", "/out"]), "done\n");
}

/// The image of a Dockerfile, built by `program` with a store in `store`.
fn image(home: &Home, wrapper: &[&str], store: &str, context: &str) -> String {
    let slipway = home.command(&[]);
    let mut command = Command::new(wrapper[0]);
    command.args(&wrapper[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let script = format!(
        "\"$SLIPWAY\" import base.tar base > out.txt && \"$SLIPWAY\" build -q -o type=oci,dest=oci.tar {context} && sha256sum < oci.tar"
    );
    command.args(["sh", "-c", &script]).current_dir(home.path("")).env("SLIPWAY", slipway.get_program());
    command.env("SLIPWAY_ROOT", home.path(store)).env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_same_bytes_on_other_file_systems_with_other_processors_in_another_order() {
    let home = Home::new();
    let dockerfile =
        "FROM base\nCOPY tree /tree\nRUN cp -r /tree /copy && mkdir /made && touch /made/b /made/a\n";
    let context = home.context(dockerfile, &[]);
    let other = home.path("other").to_str().unwrap().to_owned();
    let names: Vec<String> = (0..200).map(|number| format!("file{number}")).collect();
    for (directory, names) in [(&context, names.clone()), (&other, names.iter().rev().cloned().collect())] {
        fs::create_dir_all(format!("{directory}/tree")).unwrap();
        fs::write(format!("{directory}/Dockerfile"), dockerfile).unwrap();
        for name in names {
            fs::write(format!("{directory}/tree/{name}"), &name).unwrap();
        }
    }
    let reference = image(&home, &["env"], "store1", &context);
    assert_eq!(image(&home, &["taskset", "-c", "0"], "store2", &context), reference, "one processor");
    assert_eq!(image(&home, &["env"], "store3", &other), reference, "files made in another order");
    fs::create_dir(home.path("memory")).unwrap();
    let mount = "mount -t tmpfs none memory && exec \"$@\"";
    let in_memory = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount, "sh"];
    assert_eq!(image(&home, &in_memory, "memory/store", &context), reference, "a file system in memory");
}

#[test]
fn a_sparse_file_of_nine_gigabytes() {
    let home = Home::new();
    let dockerfile = "FROM base\nRUN /bin/busybox truncate -s 9G /sparse && echo end >> /sparse\n";
    let context = home.context(dockerfile, &[]);
    home.ok(&["build", "-q", "-t", "sparse", &context]);
    assert_eq!(home.ok(&["run", "--rm", "sparse", "stat", "-c", "%s", "/sparse"]), "9663676420\n");
    let layers = walkdir::WalkDir::new(home.store().join("layers")).into_iter().flatten();
    let blocks =
        |entry: walkdir::DirEntry| std::os::unix::fs::MetadataExt::blocks(&entry.metadata().unwrap());
    let bytes: u64 = layers.map(blocks).sum::<u64>() * 512;
    assert!(bytes < 100 << 20, "{bytes}");
}
