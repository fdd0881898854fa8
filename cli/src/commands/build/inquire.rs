//! What a question about a Dockerfile needs: its context, and the store if there is one.

use std::sync::Arc;

use engine::{BuildRequest, Engine, FetchedContext};

use crate::arguments::Global;
use crate::report::Report;
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// A question that can be asked.
pub(in crate::commands) struct Asked {
    pub(in crate::commands) context: FetchedContext,
    pub(in crate::commands) engine: Option<Engine>,
}

/// Brings the context of a question here. Only what comes from elsewhere needs a store.
pub(in crate::commands) fn ask(
    request: &BuildRequest,
    global: &Global,
) -> Result<Result<Asked, Interrupted>, Report> {
    if let Some(context) = FetchedContext::at_hand(request) {
        return Ok(Ok(Asked { context, engine: store::open_existing(global) }));
    }
    let engine = store::open(global)?;
    match interruptible(engine.fetch_context(request, Arc::new(|_| {})))? {
        Ok(context) => Ok(Ok(Asked { context: context?, engine: Some(engine) })),
        Err(interrupted) => Ok(Err(interrupted)),
    }
}
