//! Daemons and clients that prove by certificates who they are.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::buildkitd::named;
use crate::client::Served;
use crate::support::{Home, check};

/// The system's own settings would make every certificate that of an authority.
const OPENSSL_CONFIG: &str = "[req]\ndistinguished_name = name\n[name]\n";

/// How a record of TLS begins that says why a connection ends.
const TLS_ALERT: u8 = 21;

/// An authority, and files that it signed.
pub(crate) struct Authority<'a> {
    directory: &'a Path,
    name: &'a str,
}

impl<'a> Authority<'a> {
    pub(crate) fn new(directory: &'a Path, name: &'a str) -> Self {
        fs::create_dir_all(directory).unwrap();
        fs::write(directory.join("openssl.cnf"), OPENSSL_CONFIG).unwrap();
        let authority = Self { directory, name };
        authority.make(name, &["-addext", "basicConstraints=critical,CA:TRUE"]);
        authority
    }

    /// Writes `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, name: &str) {
        let (certificate, key) = (format!("{}.pem", self.name), format!("{}.key", self.name));
        let extensions = ["basicConstraints=CA:FALSE", "subjectAltName=IP:127.0.0.1"];
        let mut arguments = vec!["-CA", &certificate, "-CAkey", &key];
        arguments.extend(extensions.iter().flat_map(|it| ["-addext", it]));
        self.make(name, &arguments);
    }

    fn make(&self, name: &str, arguments: &[&str]) {
        let (certificate, key, subject) =
            (format!("{name}.pem"), format!("{name}.key"), format!("/CN={name}"));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-config", "openssl.cnf", "-nodes", "-days", "2", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", &subject]);
        openssl.args(["-keyout", &key, "-out", &certificate]).args(arguments).current_dir(self.directory);
        check(&mut openssl);
    }
}

#[test]
fn a_client_without_the_right_certificate_is_refused() {
    let home = Home::new();
    let directory = home.path("certificates");
    let authority = Authority::new(&directory, "authority");
    authority.sign("server");
    authority.sign("client");
    Authority::new(&directory, "stranger").sign("strange");
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let options = |name: &str| {
        let named = [("cert", format!("{name}.pem")), ("key", format!("{name}.key"))];
        let named = named.map(|(option, file)| format!("{option}={}", path(&file)));
        format!("cacert={},servername=127.0.0.1,{}", path("authority.pem"), named.join(","))
    };
    let (certificate, key, signer) = (path("server.pem"), path("server.key"), path("authority.pem"));
    let arguments = ["daemon", "--addr=tcp://127.0.0.1:0", "--tlscert", &certificate, "--tlskey", &key];
    let command = home.command(&[&arguments[..], &["--tlscacert", &signer]].concat());
    let served = Served::of(home, command, &["--driver-opt", &options("client")]);
    let context = served.home.context("FROM base\nRUN echo over TLS", &[]);
    assert!(served.build(&[&context]).contains(" over TLS\n"));
    let own = named(&served.home, "buildctl")
        .args(["--addr", &served.address, "--tlscacert", &signer, "--tlscert", &path("client.pem")])
        .args(["--tlskey", &path("client.key"), "debug", "info"])
        .output()
        .unwrap();
    assert!(own.status.success(), "{}", String::from_utf8_lossy(&own.stderr));
    let place = served.address.strip_prefix("tcp://").unwrap();
    for (name, reason) in [(Some("strange"), "alert unknown ca"), (None, "alert certificate required")] {
        let mut openssl = Command::new("openssl");
        // It ends when the other side does.
        openssl.args(["s_client", "-quiet", "-alpn", "h2", "-CAfile", &signer, "-connect", place]);
        if let Some(name) = name {
            openssl.args(["-cert", &path(&format!("{name}.pem")), "-key", &path(&format!("{name}.key"))]);
        }
        let output = openssl.stdin(Stdio::null()).output().unwrap();
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && shown.contains(reason), "{name:?}:\n{shown}");
        assert_eq!(output.stdout, b"");
    }
    let mut plain = TcpStream::connect(place).unwrap();
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The other side may have ended it already.
    let _ = plain.read_to_end(&mut answer);
    assert!(answer.first().is_none_or(|first| *first == TLS_ALERT), "{answer:?}");
    served.build(&[&context]);
}

#[test]
fn certificates_that_cannot_be_used_are_named() {
    let home = Home::without_base();
    let directory = home.path("certificates");
    let authority = Authority::new(&directory, "authority");
    authority.sign("one");
    authority.sign("two");
    let fails = |arguments: &[&str]| {
        let mut command = home.command(&[&["daemon", "--addr=tcp://127.0.0.1:0"], arguments].concat());
        let output = command.current_dir(&directory).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, shown) = fails(&["--tlscert=one.pem", "--tlskey=two.key"]);
    assert_eq!(code, Some(1));
    assert!(shown.contains("the certificate `one.pem` cannot be used with the key `two.key`"), "{shown}");
    let (_, shown) = fails(&["--tlscert=one.key", "--tlskey=one.key"]);
    assert!(shown.contains("`one.key` holds no certificate in PEM form"), "{shown}");
    let (_, shown) = fails(&["--tlscert=one.pem", "--tlskey=one.key", "--tlscacert=none.pem"]);
    assert!(shown.contains("`none.pem` holds no certificate in PEM form"), "{shown}");
    let (code, shown) = fails(&["--tlscert=one.pem"]);
    assert!(code == Some(1) && shown.contains("--tlskey"), "{shown}");
}
