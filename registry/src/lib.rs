//! The OCI distribution protocol: pull, push, login.
//!
//! A [`Client`] knows how to reach registries: their certificates, mirrors and credentials. A [`Repository`] is one
//! repository of a registry, in which manifests and blobs are read and written. Follows version 1.1 of the OCI
//! distribution specification, and what registries in use do beside it.
//!
//! Nothing here verifies a blob: bytes go to a [`Sink`] whose owner does, before they become visible. Manifests are
//! verified here.

mod auth;
mod blob;
mod client;
mod error;
mod host;
mod limits;
mod link;
mod login;
mod manifest;
mod referrers;
mod request;
mod retry;
mod search;
mod settings;
mod tags;
mod tls;

pub use auth::{AskCredential, Asked, Challenge, CredentialError, Credentials, Secret, challenges};
pub use blob::{Fetch, Mounting, Pushed, Sink, Source};
pub use client::{Client, Repository};
pub use error::{ErrorDetail, RegistryError};
pub use link::next_page;
pub use login::{LoginKind, LoginRequest};
pub use manifest::{FetchedManifest, Kind, KindError, kind_of};
pub use retry::RetryPolicy;
pub use search::Found;
pub use settings::{KeyPair, RegistriesError, RegistriesFile, RegistrySettings, Settings, TlsVerify};
pub use tls::system_roots;
