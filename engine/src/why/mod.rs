//! Explains why the steps of a build ran.

mod in_place;
mod journal;
mod keep;
mod log;
mod reason;
#[cfg(test)]
mod tests;
mod written;

use serde::Serialize;

pub use reason::Reason;
pub use written::Written;

pub(crate) use in_place::explain_now;
pub(crate) use journal::{FILES_MAX, Journal, Journaled};
pub(crate) use log::{BuildLog, LoggedStep, Outcome, check_log, directory as logs_directory, newest_first};
pub(crate) use reason::reasons;

use crate::Engine;
use crate::images::ImageError;

/// A build with the reasons of its steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Its id.
    pub build: String,
    /// When it ended, nanoseconds since 1970.
    pub ended_unix_ns: i64,
    /// The directory of its context.
    pub context: String,
    /// The id of the image; none when it failed.
    pub image: Option<String>,
    /// The names that the image got.
    pub tags: Vec<String>,
    /// The steps that were needed, in order.
    pub steps: Vec<ExplainedStep>,
}

/// A step with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStep {
    /// From 1, in the order of the list.
    pub number: usize,
    /// `[build 2/5] RUN make`
    pub name: String,
    /// `source`, `cached`, `ran` or `failed`.
    pub result: &'static str,
    /// The key, or who a source is.
    pub key: Option<String>,
    /// Why it is not cached.
    pub reasons: Vec<Reason>,
}

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// No build has run anything yet.
    #[error("no build is remembered: none has run a step yet")]
    NoBuilds,
    /// No build is known of what was asked for.
    #[error("no build of `{name}` is remembered")]
    NoSuchBuild {
        /// What was asked for.
        name: String,
    },
    /// The build has no such step.
    #[error("the build has no step `{step}`, it has {count}")]
    NoSuchStep {
        /// What was asked for.
        step: String,
        /// How many it has.
        count: usize,
    },
    /// Nothing was written by the steps that were asked for, or it is no longer kept.
    #[error("nothing is kept of what these steps wrote")]
    NothingWritten,
    /// The images cannot be looked at.
    #[error(transparent)]
    Image(#[from] ImageError),
}

impl Engine {
    /// Explains the last build that ran something: of the image or with the id `name` begins with, or of
    /// all. With `step`, a number or a part of a name, only steps that match.
    pub fn why(&self, name: Option<&str>, step: Option<&str>) -> Result<Explanation, WhyError> {
        let logs: Vec<BuildLog> = newest_first(self.root()).collect();
        let at = self.build_at(&logs, name)?;
        let mut explanation = explain(&logs[at..]);
        explanation.steps = matching(explanation.steps, step, |it| (it.number, &it.name))?;
        Ok(explanation)
    }

    fn build_at(&self, logs: &[BuildLog], name: Option<&str>) -> Result<usize, WhyError> {
        match name {
            None if logs.is_empty() => Err(WhyError::NoBuilds),
            None => Ok(0),
            Some(name) => self.find_build(logs, name),
        }
    }

    fn find_build(&self, logs: &[BuildLog], name: &str) -> Result<usize, WhyError> {
        if let Some(at) = logs.iter().position(|log| log.id.starts_with(name)) {
            return Ok(at);
        }
        let id = match self.find_image(name) {
            Ok(id) => Some(id.to_string()),
            Err(ImageError::NoSuchImage { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let tag = name.parse::<image::Reference>().ok().map(|reference| reference.to_string());
        let is_it = |log: &BuildLog| {
            (id.is_some() && log.image == id) || tag.as_ref().is_some_and(|tag| log.tags.contains(tag))
        };
        let found = logs.iter().position(is_it);
        found.ok_or_else(|| WhyError::NoSuchBuild { name: name.to_owned() })
    }
}

/// The steps that were asked for, by a number or a part of a name.
fn matching<T>(
    mut steps: Vec<T>,
    wanted: Option<&str>,
    known_as: impl Fn(&T) -> (usize, &str),
) -> Result<Vec<T>, WhyError> {
    let Some(wanted) = wanted else { return Ok(steps) };
    let count = steps.len();
    match wanted.parse::<usize>() {
        Ok(number) => steps.retain(|step| known_as(step).0 == number),
        Err(_) => steps.retain(|step| known_as(step).1.contains(wanted)),
    }
    match steps.is_empty() {
        true => Err(WhyError::NoSuchStep { step: wanted.to_owned(), count }),
        false => Ok(steps),
    }
}

fn explain(logs: &[BuildLog]) -> Explanation {
    let build = &logs[0];
    let steps = build.steps.iter().enumerate().map(|(at, step)| ExplainedStep {
        number: at + 1,
        name: step.name.clone(),
        result: match step.outcome {
            Outcome::Source => "source",
            Outcome::Cached => "cached",
            Outcome::Ran => "ran",
            Outcome::Failed => "failed",
        },
        key: step.key.clone(),
        reasons: reason::reasons(logs, at),
    });
    Explanation {
        build: build.id.clone(),
        ended_unix_ns: build.ended_unix_ns,
        context: build.context.clone(),
        image: build.image.clone(),
        tags: build.tags.clone(),
        steps: steps.collect(),
    }
}
