//! Frontends of others, from images: `gateway.v0`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use crate::buildctl::ok;
use crate::buildkitd::named;
use crate::client::Served;
use crate::support::check;

/// An image of the frontend, with the libraries that it needs.
pub(crate) fn make_image(served: &Served, dockerfile: &str) {
    let root = served.home.path("frontend");
    fs::create_dir_all(&root).unwrap();
    let program = std::env::current_exe().unwrap();
    fs::copy(&program, root.join("frontend")).unwrap();
    let libraries = check(Command::new("ldd").arg(&program));
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(root.join("Dockerfile"), dockerfile).unwrap();
    served.home.ok(&["build", "--tag=my/frontend", root.to_str().unwrap()]);
}

/// What runs tests has a word to say first, which is no answer to the daemon.
pub(crate) const DOCKERFILE: &str = "FROM base\nCOPY . /\nLABEL moby.buildkit.frontend.network.none=true\n\
    ENTRYPOINT [\"/bin/sh\", \"-c\", \"exec 3>&1 >&2; exec /frontend --ignored --exact frontend::runs_in_an_image --nocapture\"]\n";

pub(crate) fn build<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let first = ["build", "--progress=plain", "--frontend=gateway.v0", "--opt=source=my/frontend"];
    [&first[..], &["--opt=base=base"], arguments].concat()
}

#[test]
fn a_frontend_of_others_builds_and_returns_what_it_made() {
    let served = Served::alone(&[]);
    make_image(&served, DOCKERFILE);
    let script = "--opt=script=echo hello from the frontend > /made";
    let ran = ok(&served, &build(&[script, "--output=type=image,name=made"]));
    for expected in [
        "caps true true workers 1\n",
        "control Some(Unimplemented)\n",
        "digest 71 config true\n",
        "read \"ell\" names [\"made\"] size 24\n",
        "mind this",
    ] {
        assert!(ran.shown.contains(expected), "{expected}:\n{}", ran.shown);
    }
    assert_eq!(served.home.ok(&["run", "--rm", "made"]), "hello from the frontend\n");
    let label = served.home.ok(&["image", "inspect", "--format={{.Config.Labels.by}}", "made"]);
    assert_eq!(label.trim(), "a frontend");
    // Again, and nothing runs but the frontend.
    assert!(ok(&served, &build(&[script])).shown.contains(" CACHED"));
}

#[test]
fn a_client_that_asks_for_a_frontend_gets_its_result() {
    let served = Served::start(&[]);
    make_image(&served, DOCKERFILE);
    let context = served.home.context("# not read\n", &[]);
    let arguments = ["--build-arg=BUILDKIT_SYNTAX=my/frontend", "--build-arg=base=base"];
    let script = "--build-arg=script=echo hello from the frontend > /made";
    let out = format!("--output=type=local,dest={}", served.home.path("out").display());
    let shown = served.build(&[&arguments[..], &[script, &out, &context]].concat());
    assert!(shown.contains("size 24\n") && shown.contains("mind this"), "{shown}");
    assert_eq!(served.read("out/made"), "hello from the frontend\n");
}

#[test]
fn a_frontend_runs_processes_on_its_results() {
    let served = Served::alone(&[]);
    make_image(&served, DOCKERFILE);
    let inside = "--opt=contain=read line; echo $WHO $line $(cat /made /again/made) $(pwd); \
        touch /again/x 2>/dev/null && echo written; grep -w db /etc/hosts; echo no >&2; exit 3";
    let shown = ok(&served, &build(&["--opt=script=echo made > /made", inside])).shown;
    for expected in [
        "host network.host is not allowed\n",
        "one !.. 3 exit code: 3 done me typed made made /mem;10.9.8.7\tdb; no;\n",
        "again .. 255 a container of the gateway is for one process done",
        "insecure .. 255 security.insecure is not allowed done",
        "killed !.. ",
        "released None\n",
        "released Some(NotFound)\n",
    ] {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    assert!(!crate::client::is_running("86431"));
}

fn fails(served: &Served, arguments: &[&str]) -> String {
    let output =
        named(&served.home, "buildctl").args(["--addr", &served.address]).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "buildctl {arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_frontend_that_fails_fails_the_build() {
    let served = Served::alone(&[]);
    make_image(&served, DOCKERFILE);
    let shown = fails(&served, &build(&["--opt=script=echo no >&2; exit 9"]));
    assert!(shown.contains(" no\n") && shown.contains("exit code: 9"), "{shown}");
    let shown = fails(&served, &build(&["--opt=source=base", "--opt=script=true"]));
    assert!(shown.contains("frontend base did not complete successfully"), "{shown}");
    let shown = fails(&served, &["build", "--frontend=gateway.v0"]);
    assert!(shown.contains("`gateway.v0` needs the attribute `source`"), "{shown}");
}
