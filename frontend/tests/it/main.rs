//! Dockerfiles from text to graph.

mod bombs;
mod checks;
mod fixtures;
mod format;
mod ignore_oracle;
mod keys;
mod language;
mod limits;
mod questions;
mod support;
