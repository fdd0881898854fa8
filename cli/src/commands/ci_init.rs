//! `slipway ci init`.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use crate::console;
use crate::report::{Exit, Report};

/// Write a pipeline that builds the Dockerfile of this directory
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway ci init SYSTEM", help_template = super::HELP)]
pub(crate) struct Args {
    /// The system to write it for ("github", "gitlab", "jenkins", "tekton")
    #[arg(value_enum, value_name = "SYSTEM", hide = true, hide_possible_values = true)]
    system: System,
}

/// A CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum System {
    Github,
    Gitlab,
    Jenkins,
    Tekton,
}

impl System {
    /// Where it looks for its file.
    fn path(self) -> &'static Path {
        Path::new(match self {
            Self::Github => ".github/workflows/slipway.yml",
            Self::Gitlab => ".gitlab-ci.yml",
            Self::Jenkins => "Jenkinsfile",
            Self::Tekton => ".tekton/slipway.yaml",
        })
    }

    fn pipeline(self) -> &'static str {
        match self {
            Self::Github => include_str!("ci/github.yml"),
            Self::Gitlab => include_str!("ci/gitlab.yml"),
            Self::Jenkins => include_str!("ci/Jenkinsfile"),
            Self::Tekton => include_str!("ci/tekton.yaml"),
        }
    }
}

/// Writes the file, and leaves one that is there alone.
pub(crate) fn run(args: &Args) -> Result<Exit, Report> {
    let path = args.system.path();
    match write(path, args.system.pipeline()) {
        Ok(()) => console::print(&format!("{}\n", path.display())),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let advice = "it stays as it is; move it away to get the one of Slipway";
            Err(Report::mistake(format!("`{}` is there already", path.display())).hint(advice))
        }
        Err(error) => Err(Report::file(path, &error)),
    }
}

/// The file appears whole, and never in the place of another.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::create_dir_all(directory)?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    let mut staged = tempfile::Builder::new().permissions(permissions).tempfile_in(directory)?;
    staged.write_all(text.as_bytes())?;
    staged.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}
