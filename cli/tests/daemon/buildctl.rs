//! The client under BuildKit's name, and what it says to our daemon.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::{Command, Output, Stdio};

use crate::buildkitd::named;
use crate::client::Served;
use crate::support::{Home, check};

pub(crate) struct Ran {
    stdout: Vec<u8>,
    pub(crate) shown: String,
}

fn output(served: &Served, arguments: &[&str]) -> Output {
    named(&served.home, "buildctl").args(["--addr", &served.address]).args(arguments).output().unwrap()
}

pub(crate) fn ok(served: &Served, arguments: &[&str]) -> Ran {
    let output = output(served, arguments);
    let shown = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "buildctl {arguments:?}:\n{shown}");
    Ran { stdout: output.stdout, shown }
}

fn text(served: &Served, arguments: &[&str]) -> String {
    String::from_utf8(ok(served, arguments).stdout).unwrap()
}

pub(crate) fn fails(served: &Served, arguments: &[&str]) -> String {
    let output = output(served, arguments);
    assert_eq!(output.status.code(), Some(1), "buildctl {arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Arguments of a build of the context.
pub(crate) fn build<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let first = ["build", "--progress=plain", "--frontend=dockerfile.v0", "--local", "context=context"];
    [&first[..], &["--local", "dockerfile=context"], arguments].concat()
}

#[test]
fn what_a_build_needs_comes_from_the_client_and_goes_to_it() {
    let served = Served::alone(&[]);
    let dockerfile = "FROM base AS one\nARG WHO\nCOPY . /src\n\
        RUN --mount=type=secret,id=s ls -A /src && test \"$(cat /run/secrets/s)\" = hidden && echo for $WHO\n\
        FROM scratch\nCOPY --from=one /src /out\n";
    let files =
        [("sub/f", "one\n"), ("x.o", "no"), (".dockerignore", "*.o\n!keep.o\nnone\n"), ("keep.o", "k")];
    served.home.context(dockerfile, &files);
    fs::write(served.home.path("secret"), "hidden").unwrap();
    fs::create_dir(served.home.path("out")).unwrap();
    fs::write(served.home.path("out/mine"), "mine").unwrap();
    let arguments = ["--opt", "build-arg:WHO=you", "--secret=id=s,src=secret", "--metadata-file=facts.json"];
    let outputs =
        ["--output=type=local,dest=out", "--output=type=tar,dest=out.tar", "-o", "type=image,name=built"];
    let ran = ok(&served, &build(&[&arguments[..], &outputs].concat()));
    assert!(ran.shown.contains(" for you\n") && ran.shown.contains("keep.o\n"), "{}", ran.shown);
    assert!(!ran.shown.contains("x.o"), "{}", ran.shown);
    assert_eq!(served.read("out/out/sub/f"), "one\n");
    assert_eq!(served.read("out/mine"), "mine");
    let listed = check(Command::new("tar").arg("-tf").arg(served.home.path("out.tar")));
    assert!(listed.contains("out/sub/f"), "{listed}");
    let facts: serde_json::Value = serde_json::from_str(&served.read("facts.json")).unwrap();
    assert!(facts["containerimage.digest"].as_str().unwrap().starts_with("sha256:"), "{facts}");
    assert!(served.home.ok(&["images"]).contains("built"));
    // The same again: nothing is sent, and standard output takes an archive.
    let ran = ok(&served, &build(&["--opt=build-arg:WHO=you", "--secret=id=s,src=secret", "-o", "type=tar"]));
    assert!(ran.shown.contains(" CACHED"), "{}", ran.shown);
    assert_eq!(ran.stdout, fs::read(served.home.path("out.tar")).unwrap());
}

#[test]
fn the_line_that_failed_is_shown() {
    let served = Served::alone(&[]);
    served.home.context("FROM base\nRUN echo said && exit 3\n", &[]);
    let shown = fails(&served, &build(&[]));
    for expected in
        ["   2 | >>> RUN echo said && exit 3\n", " said\n", "ERROR: failed to solve: ", "exit code: 3"]
    {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }
    let shown = fails(&served, &build(&["--local", "dockerfile=nowhere"]));
    assert!(shown.contains("`nowhere`: No such file or directory"), "{shown}");
    let shown = fails(&served, &["build", "--frontend=dockerfile.v0"]);
    assert!(shown.contains("no access allowed to dir `dockerfile`"), "{shown}");
    let shown = fails(&served, &build(&["--output=type=oci,tar=false"]));
    assert!(shown.contains("it needs `dest=DIRECTORY`"), "{shown}");
    fs::write(served.home.path("wrong"), b"\xff").unwrap();
    let mut definition = named(&served.home, "buildctl");
    definition
        .args(["--addr", &served.address, "build"])
        .stdin(fs::File::open(served.home.path("wrong")).unwrap());
    let shown = String::from_utf8(definition.output().unwrap().stderr).unwrap();
    assert!(shown.contains("cannot offer a definition to the daemon"), "{shown}");
}

#[test]
fn an_agent_signs_for_steps() {
    let served = Served::alone(&[]);
    let socket = served.home.path("agent.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    // An agent without keys: it answers each question with an empty list.
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut question = [0; 5];
            while connection.read_exact(&mut question).is_ok() {
                connection.write_all(&[0, 0, 0, 5, 12, 0, 0, 0, 0]).unwrap();
            }
        }
    });
    served
        .home
        .context("FROM base\nRUN --mount=type=ssh,required test -S $SSH_AUTH_SOCK && echo there\n", &[]);
    let agent = format!("--ssh=default={}", socket.display());
    let ran = ok(&served, &build(&[&agent]));
    assert!(ran.shown.contains(" there\n"), "{}", ran.shown);
    let shown = fails(&served, &build(&["--no-cache"]));
    assert!(shown.contains("not forwarded"), "{shown}");
}

#[test]
fn daemons_are_looked_at_and_pruned() {
    let served = Served::alone(&[]);
    served.home.context("FROM base\nRUN head -c 4000000 /dev/zero > /file\n", &[]);
    ok(&served, &build(&[]));
    let info = text(&served, &["debug", "info"]);
    assert!(info.starts_with("BuildKit:") && info.contains(" slipway v"), "{info}");
    let workers = text(&served, &["debug", "workers"]);
    assert!(workers.starts_with("ID") && workers.contains("linux/"), "{workers}");
    let workers = text(&served, &["debug", "workers", "-v"]);
    let rules = ["GC Policy rule#0:", "type==source.local type==exec.cachemount", "Maximum Used Space:"];
    assert!(rules.iter().all(|expected| workers.contains(expected)), "{workers}");
    assert!(workers.contains("org.mobyproject.buildkit.worker.executor:"), "{workers}");
    let usage = text(&served, &["du"]);
    assert!(usage.starts_with("ID") && usage.contains("4.00MB") && usage.contains("Total:"), "{usage}");
    let usage = text(&served, &["du", "-v"]);
    assert!(usage.contains("RUN head -c 4000000"), "{usage}");
    let pruned = text(&served, &["prune", "--all"]);
    assert!(pruned.contains("4.00MB") && pruned.contains("Total:"), "{pruned}");
    assert!(!text(&served, &["du"]).contains("4.00MB"));
    assert!(fails(&served, &["du", "--fliter=x"]).contains("unknown flag `--fliter=x`"));
    assert!(fails(&served, &["prune", "--keep-storage=much"]).contains("expected megabytes"));
    assert!(fails(&served, &["debug", "monitor"]).contains("no counterpart of `buildctl debug monitor`"));
}

#[test]
fn standard_input_and_output_are_connected_with_the_daemon() {
    let served = Served::alone(&[]);
    let mut client = named(&served.home, "buildctl");
    client.args(["dial-stdio"]).env("BUILDKIT_HOST", &served.address);
    let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = client.stdin.take().unwrap();
    input.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    client.stdout.as_mut().unwrap().read_exact(&mut frame).unwrap();
    // The first frame of a server has its settings, see RFC 9113, section 3.4.
    assert_eq!(frame[3], 4, "{frame:?}");
    drop(input);
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_daemon_that_is_not_there_is_the_fault_of_the_network() {
    let home = Home::without_base();
    for arguments in [&["du"][..], &["dial-stdio"]] {
        let address = format!("unix://{}", home.path("no.sock").display());
        let output = named(&home, "buildctl").args(["--addr", &address]).args(arguments).output().unwrap();
        let shown = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(69), "{shown}");
        assert!(
            shown.contains(&format!("cannot connect to {address}: No such file or directory")),
            "{shown}"
        );
    }
    let output = named(&home, "buildctl").args(["--addr", "kube-pod://x", "du"]).output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("invalid address `kube-pod://x`"), "{shown}");
}

#[test]
fn a_daemon_that_is_not_there_yet_is_waited_for() {
    let home = Home::without_base();
    let address = format!("unix://{}", home.path("d.sock").display());
    let mut client = named(&home, "buildctl");
    client.args(["--addr", &address, "--wait", "debug", "info"]).stdout(Stdio::piped());
    let client = client.spawn().unwrap();
    let command = home.command(&["daemon", "--addr", &address]);
    let served = Served::listening(home, command);
    let output = client.wait_with_output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"BuildKit:"), "{output:?}");
    // Somebody who listens and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = format!("tcp://{}", silent.local_addr().unwrap());
    let mut client = named(&served.home, "buildctl");
    client.args(["--addr", &place, "--timeout=1", "--tlsservername=x", "debug", "info"]);
    let output = client.output().unwrap();
    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{shown}");
    assert!(shown.contains("does not answer within 1 seconds"), "{shown}");
}
