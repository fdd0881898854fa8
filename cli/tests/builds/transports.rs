//! Repositories behind ssh and git's own protocol, with OpenSSH and git on the other side.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::git_server::Repository;
use crate::inetd::Inetd;
use crate::support::{Home, check};

/// Debian's package `openssh-server`.
const SSHD: &str = "/usr/sbin/sshd";
/// Where a server of root's puts its unprivileged half, see sshd(8); Debian makes it when a machine starts.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// A repository with a tag, as a path of this machine.
fn repository(home: &Home) -> String {
    let repository = Repository::new(home, "a");
    repository.write("file", "first\n").write("docs/a.md", "docs\n").commit();
    repository.git(&["tag", "v1"]);
    repository.write("file", "second\n").commit();
    home.path("served/a.git").to_str().unwrap().to_owned()
}

/// A server of ssh that takes one key for one user: the one who runs the test.
struct Ssh {
    inetd: Inetd,
    user: String,
}

fn key(home: &Home, name: &str) -> String {
    let path = home.path(name);
    check(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path));
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

impl Ssh {
    fn new(home: &Home) -> Self {
        let host = key(home, "host");
        fs::write(home.path("authorized"), key(home, "user")).unwrap();
        let settings = format!(
            "HostKey {}\nAuthorizedKeysFile {}\nAuthenticationMethods publickey\nStrictModes no\nUsePAM no\n\
             PermitRootLogin prohibit-password\nPidFile none\n",
            home.path("host").display(),
            home.path("authorized").display(),
        );
        let file = home.path("sshd_config");
        fs::write(&file, settings).unwrap();
        if !Path::new(PRIVILEGE_SEPARATION).exists() {
            // An ordinary user's server needs none.
            let _ = fs::create_dir(PRIVILEGE_SEPARATION);
        }
        let inetd = Inetd::new(move || {
            let mut command = Command::new(SSHD);
            command.args(["-i", "-e", "-f"]).arg(&file);
            command
        });
        let known = home.path(".ssh/known_hosts");
        fs::create_dir_all(known.parent().unwrap()).unwrap();
        fs::write(known, format!("[127.0.0.1]:{} {host}", inetd.port())).unwrap();
        // An address without a port is for port 22, which is not ours.
        let wrapper = home.path("bin/ssh");
        fs::create_dir_all(wrapper.parent().unwrap()).unwrap();
        let script = format!("#!/bin/sh\nexec /usr/bin/ssh -p {} \"$@\"\n", inetd.port());
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        Self { inetd, user: check(Command::new("id").arg("-un")).trim().to_owned() }
    }

    /// Builds as somebody whose home directory has the known hosts.
    fn build(&self, home: &Home, arguments: &[&str]) -> Output {
        let mut command = home.command(&[&["build", "--progress=plain"], arguments].concat());
        command.env("HOME", home.path(""));
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", home.path("bin").display());
        command.env("PATH", path).output().unwrap()
    }

    fn address(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn repositories_behind_ssh_are_fetched_with_the_keys_of_the_user() {
    let home = Home::new();
    let (path, ssh) = (repository(&home), Ssh::new(&home));
    let (address, port) = (ssh.address(), ssh.inetd.port());
    let dockerfile = format!(
        "FROM base\nADD {address}:{path}#v1 /scp/\nADD ssh://{address}:{port}{path}#:docs /url/\n\
         RUN cat /scp/file /url/a.md /url/../scp/docs/a.md > /all\n"
    );
    let context = home.context(&dockerfile, &[]);
    let key = format!("default={}", home.path("user").display());
    let output = ssh.build(&home, &["--ssh", &key, "-t", "image", &context]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::read_to_string(home.unpack("image").path("all")).unwrap(), "first\ndocs\ndocs\n");
    // As a context it is the same.
    fs::write(home.path("Dockerfile"), "FROM base\nCOPY file /file\n").unwrap();
    let file = home.path("Dockerfile");
    let text = fs::read(&file).unwrap();
    let remote = format!("{address}:{path}#v1");
    let mut command = home.command(&["build", "--ssh", &key, "-t", "other", "-f", "-", &remote]);
    command.env("HOME", home.path("")).stdin(fs::File::open(&file).unwrap());
    command.env("PATH", format!("{}:/usr/bin:/bin", home.path("bin").display()));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{} {}", said(&output), String::from_utf8_lossy(&text));
    assert_eq!(fs::read_to_string(home.unpack("other").path("file")).unwrap(), "first\n");
}

#[test]
fn without_a_key_or_with_an_unknown_host_ssh_is_refused() {
    let home = Home::new();
    let (path, ssh) = (repository(&home), Ssh::new(&home));
    let context = home.context(&format!("FROM base\nADD {}:{path} /src/\n", ssh.address()), &[]);
    let output = ssh.build(&home, &[&context]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("Permission denied"), "{}", said(&output));
    fs::write(home.path(".ssh/known_hosts"), "").unwrap();
    let key = format!("default={}", home.path("user").display());
    let output = ssh.build(&home, &["--ssh", &key, &context]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("Host key verification failed"), "{}", said(&output));
}

#[test]
fn repositories_of_the_git_protocol_are_fetched() {
    let home = Home::new();
    repository(&home);
    let served = home.path("served");
    let server = Inetd::new(move || {
        let mut command = Command::new("git");
        let base = format!("--base-path={}", served.display());
        command.args(["-c", "safe.directory=*", "daemon", "--inetd", "--export-all", &base]).arg(&served);
        command
    });
    let url = format!("git://127.0.0.1:{}/a.git", server.port());
    let context = home.context(&format!("FROM base\nADD {url}#v1 /v1/\nADD {url}?subdir=docs /docs/\n"), &[]);
    home.log(&["-t", "image", &context]);
    let unpacked = home.unpack("image");
    let read = |name: &str| fs::read_to_string(unpacked.path(name)).unwrap();
    assert_eq!((read("v1/file"), read("docs/a.md")), ("first\n".to_owned(), "docs\n".to_owned()));
    let absent = home.context(&format!("FROM base\nADD {}/x /v1/\n", url.trim_end_matches("/a.git")), &[]);
    let (code, error) = home.fails(&["build", "-q", &absent]);
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("access denied or repository not exported"), "{error}");
}
