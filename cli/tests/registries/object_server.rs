//! Object stores on ports of their own, gone with the test: moto and Azurite, which `cargo xtask test` installs, and a
//! stand-in.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The account that Azurite knows, and its key, which is public.
const AZURE_ACCOUNT: &str = "devstoreaccount1";
const AZURE_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// The bucket of the tests.
pub(crate) const BUCKET: &str = "bucket";

/// A running object store.
pub(crate) struct ObjectServer {
    child: Child,
    /// Host and port.
    pub(crate) authority: String,
}

impl ObjectServer {
    /// A server of Amazon's protocol with a bucket.
    pub(crate) fn s3() -> Option<Self> {
        let servers = servers()?;
        let mut command = Command::new("python3");
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]);
        command.env("PYTHONPATH", servers.join("python")).env("PYTHONUNBUFFERED", "1");
        let server = Self::start(command);
        let answer = server.request("PUT", &format!("/{BUCKET}"), "Content-Length: 0\r\n");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Some(server)
    }

    /// A server of Azure's.
    pub(crate) fn azure() -> Option<Self> {
        let servers = servers()?;
        let mut command = Command::new("node");
        command.arg(servers.join("node_modules/.bin/azurite-blob"));
        command.args([
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            "0",
            "--inMemoryPersistence",
            "--skipApiVersionCheck",
        ]);
        Some(Self::start(command))
    }

    /// A stand-in for Google's, and for the cache service of GitHub Actions.
    pub(crate) fn stand_in() -> Self {
        let mut command = Command::new("python3");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/registries/objects.py"));
        Self::start(command)
    }

    fn start(mut command: Command) -> Self {
        // One pipe for both streams, whichever it speaks on.
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
        let child = command.spawn().expect("an object store starts");
        drop(command);
        let mut log = BufReader::new(reader);
        let mut seen = String::new();
        let authority = loop {
            let start = seen.len();
            assert!(log.read_line(&mut seen).unwrap() > 0, "it did not start:\n{seen}");
            let line = &seen[start..];
            let is_ready = line.contains("Running on") || line.contains("listens on");
            if let (true, Some((_, url))) = (is_ready, line.split_once("http://")) {
                let end = |c: char| !c.is_ascii_digit() && c != '.' && c != ':';
                break url[..url.find(end).unwrap_or(url.len())].to_owned();
            }
        };
        // Somebody has to read what it writes.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, authority }
    }

    /// The attributes of a cache in it.
    pub(crate) fn s3_cache(&self) -> String {
        let endpoint = format!("endpoint_url=http://{},use_path_style=true", self.authority);
        format!("type=s3,bucket={BUCKET},region=us-east-1,access_key_id=a,secret_access_key=b,{endpoint}")
    }

    /// The same.
    pub(crate) fn azure_cache(&self) -> String {
        let account = format!("account_url=http://{}/{AZURE_ACCOUNT}", self.authority);
        format!("type=azblob,{account},account_name={AZURE_ACCOUNT},secret_access_key={AZURE_KEY}")
    }

    /// Sends a request past all code of ours; the answer as text.
    pub(crate) fn request(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.authority).unwrap();
        let host = &self.authority;
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n")
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Connections that a throttled server turns away before it takes one.
const REFUSALS: usize = 3;

/// Passes on what is asked of a server, once it has said a few times that this is too much.
pub(crate) fn throttled(server: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    std::thread::spawn(move || {
        for (at, client) in listener.incoming().enumerate() {
            let mut client = client.unwrap();
            if at < REFUSALS {
                let status = ["429 Too Many Requests", "503 Slow Down"][at % 2];
                let mut block = [0; 4096];
                let _ = client.read(&mut block);
                let _ = write!(client, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                let _ = client.shutdown(Shutdown::Write);
                let _ = std::io::copy(&mut client, &mut std::io::sink());
                continue;
            }
            let server = TcpStream::connect(&server).unwrap();
            for (mut from, mut to) in
                [(client.try_clone().unwrap(), server.try_clone().unwrap()), (server, client)]
            {
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Both);
                });
            }
        }
    });
    authority
}

/// Where the servers are; where nobody promises them, their tests are left out.
pub(crate) fn servers() -> Option<PathBuf> {
    let given = std::env::var_os("SLIPWAY_SERVERS").map(PathBuf::from);
    assert!(given.is_some() || std::env::var_os("CI").is_none(), "the tests need `cargo xtask test`");
    given
}
