//! Connections to HTTP servers, with the proxies of the caller and the certificates of the system.

mod body;
mod client;
mod disposition;
mod error;
mod proxies;

pub(crate) use body::Body;
pub(crate) use client::{Answer, HttpClient, Validators, client_of_environment, tls};
pub(crate) use error::status_may_pass;
pub use error::{Fault, HttpError};
