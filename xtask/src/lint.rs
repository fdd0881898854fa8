//! Formatting, clippy and rustdoc, with every warning an error.

use crate::error::Error;
use crate::process;

/// Runs all checks; the first that complains ends the run.
pub(crate) fn run() -> Result<(), Error> {
    process::run(process::cargo().args(["fmt", "--all", "--check"]))?;
    process::run(process::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--locked",
        "--",
        "-Dwarnings",
    ]))?;
    let mut document = process::cargo();
    document.args(["doc", "--workspace", "--no-deps", "--all-features", "--locked"]);
    process::run(document.env("RUSTDOCFLAGS", "-Dwarnings -Drustdoc::broken_intra_doc_links"))
}
