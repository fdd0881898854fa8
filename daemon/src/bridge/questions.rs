//! Questions about a Dockerfile: `frontend.outline`, `frontend.targets`, `frontend.lint`.

use std::collections::HashMap;

use engine::questions::{Inquiry, Requests};
use tonic::Status;

use crate::Daemon;
use crate::failure;
use crate::feed::Feed;
use crate::run::Prepared;
use crate::session::files::joined;

const DESCRIBE: &str = "frontend.subrequests.describe";
const OUTLINE: &str = "frontend.outline";
const TARGETS: &str = "frontend.targets";
const LINT: &str = "frontend.lint";

/// Every question.
const QUESTIONS: [&str; 4] = [DESCRIBE, OUTLINE, TARGETS, LINT];

/// Of the answers' JSON.
const VERSION: &str = "1.0.0";

/// Whether it is one.
pub(super) fn check(question: &str) -> Result<(), Status> {
    match QUESTIONS.contains(&question) {
        true => Ok(()),
        false => Err(failure::unknown_subrequest(question)),
    }
}

/// The answer: JSON for programs, text for people.
pub(super) async fn answer(
    daemon: &Daemon,
    prepared: &Prepared,
    question: &str,
    feed: &Feed,
) -> Result<HashMap<String, Vec<u8>>, Status> {
    if question == DESCRIBE {
        return Ok(metadata(&Requests.json(), &Requests.text(), None));
    }
    let engine = prepared.engine(daemon)?;
    let request = prepared.request.clone();
    let failed = |error: &engine::BuildError| failure::status(error, prepared.source.as_ref(), feed);
    let context =
        engine.fetch_context(&request, std::sync::Arc::new(|_| ())).await.map_err(|error| failed(&error))?;
    let inquired = crate::blocking::spawn_blocking(move || Inquiry::new(&request, &context, Some(&engine)));
    let inquiry = joined(inquired).await?.map_err(|error| failed(&error))?;
    Ok(match question {
        OUTLINE => {
            let outline = inquiry.outline().map_err(|error| failed(&error))?;
            metadata(&outline.json(), &outline.text(), None)
        }
        TARGETS => {
            let targets = inquiry.targets().map_err(|error| failed(&error))?;
            metadata(&targets.json(), &targets.text(), None)
        }
        _ => {
            let check = inquiry.check();
            metadata(&check.json(), &check.text(), Some(if check.is_clean() { 0 } else { 1 }))
        }
    })
}

fn metadata(json: &str, text: &str, status: Option<u8>) -> HashMap<String, Vec<u8>> {
    let mut metadata = HashMap::from([
        ("result.json".to_owned(), json.as_bytes().to_vec()),
        ("result.txt".to_owned(), text.as_bytes().to_vec()),
        ("version".to_owned(), VERSION.as_bytes().to_vec()),
    ]);
    if let Some(status) = status {
        metadata.insert("result.statuscode".to_owned(), status.to_string().into_bytes());
    }
    metadata
}
