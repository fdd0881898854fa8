//! Dockerfile text to build graph, with diagnostics; `.dockerignore`.
//!
//! Pure: no I/O, no clock, no environment. [`parse`] reads the text and never fails, [`plan`] says
//! which base images are needed, [`Plan::lower`] turns it all into a graph and an image config.

pub mod ast;
mod diagnostic;
mod encoding;
mod environment;
pub mod expand;
mod format;
pub mod ignore;
pub mod limits;
pub mod lint;
mod lower;
mod missing;
mod plan;
pub mod questions;
pub mod remote;
mod render;
mod suggest;
mod syntax;

pub use ast::Dockerfile;
pub use diagnostic::{Diagnostic, Severity};
pub use encoding::decode;
pub use environment::Variables;
pub use format::format;
pub use lower::{Lowered, is_proxy_setting};
pub use missing::MissingSource;
pub use plan::{
    BaseImage, Bases, Epoch, EpochSource, NamedContext, NoCache, Plan, PlanOptions, epoch_source, plan,
};
pub use render::{position, render};
pub use suggest::nearest;
pub use syntax::{Parsed, parse};
