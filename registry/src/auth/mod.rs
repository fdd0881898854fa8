//! Who we are: challenges, credentials, tokens.

mod challenge;
mod config_file;
mod credentials;
mod error;
mod helper;
mod realm;
mod secret;
mod token;

pub use challenge::{Challenge, challenges};
pub use credentials::{AskCredential, Asked, Credentials};
pub use error::CredentialError;
pub use secret::Secret;

pub(crate) use credentials::Credential;
pub(crate) use realm::is_loopback;
pub(crate) use token::{Answer, Authorization, Authorizer, Scope, TokenAnswer, TokenRequest, answer};
