//! Object stores for the tests, which Debian has not: installed beside the build, from where Python and Node.js have their
//! packages.

use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::{process, workspace};

/// Speaks the protocol of Amazon.
const MOTO: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];
/// Speaks that of Azure.
const AZURITE: &str = "azurite@3.37.0";

/// The directory with the servers: `python` to import from, and `node_modules`.
///
/// # Errors
///
/// When they are neither here nor to be had.
pub(crate) fn installed() -> Result<PathBuf, Error> {
    let directory = workspace::target().join("servers");
    if !directory.join("python/moto").is_dir() {
        let mut pip = Command::new("pip3");
        pip.args(["install", "--quiet", "--no-compile", "--disable-pip-version-check", "--target"]);
        process::run(pip.arg(directory.join("python")).args(MOTO))?;
    }
    if !directory.join("node_modules/azurite").is_dir() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional"]);
        process::run(npm.arg("--prefix").arg(&directory).arg(AZURITE))?;
    }
    Ok(directory)
}
