//! Files of the user's that a command writes.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::report::Report;

/// What is allowed before the umask.
const MODE: u32 = 0o666;

/// Whether a file must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is the result that was asked for.
    Durable,
    /// It is of use only to those who run now.
    Fast,
}

/// Writes a file that appears whole or not at all, in place of the one that is there.
pub(crate) fn replace(
    path: &Path,
    durability: Durability,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Report>,
) -> Result<(), Report> {
    let report = |error: io::Error| Report::file(path, &error);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // A device such as /dev/stdout is written to, not replaced.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let mut file = std::fs::OpenOptions::new().write(true).open(path).map_err(report)?;
        return write(&mut file);
    }
    let permissions = PermissionsExt::from_mode(MODE);
    let staging = tempfile::Builder::new().permissions(permissions).tempfile_in(directory).map_err(report)?;
    let mut buffered = BufWriter::new(staging);
    write(&mut buffered)?;
    let staging = buffered.into_inner().map_err(|error| report(error.into_error()))?;
    if durability == Durability::Durable {
        staging.as_file().sync_all().map_err(report)?;
    }
    staging.persist(path).map_err(|error| report(error.error))?;
    if durability == Durability::Durable {
        std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(report)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_leaves_the_old_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let write = |text: &'static str| {
            move |file: &mut dyn Write| {
                file.write_all(text.as_bytes()).map_err(|error| Report::mistake(error.to_string()))
            }
        };
        replace(&path, Durability::Durable, write("old")).unwrap();
        let failing = |file: &mut dyn Write| {
            file.write_all(b"new").unwrap();
            Err(Report::mistake("no"))
        };
        assert_eq!(replace(&path, Durability::Fast, failing), Err(Report::mistake("no")));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        replace(&path, Durability::Fast, write("new")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
