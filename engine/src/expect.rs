//! Gets ready for a step of a build before anything is known of the build.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use graph::Network;

use crate::ops::prepare_helper;
use crate::why::logs_directory;
use crate::{BuildRequest, Context, DockerfileSource, network};

/// For which network everything was started already.
static EXPECTED: OnceLock<Network> = OnceLock::new();

/// The Dockerfile of a directory that names none.
const DOCKERFILE: &str = "Dockerfile";

/// Starts, on another thread, what the first RUN of this build will need, if one is to be expected: the Dockerfile is newer than
/// the log of the last build in the store at `root`. Costs two system calls otherwise, and is only a guess: what it starts ends with
/// the process when nobody takes it.
///
/// Not before [`crate::sandbox::become_root`].
pub fn expect_step(root: &Path, request: &BuildRequest) {
    if !is_newer(root, &request.dockerfile, &request.context) {
        return;
    }
    let (root, wanted) = (root.to_owned(), request.network);
    if EXPECTED.set(wanted).is_err() {
        return;
    }
    let thread = std::thread::Builder::new().name(String::from("ahead"));
    let started = thread.spawn(move || {
        // First, since it takes longer, and on its own.
        network::prepare_for_step(&root, wanted);
        prepare_helper();
    });
    if let Err(error) = started {
        tracing::debug!(%error, "cannot start a thread to get ready for a step");
    }
}

/// Nothing had to run: the Dockerfile as it is now lets nobody expect a step again. Best effort.
pub(crate) fn was_in_vain(root: &Path) {
    if EXPECTED.get().is_none() {
        return;
    }
    let touched = File::open(logs_directory(root)).and_then(|logs| logs.set_modified(SystemTime::now()));
    if let Err(error) = touched {
        tracing::debug!(%error, "cannot note that nothing had to run");
    }
}

fn is_newer(root: &Path, dockerfile: &DockerfileSource, context: &Context) -> bool {
    let Some(dockerfile) = path_of(dockerfile, context) else { return false };
    changed(&dockerfile).zip(changed(&logs_directory(root))).is_some_and(|(file, last)| file > last)
}

/// Whether all that the first step with this network needs was started.
pub(crate) fn is_expected(wanted: Network) -> bool {
    EXPECTED.get() == Some(&wanted)
}

fn path_of(dockerfile: &DockerfileSource, context: &Context) -> Option<PathBuf> {
    match (dockerfile, context) {
        (DockerfileSource::Path(path), Context::Directory(_)) => Some(path.clone()),
        (DockerfileSource::Context, Context::Directory(directory)) => Some(directory.join(DOCKERFILE)),
        _ => None,
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    /// A store whose last build was now, and a context whose Dockerfile changed so many seconds later or earlier.
    fn is_newer_by(seconds: u64, is_later: bool) -> bool {
        let (root, context) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let logs = logs_directory(root.path());
        fs::create_dir(&logs).unwrap();
        let file = File::create(context.path().join(DOCKERFILE)).unwrap();
        let last = changed(&logs).unwrap();
        let distance = Duration::from_secs(seconds);
        file.set_modified(if is_later { last + distance } else { last - distance }).unwrap();
        is_newer(root.path(), &DockerfileSource::Context, &Context::Directory(context.path().to_owned()))
    }

    #[test]
    fn a_dockerfile_that_changed_since_the_last_build_is_newer() {
        assert!(is_newer_by(1, true));
        assert!(!is_newer_by(0, true));
        assert!(!is_newer_by(1, false));
    }

    #[test]
    fn nothing_is_expected_of_a_store_without_builds_and_of_a_dockerfile_elsewhere() {
        let context = tempfile::tempdir().unwrap();
        fs::write(context.path().join(DOCKERFILE), "FROM scratch").unwrap();
        let directory = Context::Directory(context.path().to_owned());
        assert!(!is_newer(Path::new("/nowhere"), &DockerfileSource::Context, &directory));
        let text = DockerfileSource::Text(String::from("FROM scratch"));
        assert!(!is_newer(context.path(), &text, &directory));
    }
}
