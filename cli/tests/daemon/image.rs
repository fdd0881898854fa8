//! The image of Slipway that Slipway makes: its entry point serves clients, and it builds.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::buildkitd::named;
use crate::support::{Home, check};

const IMAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/image");
/// A machine that does much else may take long.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// A container, which goes with this value.
struct Container<'a>(&'a Home);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.0.run(&["rm", "--force", "--volumes", "node"]);
    }
}

/// An image with what the program needs of the machine: nothing where it is static, as users have it.
fn below(home: &Home, program: &Path) -> String {
    let linked = Command::new("ldd").arg(program).output().unwrap();
    if !linked.status.success() {
        return "scratch".to_owned();
    }
    let text = String::from_utf8(linked.stdout).unwrap();
    let libraries = text.split_whitespace().filter(|word| word.starts_with('/'));
    let tar = home.path("libraries.tar");
    check(Command::new("tar").arg("--dereference").arg("-cf").arg(&tar).args(libraries));
    home.ok(&["import", tar.to_str().unwrap(), "libraries:latest"]);
    "libraries".to_owned()
}

fn build_image(home: &Home) {
    let context = home.path("image");
    fs::create_dir(&context).unwrap();
    for name in ["Dockerfile", ".dockerignore"] {
        fs::copy(Path::new(IMAGE).join(name), context.join(name)).unwrap();
    }
    let program = context.join("slipway");
    fs::copy(home.command(&[]).get_program(), &program).unwrap();
    let below = format!("BARE={}", below(home, &program));
    let arguments = ["build", "-q", "-t", "slipway", "--target=bare", "--build-arg=BASE=base", "--build-arg"];
    home.ok(&[&arguments[..], &[&below, context.to_str().unwrap()]].concat());
}

#[test]
fn an_image_of_slipway_builds_in_a_container() {
    let home = Home::new();
    build_image(&home);
    assert!(home.ok(&["run", "--rm", "slipway", "--version"]).starts_with("buildkitd slipway v"));
    let run = home.path("run");
    fs::create_dir(&run).unwrap();
    let container = Container(&home);
    let mounted = format!("{}:/run/buildkit", run.display());
    home.ok(&["run", "-d", "--privileged", "--name", "node", "-v", &mounted, "slipway"]);
    let begin = Instant::now();
    // As the probes of Kubernetes, and the drivers of buildx.
    while !home.run(&["exec", "node", "buildctl", "debug", "workers"]).status.success() {
        let logs = home.run(&["logs", "node"]);
        assert!(begin.elapsed() < PATIENCE, "{}", String::from_utf8_lossy(&logs.stderr));
        std::thread::sleep(PAUSE);
    }
    let text = "FROM scratch\nCOPY busybox /busybox\nRUN [\"/busybox\", \"echo\", \"built inside\"]\n";
    home.context(text, &[]);
    fs::copy("/bin/busybox", home.path("context/busybox")).unwrap();
    let address = format!("unix://{}", run.join("buildkitd.sock").display());
    let mut client = named(&home, "buildctl");
    client.args(["--addr", &address, "build", "--progress=plain", "--frontend=dockerfile.v0"]);
    client.args(["--local=context=context", "--local=dockerfile=context"]);
    let output = client.output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && shown.contains(" built inside\n"), "{shown}");
    drop(container);
}
