//! What can go wrong with the files and programs that keep credentials.

use std::io;
use std::path::PathBuf;

/// Why credentials cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not what Docker writes.
    #[error("`{}` is not a Docker configuration file", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// An entry of the file cannot be used.
    #[error("the entry `{entry}` of `{}` is not base64 of NAME:PASSWORD", path.display())]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Which entry.
        entry: String,
    },
    /// Nobody knows where the file is.
    #[error("neither DOCKER_CONFIG nor HOME says where credentials are kept")]
    NoPlace,
    /// The name of a helper is not a part of a file name.
    #[error("`{name}` cannot be the name of a credential helper")]
    HelperName {
        /// As configured.
        name: String,
    },
    /// A helper does not start or does not answer.
    #[error("cannot run `{program}`")]
    Helper {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// A helper says no.
    #[error("`{program} {verb}` failed: {text}")]
    HelperFailed {
        /// The program.
        program: String,
        /// What it was to do.
        verb: &'static str,
        /// What it said.
        text: String,
    },
    /// A helper answers something else.
    #[error("`{program} get` did not answer with JSON of a user name and a secret")]
    HelperAnswer {
        /// The program.
        program: String,
    },
}
