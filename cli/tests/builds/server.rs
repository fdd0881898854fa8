//! A web server of Python's, on loopback.

use std::cell::RefCell;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

const SCRIPT: &str = include_str!("server.py");
/// What the server is asked to print.
const MARKER: &str = "so far";

/// A server; it ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    scheme: &'static str,
    directory: PathBuf,
    /// Its notes of requests, as far as they are not read.
    output: RefCell<BufReader<ChildStdout>>,
}

/// A certificate for 127.0.0.1, signed by itself.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    key: PathBuf,
}

impl Certificate {
    /// Made by openssl.
    pub(crate) fn new(directory: &Path) -> Self {
        let made = Self { certificate: directory.join("server.pem"), key: directory.join("server.key") };
        let mut command = Command::new("openssl");
        command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
        command.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"]).arg(&made.key);
        crate::support::check(command.arg("-out").arg(&made.certificate));
        made
    }
}

impl Server {
    /// Serves the files of a directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self::start(directory, None)
    }

    /// The same with TLS.
    pub(crate) fn with_tls(directory: &Path, certificate: &Certificate) -> Self {
        Self::start(directory, Some(certificate))
    }

    fn start(directory: &Path, certificate: Option<&Certificate>) -> Self {
        fs::create_dir_all(directory).unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", SCRIPT]).arg(directory);
        if let Some(Certificate { certificate, key }) = certificate {
            command.arg(certificate).arg(key);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3");
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let port = line(&mut output).parse().expect("the server tells its port");
        let scheme = if certificate.is_some() { "https" } else { "http" };
        Self { child, port, scheme, directory: directory.to_owned(), output: RefCell::new(output) }
    }

    /// A URL.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}/{path}", self.scheme, self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file; its time of change is long ago.
    pub(crate) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        crate::support::check(Command::new("touch").args(["-d", "@1600000000"]).arg(&path));
        path
    }

    /// The requests since the last time, sorted: `GET /files/a 200`.
    pub(crate) fn requests(&self) -> Vec<String> {
        // A request is noted before it is answered, and so before this.
        writeln!(self.child.stdin.as_ref().unwrap(), "{MARKER}").unwrap();
        let mut output = self.output.borrow_mut();
        let mut requests: Vec<_> =
            std::iter::from_fn(|| Some(line(&mut output)).filter(|line| line != MARKER)).collect();
        requests.sort();
        requests
    }
}

fn line(output: &mut BufReader<ChildStdout>) -> String {
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert!(line.ends_with('\n'), "the server has ended");
    line.trim_end().to_owned()
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
