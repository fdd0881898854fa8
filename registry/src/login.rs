//! `login` and `logout`: credentials that a registry accepted, kept.

use std::path::PathBuf;

use reqwest::Method;

use crate::auth::{Authorization, Credential, Scope, Secret};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::request::Request;
use crate::settings::Endpoint;
use crate::{Client, RegistryError};

/// Who wants in.
#[derive(Debug, Clone)]
pub struct LoginRequest {
    /// The registry.
    pub domain: String,
    /// User name.
    pub username: String,
    /// Password or access token.
    pub password: Secret,
}

/// What became of the credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginKind {
    /// Kept by a credential helper.
    Helper,
    /// Kept in a file, which whoever reads it can use.
    File(PathBuf),
}

impl Client {
    /// Tries credentials with a registry, and keeps them when it accepts them.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unauthorized`] when it does not. Nothing is kept then.
    pub async fn login(&self, login: LoginRequest) -> Result<LoginKind, RegistryError> {
        let LoginRequest { domain, username, password } = login;
        let credential = Credential::Password { username, password };
        self.check(&domain, &credential).await?;
        let kept = self.settings().credentials.keep(&domain, &credential).await?;
        Ok(kept.map_or(LoginKind::Helper, LoginKind::File))
    }

    /// Forgets the credentials of a registry; whether there were any.
    pub async fn logout(&self, domain: &str) -> Result<bool, RegistryError> {
        Ok(self.settings().credentials.forget(domain).await?)
    }

    /// The user name that is kept for a registry.
    pub async fn known_user(&self, domain: &str) -> Result<Option<String>, RegistryError> {
        match self.settings().credentials.look_up(domain, "").await? {
            Some(Credential::Password { username, .. }) => Ok(Some(username)),
            _ => Ok(None),
        }
    }

    async fn check(&self, domain: &str, credential: &Credential) -> Result<(), RegistryError> {
        let host = self.host(Endpoint::of_registry(domain))?;
        let scope = Scope::default();
        let request = Request::new(Method::GET, host.url("").await?, &scope);
        let first = host.send_with(&request, None).await?;
        let answer = match first.status() {
            401 => {
                let authorization = host.authorize_with(&first, &scope, Some(credential)).await?;
                let with: Option<&Authorization> = authorization.as_ref();
                drop(first);
                host.send_with(&Request { url: host.url("").await?, ..request.clone() }, with).await?
            }
            _ => first,
        };
        match answer.status() {
            200..=299 => Ok(()),
            401 | 403 => {
                let mut answer = answer;
                let body = answer.document(DOCUMENT_BYTES_MAX).await.unwrap_or_default();
                let detail = crate::ErrorDetail::parse(&body);
                Err(RegistryError::Unauthorized { host: domain.to_owned(), detail })
            }
            _ => Err(answer.refusal(&request).await),
        }
    }
}
