//! Who the client is for registries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use engine::registries::{AskCredential, Asked, Secret};

use super::Session;
use crate::proto::filesync::{CredentialsRequest, CredentialsResponse};

pub(crate) const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
/// The registry that has many names.
pub(crate) const HUB: &str = "docker.io";
/// By which clients know it here.
pub(crate) const HUB_HOST: &str = "registry-1.docker.io";

/// Asks the client of a session.
#[derive(Debug)]
pub(crate) struct ClientCredentials(pub(crate) Arc<Session>);

impl AskCredential for ClientCredentials {
    fn ask<'a>(&'a self, domain: &'a str) -> Pin<Box<dyn Future<Output = Option<Asked>> + Send + 'a>> {
        Box::pin(async move {
            if !self.0.offers(CREDENTIALS) {
                return None;
            }
            let host = if domain == HUB { HUB_HOST } else { domain };
            let request = CredentialsRequest { host: host.to_owned() };
            match self.0.caller.unary::<_, CredentialsResponse>(CREDENTIALS, request).await {
                Ok(found) if found.secret.is_empty() => None,
                // Without a user it is a token that gets others.
                Ok(found) if found.username.is_empty() => {
                    Some(Asked::IdentityToken(Secret::new(found.secret)))
                }
                Ok(found) => {
                    Some(Asked::Password { username: found.username, password: Secret::new(found.secret) })
                }
                Err(status) => {
                    tracing::debug!(%status, domain, "the client has no credentials");
                    None
                }
            }
        })
    }
}
