//! The last step: finding the program and becoming it.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Errno as Number, SandboxError};
use crate::foreign::foreign_architecture;
use crate::spec::Spec;

/// Where programs are searched for when the environment has no `PATH`, as in Docker.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command as execve(2) takes it.
#[derive(Debug)]
pub(crate) struct Command {
    program: String,
    /// Paths to try, in this order.
    candidates: Vec<CString>,
    argv: Vec<CString>,
    envp: Vec<CString>,
}

impl Command {
    /// Prepares everything before privileges are given up. `home` is for an environment without `HOME`.
    pub(crate) fn new(spec: &Spec, home: &str) -> Result<Self, SandboxError> {
        let program = spec.argv.first().ok_or(SandboxError::NoCommand)?.clone();
        let mut envp = Vec::with_capacity(spec.env.len() + 1);
        let has_home = variable(spec, "HOME").is_some_and(|home| !home.is_empty());
        for (key, value) in spec.env.iter().filter(|(key, _)| has_home || key != "HOME") {
            envp.push(c_string("env", format!("{key}={value}"))?);
        }
        if !has_home {
            envp.push(c_string("env", format!("HOME={home}"))?);
        }
        let argv = spec.argv.iter().map(|word| c_string("argv", word.clone())).collect::<Result<_, _>>()?;
        let candidates = candidates(&program, variable(spec, "PATH").unwrap_or(PATH_DEFAULT))?;
        Ok(Self { program, candidates, argv, envp })
    }

    /// Becomes the command. Returns only when that is impossible.
    pub(crate) fn execute(&self) -> SandboxError {
        let mut refused = None;
        for path in &self.candidates {
            let Err(errno) = nix::unistd::execve(path, &self.argv, &self.envp);
            match errno {
                // As execvp(3): the next directory may have it.
                Errno::ENOENT | Errno::ENOTDIR if !exists(path) => {}
                Errno::ENOENT => return SandboxError::NoInterpreter { program: self.program.clone() },
                Errno::EACCES => refused = Some(errno),
                Errno::ENOEXEC => return self.not_for_us(path),
                errno => return self.not_executable(errno),
            }
        }
        match refused {
            Some(errno) => self.not_executable(errno),
            None => SandboxError::NotFound { program: self.program.clone() },
        }
    }

    /// The kernel does not know what kind of program this is.
    fn not_for_us(&self, path: &CString) -> SandboxError {
        match foreign_architecture(Path::new(OsStr::from_bytes(path.as_bytes()))) {
            Some(name) => SandboxError::ForeignArchitecture {
                program: self.program.clone(),
                architecture: name.to_owned(),
            },
            None => self.not_executable(Errno::ENOEXEC),
        }
    }

    fn not_executable(&self, errno: Errno) -> SandboxError {
        SandboxError::NotExecutable { program: self.program.clone(), source: Number::from(errno) }
    }
}

fn exists(path: &CString) -> bool {
    rustix::fs::stat(path).is_ok()
}

fn variable<'a>(spec: &'a Spec, name: &str) -> Option<&'a str> {
    // The last one wins, as in a shell that reads the environment.
    spec.env.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn candidates(program: &str, path: &str) -> Result<Vec<CString>, SandboxError> {
    if program.contains('/') {
        return Ok(vec![c_string("argv", program.to_string())?]);
    }
    if program.is_empty() {
        return Ok(Vec::new());
    }
    path.split(':')
        .map(|directory| if directory.is_empty() { "." } else { directory })
        .map(|directory| c_string("env", format!("{directory}/{program}")))
        .collect()
}

fn c_string(field: &str, text: String) -> Result<CString, SandboxError> {
    CString::new(text).map_err(|error| SandboxError::BadField {
        field: field.to_string(),
        value: String::from_utf8_lossy(&error.into_vec()).into_owned(),
        problem: String::from("contains a zero byte"),
    })
}
