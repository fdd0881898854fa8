//! A registry on a port of its own, gone with the test.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::{Home, check};

/// bcrypt of `secret`, in the form of htpasswd(1).
const SECRET: &str = "$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a";

/// A running `docker-registry`.
pub(crate) struct Registry {
    child: Child,
    _directory: tempfile::TempDir,
    /// Host and port.
    pub(crate) authority: String,
}

/// How a registry lets others in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Open,
    /// For `user` with the password `secret`.
    Password,
    /// Over TLS, with a certificate that `ca.crt` beside it signed.
    Tls,
    /// The same, for those who have a certificate that `ca.crt` signed: `client.crt` with `client.key`.
    Certificate,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::with(Access::Open)
    }

    pub(crate) fn with(access: Access) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut config = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n",
            path("data").display()
        );
        config += "http:\n  addr: 127.0.0.1:0\n";
        match access {
            Access::Open => {}
            Access::Password => {
                fs::write(path("htpasswd"), format!("user:{SECRET}\n")).unwrap();
                config +=
                    &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", path("htpasswd").display());
            }
            Access::Tls | Access::Certificate => {
                certificates(directory.path());
                let (certificate, key) = (path("server.crt"), path("server.key"));
                let clients = match access {
                    Access::Certificate => format!(", clientcas: [{}]", path("ca.crt").display()),
                    _ => String::new(),
                };
                let (certificate, key) = (certificate.display(), key.display());
                config += &format!("  tls: {{certificate: {certificate}, key: {key}{clients}}}\n");
            }
        }
        fs::write(path("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(path("config.yml")).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the tests need the package docker-registry");
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let authority = port(&mut log);
        // Somebody has to read what it writes.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, _directory: directory, authority }
    }

    /// A name in this registry.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.authority)
    }

    /// The file in which it keeps a blob.
    pub(crate) fn blob_path(&self, digest: &str) -> std::path::PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self._directory.path().join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }

    /// Whether a repository has any blob.
    pub(crate) fn has_blobs_of(&self, repository: &str) -> bool {
        let repositories = self._directory.path().join("data/docker/registry/v2/repositories");
        let blobs = fs::read_dir(repositories.join(repository).join("_layers/sha256"));
        blobs.is_ok_and(|mut blobs| blobs.next().is_some())
    }

    /// A certificate for those who come, with its key.
    pub(crate) fn client_certificate(&self) -> (std::path::PathBuf, std::path::PathBuf) {
        let path = |name: &str| self._directory.path().join(name);
        (path("client.crt"), path("client.key"))
    }

    /// What signed its certificate.
    pub(crate) fn ca(&self) -> std::path::PathBuf {
        self._directory.path().join("ca.crt")
    }

    /// Pushes an image of the store, with skopeo.
    pub(crate) fn push_with_skopeo(&self, home: &Home, image: &str, name: &str, flags: &[&str]) {
        let archive = home.path("for-skopeo.tar");
        home.ok(&["save", "-o", archive.to_str().unwrap(), image]);
        let to = format!("docker://{}", self.name(name));
        let mut command = Command::new("skopeo");
        command.args(["copy", "--insecure-policy", "-q", "--dest-tls-verify=false"]).args(flags);
        check(command.arg(format!("docker-archive:{}", archive.display())).arg(to));
    }

    /// What skopeo says of an image.
    pub(crate) fn inspect_with_skopeo(&self, name: &str, flags: &[&str]) -> String {
        let mut command = Command::new("skopeo");
        command.args(["inspect", "--tls-verify=false"]).args(flags);
        check(command.arg(format!("docker://{}", self.name(name))))
    }

    /// Replaces what differs from run to run.
    pub(crate) fn settled(&self, text: &str) -> String {
        let text = text.replace(&self.authority, "[registry]");
        let mut settled = String::new();
        let mut run = String::new();
        // Digests and their beginnings.
        for c in text.chars().chain(['\n']) {
            if c.is_ascii_hexdigit() && !c.is_ascii_uppercase() {
                run.push(c);
                continue;
            }
            let is_digest = matches!(run.len(), 12 | 64);
            settled += if is_digest { "<digest>" } else { &run };
            run.clear();
            settled.push(c);
        }
        settled.trim_end().to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where it says that it listens.
fn port(log: &mut impl std::io::BufRead) -> String {
    let mut seen = String::new();
    for line in log.lines() {
        let line = line.unwrap();
        if let Some((_, rest)) = line.split_once("listening on ") {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':').unwrap_or(rest.len());
            return rest[..end].to_owned();
        }
        seen += &line;
        seen.push('\n');
    }
    panic!("docker-registry did not start:\n{seen}");
}

/// A certificate authority, and a certificate for this machine.
fn certificates(directory: &Path) {
    let openssl = |arguments: &str| {
        check(Command::new("openssl").args(arguments.split(' ')).current_dir(directory));
    };
    fs::write(directory.join("san"), "subjectAltName=IP:127.0.0.1,DNS:localhost").unwrap();
    openssl(
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca -addext keyUsage=keyCertSign",
    );
    for name in ["server", "client"] {
        openssl(&format!(
            "req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj /CN=localhost"
        ));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile san -out {name}.crt"
        ));
    }
}

/// Sends a document to a registry that needs no proof of who we are.
pub(crate) fn put(registry: &Registry, path: &str, media_type: &str, body: &str) {
    let answer = request(registry, "PUT", path, media_type, body.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// Sends a request past all code of ours; the answer as text.
pub(crate) fn request(
    registry: &Registry,
    method: &str,
    path: &str,
    media_type: &str,
    body: &[u8],
) -> String {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(&registry.authority).unwrap();
    let (host, length) = (&registry.authority, body.len());
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// The lines in order: layers come and go in any.
pub(crate) fn sorted(text: &str) -> String {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}
