//! Debian's `docker-registry` on a port of its own.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::Error;
use crate::process;

const PROGRAM: &str = "docker-registry";

/// A running registry. Ends when dropped.
pub(crate) struct Registry {
    child: Child,
    authority: String,
}

impl Registry {
    /// Starts one that keeps its content below `directory`.
    pub(crate) fn start(directory: &Path) -> Result<Self, Error> {
        let program = process::find(PROGRAM).ok_or(Error::Missing { program: PROGRAM })?;
        fs::create_dir_all(directory).map_err(Error::at(directory))?;
        let config = directory.join("registry.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: info, formatter: text}}\nhttp: {{addr: 127.0.0.1:0}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n",
            directory.join("registry").display()
        );
        fs::write(&config, text).map_err(Error::at(&config))?;
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| Error::Start { command: PROGRAM.to_owned(), source })?;
        let log = child.stderr.take().expect("it is piped");
        let mut registry = Self { child, authority: String::new() };
        registry.authority = authority(log)?;
        Ok(registry)
    }

    /// A name in this registry.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.authority)
    }
}

/// The address that it says it listens on. What it writes afterwards is read and forgotten.
fn authority(log: impl std::io::Read + Send + 'static) -> Result<String, Error> {
    let mut log = BufReader::new(log);
    let (mut seen, mut line) = (String::new(), String::new());
    loop {
        line.clear();
        let count = log.read_line(&mut line).unwrap_or_default();
        if count == 0 {
            return Err(Error::Output { command: PROGRAM, problem: seen });
        }
        if let Some((_, rest)) = line.split_once("listening on ") {
            let is_address = |c: char| c.is_ascii_digit() || c == '.' || c == ':';
            let address = rest.chars().take_while(|c| is_address(*c)).collect();
            std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            return Ok(address);
        }
        seen += &line;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
