//! The build context: the user's files, read in place.

use std::path::Path;
use std::sync::Arc;

use cache::{ContextError, ContextTree, Decision};
use frontend::ignore::Patterns;
use graph::VertexId;

use super::{BuildWorker, ContextSource};
use crate::blocking::blocking;
use crate::context::Index;
use crate::{BuildError, StepId};

/// A context that has been looked at.
pub(crate) struct ContextFiles {
    pub(crate) source: ContextSource,
    pub(crate) tree: ContextTree,
}

/// Looks at the whole context, once per build.
pub(super) async fn open(
    worker: &BuildWorker,
    id: VertexId,
    context: &graph::ContextSource,
) -> Result<Arc<ContextFiles>, BuildError> {
    let step = worker.step(id);
    step.into_iter().for_each(|step| worker.steps.start(step));
    let source =
        worker.contexts.get(&context.name).expect("the frontend only names contexts that it was given");
    let source = brought(worker, step, source).await?;
    let store = worker.store.clone();
    let files = blocking(move || {
        let tree = scan(&store, &source)
            .map_err(|error| BuildError::Context { path: source.root.path().to_owned(), source: error })?;
        Ok::<_, BuildError>(Arc::new(ContextFiles { source, tree }))
    })
    .await?;
    worker.foreign.opened(id, &files);
    worker.opened.lock().expect("no holder of the lock panics").push(files.clone());
    if let Some(step) = step {
        let count = files.tree.len() as u64;
        worker.steps.progressed(step, "looking at files:", count, Some(count));
        worker.steps.complete(step);
    }
    Ok(files)
}

/// The context when its files are here.
async fn brought(
    worker: &BuildWorker,
    step: Option<StepId>,
    source: &ContextSource,
) -> Result<ContextSource, BuildError> {
    let steps = worker.steps.clone();
    let on_bytes = move |count| {
        step.into_iter().for_each(|step| steps.progressed(step, "transferring context:", count, None));
    };
    let root = source.root.clone().brought(Arc::new(on_bytes)).await;
    let root = root.map_err(|source| BuildError::ContextStream { source })?;
    Ok(ContextSource { root, ..source.clone() })
}

/// Keeps what the build has learned about the files of its contexts, so that the next one need not read them.
/// Best effort: what is lost is read again.
pub(crate) async fn remember(worker: &BuildWorker) {
    let mut contexts = std::mem::take(&mut *worker.opened.lock().expect("no holder of the lock panics"));
    contexts.retain(|files| files.source.root.index() == Index::Kept);
    let saved = blocking(move || contexts.iter().try_for_each(|files| files.tree.save().map(|_| ()))).await;
    if let Err(error) = saved {
        tracing::warn!(%error, "cannot keep the index of the build context");
    }
}

fn scan(store: &cache::Store, source: &ContextSource) -> Result<ContextTree, ContextError> {
    let ignore = &source.ignore;
    let index = store.context_index(source.root.path())?;
    if ignore.is_empty() {
        return index.scan(&|_, _| Decision::Include);
    }
    index.scan(&|path, is_directory| decide(ignore, path, is_directory))
}

/// What ignore patterns say about a path.
pub(super) fn decide(ignore: &Patterns, path: &Path, is_directory: bool) -> Decision {
    // Patterns are text; a name that is no text matches what its replacement matches, as in moby.
    let path = path.to_string_lossy();
    match ignore.matches(&path).is_excluded() {
        false => Decision::Include,
        true if is_directory && !ignore.can_prune(&path) => Decision::DescendOnly,
        true => Decision::Exclude,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excluded_directories_are_left_closed_unless_something_may_come_back() {
        let (patterns, _) = Patterns::parse("node_modules\nlogs\n!logs/keep\n");
        let decide = |path: &str, is_directory| decide(&patterns, Path::new(path), is_directory);
        assert_eq!(decide("src", true), Decision::Include);
        assert_eq!(decide("node_modules", true), Decision::Exclude);
        assert_eq!(decide("logs", true), Decision::DescendOnly);
        assert_eq!(decide("logs/keep", false), Decision::Include);
        assert_eq!(decide("logs/other", false), Decision::Exclude);
    }
}
