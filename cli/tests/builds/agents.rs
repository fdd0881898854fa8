//! `RUN --mount=type=ssh`: steps sign with the keys of the user, with OpenSSH on both sides.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Home, check, is_running, wait_for};

/// What the steps use, from Debian's package `openssh-client`.
const PROGRAMS: [&str; 2] = ["/usr/bin/ssh-add", "/usr/bin/ssh-keygen"];

/// A home with a context in which OpenSSH is, and a place for what its agents make.
fn home() -> Home {
    let home = Home::new();
    let root = home.path("context/ssh");
    for program in PROGRAMS {
        copy(&root, program);
        let libraries = check(Command::new("ldd").arg(program));
        libraries.split_whitespace().filter(|word| word.starts_with('/')).for_each(|path| copy(&root, path));
    }
    home
}

/// Sockets of agents that were started for builds of this home, and are used by a process that runs.
fn started_agents(home: &Home) -> Vec<PathBuf> {
    let ours = format!("SLIPWAY_ROOT={}", home.store().display());
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|process| fs::read(process.path().join("environ")).ok());
    let socket = |environment: Vec<u8>| {
        let text = String::from_utf8_lossy(&environment).into_owned();
        let is_ours = text.split('\0').any(|variable| variable == ours);
        let socket = text.split('\0').find_map(|variable| variable.strip_prefix("SSH_AUTH_SOCK="));
        socket.filter(|_| is_ours).map(PathBuf::from)
    };
    environments.filter_map(socket).collect()
}

fn copy(root: &Path, path: &str) {
    let to = root.join(path.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(path, to).unwrap();
}

/// A new key; its fingerprint.
fn key(home: &Home, name: &str, kind: &[&str], passphrase: &str) -> String {
    let path = home.path(name);
    let flags = ["-q", "-N", passphrase, "-C", name, "-f"];
    check(Command::new("ssh-keygen").args(kind).args(flags).arg(&path));
    let shown = check(Command::new("ssh-keygen").arg("-lf").arg(path.with_extension("pub")));
    shown.split(' ').nth(1).unwrap().to_owned()
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An agent of the user's.
struct OwnAgent {
    _process: Ends,
    socket: PathBuf,
}

impl OwnAgent {
    fn start(home: &Home) -> Self {
        let socket = home.path("own-agent");
        let mut command = Command::new("ssh-agent");
        let process = command.arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap();
        wait_for("the agent listens", || socket.exists());
        Self { _process: Ends(process), socket }
    }

    fn add(&self, arguments: &[&str]) -> String {
        check(
            Command::new("ssh-add").args(arguments).env("SSH_AUTH_SOCK", &self.socket).stderr(Stdio::null()),
        )
    }
}

fn dockerfile(steps: &str) -> String {
    format!("FROM base\nCOPY ssh/ /\n{steps}")
}

fn build(home: &Home, arguments: &[&str], dockerfile: &str) -> std::process::Output {
    let context = home.context(dockerfile, &[]);
    home.run(&[&["build", "--progress=plain", "-t", "image"], arguments, &[&context]].concat())
}

fn built(home: &Home, arguments: &[&str], dockerfile: &str) -> String {
    let output = build(home, arguments, dockerfile);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{text}");
    text
}

#[test]
fn a_step_signs_with_the_agent_of_the_user_and_cannot_change_it() {
    let home = home();
    let fingerprint = key(&home, "mine", &["-t", "ed25519"], "");
    fs::copy(home.path("mine.pub"), home.path("context/mine.pub")).unwrap();
    let agent = OwnAgent::start(&home);
    agent.add(&["-q", home.path("mine").to_str().unwrap()]);
    let steps = "WORKDIR /signed
COPY mine.pub .
RUN --mount=type=ssh echo $SSH_AUTH_SOCK > socket && stat -c '%F %a %u %g' $SSH_AUTH_SOCK >> socket && \
    ssh-add -l > list && ssh-keygen -Y sign -f mine.pub -n file < list > list.sig && \
    ! ssh-add -D && ! ssh-add -d mine.pub && ! ssh-add -x < /dev/null
RUN --mount=type=ssh,target=/agent,mode=0666 test -S /agent
USER app
RUN --mount=type=ssh ! ssh-add -l
RUN --mount=type=ssh,uid=100,required ssh-add -l
";
    let given = format!("default={}", agent.socket.display());
    built(&home, &["--ssh", &given], &dockerfile(steps));
    let file = |name: &str| home.ok(&["run", "--rm", "image", "cat", &format!("/signed/{name}")]);
    assert_eq!(file("socket"), "/run/buildkit/ssh_agent.0\nsocket 600 0 0\n");
    assert!(file("list").contains(&fingerprint), "{}", file("list"));
    assert!(home.ok(&["run", "--rm", "image", "sh", "-c", "ls -d /run* /agent*; true"]).is_empty());
    assert!(agent.add(&["-l"]).contains(&fingerprint));
    let signers = format!("me {}", fs::read_to_string(home.path("mine.pub")).unwrap());
    for (name, content) in [("signers", signers), ("signature", file("list.sig")), ("list", file("list"))] {
        fs::write(home.path(name), content).unwrap();
    }
    let mut verify = Command::new("ssh-keygen");
    verify.args(["-Y", "verify", "-f", "signers", "-I", "me", "-n", "file", "-s", "signature"]);
    verify.stdin(fs::File::open(home.path("list")).unwrap()).current_dir(home.path(""));
    assert!(check(&mut verify).starts_with("Good \"file\" signature"));
}

#[test]
fn keys_in_files_need_no_agent() {
    let home = home();
    let kinds: [&[&str]; 4] = [
        &["-t", "ed25519"],
        &["-t", "rsa", "-b", "2048"],
        &["-t", "rsa", "-b", "2048", "-m", "PEM"],
        &["-t", "ecdsa"],
    ];
    let names = ["-a", "b", "c", "d"];
    let fingerprints: Vec<_> =
        kinds.iter().zip(names).map(|(kind, name)| key(&home, name, kind, "")).collect();
    let steps = "RUN --mount=type=ssh,id=some ssh-add -l > /list\n\
        RUN --mount=type=ssh,id=some --mount=type=ssh ssh-add -l >> /list && \
            ! SSH_AUTH_SOCK=/run/buildkit/ssh_agent.1 ssh-add -l\n";
    built(&home, &["--ssh", "some=-a,b,c,d"], &dockerfile(steps));
    let list = home.ok(&["run", "--rm", "image", "cat", "/list"]);
    assert_eq!(list.lines().count(), 8, "{list}");
    assert!(fingerprints.iter().all(|fingerprint| list.contains(fingerprint)), "{list}");
}

#[test]
fn agents_that_are_not_there() {
    let home = home();
    key(&home, "locked", &["-t", "ed25519"], "passphrase");
    fs::write(home.path("nonsense"), "no key\n").unwrap();
    let optional = "FROM base\nRUN --mount=type=ssh ! test -e $SSH_AUTH_SOCK && test -n $SSH_AUTH_SOCK\n";
    built(&home, &[], optional);
    let context = home.context("FROM base\nRUN --mount=type=ssh,id=key,required true\n", &[]);
    let error = |arguments: &[&str]| {
        let (code, error) = home.fails(&[&["build", "-q"], arguments, &[&context]].concat());
        format!("{} {code}\n{error}\n", arguments.join(" "))
    };
    let cases: [&[&str]; 8] = [
        &[],
        &["--ssh", "default"],
        &["--ssh", "key=absent"],
        &["--ssh", "key=context"],
        &["--ssh", "key=locked", "--ssh", "key=locked"],
        &["--ssh", "key=locked"],
        &["--ssh", "key=nonsense"],
        &["--ssh", "key=locked,nonsense"],
    ];
    insta::assert_snapshot!(cases.map(error).concat(), @r#"
     1
    error: this step needs the ssh agent `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=ssh,id=key,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: ssh agent `key`: not forwarded
    hint: give it to the build: `--ssh key`

    --ssh default 1
    ERROR: `--ssh default`: SSH_AUTH_SOCK does not name the socket of an agent
    hint: start one (`eval $(ssh-agent)`), or name a socket or keys: `--ssh default=PATH`

    --ssh key=absent 1
    ERROR: `absent`: No such file or directory (os error 2)

    --ssh key=context 1
    ERROR: `--ssh key`: `context` is a directory, not a socket or a key

    --ssh key=locked --ssh key=locked 1
    ERROR: duplicate agent ID `key` in `--ssh`

    --ssh key=locked 1
    error: this step needs the ssh agent `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=ssh,id=key,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: ssh agent `key`: `ssh-add` did not take the key `locked`
    hint: a key with a passphrase needs an agent that runs: `ssh-add KEY`, then `--ssh key`

    --ssh key=nonsense 1
    error: this step needs the ssh agent `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=ssh,id=key,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: ssh agent `key`: `ssh-add` did not take the key `nonsense`: Error loading key "(stdin)": error in libcrypto
    hint: a key with a passphrase needs an agent that runs: `ssh-add KEY`, then `--ssh key`

    --ssh key=locked,nonsense 1
    error: this step needs the ssh agent `key`
     --> Dockerfile:2:1
    2 | RUN --mount=type=ssh,id=key,required true
      | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

    ERROR: ssh agent `key`: `ssh-add` did not take the key `locked`
    hint: a key with a passphrase needs an agent that runs: `ssh-add KEY`, then `--ssh key`
    "#);
    assert!(started_agents(&home).is_empty());
}

/// The socket of the agent that a build has started, while its step runs.
fn running_agent(home: &Home) -> PathBuf {
    wait_for("the step runs", || is_running("sleep\x001003") && !started_agents(home).is_empty());
    let sockets = started_agents(home);
    assert!(sockets[0].exists());
    sockets[0].clone()
}

#[test]
fn the_agent_of_a_build_ends_with_it() {
    let home = home();
    key(&home, "mine", &["-t", "ed25519"], "");
    let context = home.context("FROM base\nRUN --mount=type=ssh sleep 1003\n", &[]);
    for (signal, grace) in [("INT", "none"), ("KILL", "some")] {
        let mut command = home.command(&["build", "--ssh", "default=mine", &context]);
        let mut build = Ends(command.stderr(Stdio::null()).spawn().unwrap());
        let socket = running_agent(&home);
        check(Command::new("kill").args(["-s", signal, &build.0.id().to_string()]));
        build.0.wait().unwrap();
        if grace == "none" {
            assert!(!socket.exists());
        }
        wait_for("the agent is gone", || !socket.parent().unwrap().exists());
        wait_for("everything else is gone", || {
            !is_running("sleep\x001003") && started_agents(&home).is_empty()
        });
    }
}
