//! The daemon under BuildKit's name, with its flags and its file.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::process::Command;

use crate::client::Served;
use crate::support::Home;

/// Calls our program by another name.
pub(crate) fn named(home: &Home, name: &str) -> Command {
    let own = home.command(&[]);
    let link = home.path(name);
    if !link.exists() {
        symlink(own.get_program(), &link).unwrap();
    }
    let mut command = Command::new(link);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").current_dir(home.path("."));
    command
}

const CONFIG: &str = r#"
insecure-entitlements = ["security.insecure", "network.host", "device"]
provenanceEnvDir = "p"
[grpc]
gid = 1234
[worker.oci]
max-parallelism = 1
networkMode = "host"
[registry."docker.io"]
mirrors = ["localhost:5000"]
[otel]
socketPath = "o"
"#;

#[test]
fn it_starts_as_a_harness_starts_it() {
    let home = Home::new();
    fs::write(home.path("c.toml"), CONFIG).unwrap();
    let socket = home.path("run/b.sock");
    let mut command = named(&home, "buildkitd");
    command.args(["--oci-worker=true", "--containerd-worker=false", "--oci-worker-gc=false"]);
    command.args([
        "--oci-worker-labels=a.b=c d",
        "--config=c.toml",
        "--oci-worker-snapshotter",
        "native",
        "--root",
    ]);
    command.arg(home.store()).args(["--addr", &format!("unix://{}", socket.display()), "--debug"]);
    let mut served = Served::of(home, command, &[]);
    assert!(
        served.told.contains(
            "slipway as buildkitd ignores `worker.oci.networkMode`, `otel`, `provenanceEnvDir`, --oci-worker-snapshotter\n"
        ),
        "{}",
        served.told
    );
    assert_eq!(fs::metadata(&socket).unwrap().gid(), 1234);
    let shown = served.ok(&["inspect"]);
    assert!(shown.contains("a.b:") && shown.contains("c d"), "{shown}");
    let context = served.home.context("FROM base\nRUN --network=host echo shared", &[]);
    assert!(served.build(&["--allow=network.host", &context]).contains(" shared\n"));
    let pid = served.daemon.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(served.daemon.wait().unwrap().success());
    assert!(!socket.exists());
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(served.home.store().to_str().unwrap()), "{mounts}");
}

#[test]
fn what_it_does_not_understand_is_refused() {
    let home = Home::without_base();
    let fails = |arguments: &[&str]| {
        let output = named(&home, "buildkitd").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(fails(&["--addr=unix:///x", "--adr", "y"]), "ERROR: unknown flag `--adr`\n");
    assert_eq!(fails(&["serve"]), "ERROR: unexpected argument `serve`\n");
    assert!(fails(&["--oci-max-parallelism=many"]).contains("expected a number or `num-cpu`"));
    fs::write(home.path("c.toml"), "[worker.oci]\nmax-parallelism = 'x'\n").unwrap();
    assert!(fails(&["--config=c.toml"]).contains("`worker.oci.max-parallelism` of `c.toml`"));
    let version = named(&home, "buildkitd").arg("--version").output().unwrap();
    assert!(String::from_utf8(version.stdout).unwrap().starts_with("buildkitd slipway v"));
}
