//! Where credentials are kept: a file in Docker's format, and the helpers that it names; or somebody who is asked.

use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use super::config_file::{ConfigFile, server};
use super::{CredentialError, Secret, helper};

/// What proves who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    /// A user name and a password.
    Password { username: String, password: Secret },
    /// A token that gets other tokens, OAuth 2's refresh token.
    IdentityToken(Secret),
    /// A token for the registry itself.
    RegistryToken(Secret),
}

/// Somebody who has credentials and keeps them: the client of a build.
pub trait AskCredential: fmt::Debug + Send + Sync {
    /// What is known for a registry; none when nothing is.
    fn ask<'a>(&'a self, domain: &'a str) -> Pin<Box<dyn Future<Output = Option<Asked>> + Send + 'a>>;
}

/// What somebody who was asked for credentials has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A user name and a password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that gets other tokens.
    IdentityToken(Secret),
}

impl From<Asked> for Credential {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Password { username, password } => Self::Password { username, password },
            Asked::IdentityToken(token) => Self::IdentityToken(token),
        }
    }
}

/// The place of a user's credentials.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    file: Option<PathBuf>,
    somebody: Option<Arc<dyn AskCredential>>,
}

impl Credentials {
    /// Those of a file in the format of Docker's `config.json`, which need not exist.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self { file: Some(path.into()), somebody: None }
    }

    /// None at all, and no place for new ones.
    pub fn none() -> Self {
        Self::default()
    }

    /// The same, after somebody who is asked first.
    #[must_use]
    pub fn asking(self, somebody: Arc<dyn AskCredential>) -> Self {
        Self { somebody: Some(somebody), ..self }
    }

    /// The file.
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is known for a registry, for somebody who builds in our place. A token for the registry itself is ours alone.
    pub async fn known(&self, domain: &str) -> Result<Option<Asked>, CredentialError> {
        Ok(self.look_up(domain, "").await?.and_then(|credential| match credential {
            Credential::Password { username, password } => Some(Asked::Password { username, password }),
            Credential::IdentityToken(token) => Some(Asked::IdentityToken(token)),
            Credential::RegistryToken(_) => None,
        }))
    }

    /// What is known for a repository.
    pub(crate) async fn look_up(
        &self,
        domain: &str,
        path: &str,
    ) -> Result<Option<Credential>, CredentialError> {
        if let Some(somebody) = &self.somebody
            && let Some(asked) = somebody.ask(domain).await
        {
            return Ok(Some(asked.into()));
        }
        let Some(file) = &self.file else { return Ok(None) };
        let config = ConfigFile::read(file)?;
        if let Some(name) = config.helper(domain)
            && let Some(credential) = helper::get(name, &server(domain)).await?
        {
            return Ok(Some(credential));
        }
        config.entry(domain, path)
    }

    /// Keeps what is known for a registry: with its helper, or in the file. Says where when it was the file, which
    /// anybody who reads it can use.
    pub(crate) async fn keep(
        &self,
        domain: &str,
        credential: &Credential,
    ) -> Result<Option<PathBuf>, CredentialError> {
        let config = ConfigFile::read(self.file.as_deref().ok_or(CredentialError::NoPlace)?)?;
        match config.helper(domain) {
            Some(name) => helper::store(name, &server(domain), credential).await.map(|()| None),
            None => config.put(domain, credential).map(Some),
        }
    }

    /// Forgets what is known for a registry; whether there was anything in the file or a helper to ask.
    pub(crate) async fn forget(&self, domain: &str) -> Result<bool, CredentialError> {
        let Some(file) = &self.file else { return Ok(false) };
        let config = ConfigFile::read(file)?;
        let helper = config.helper(domain).map(str::to_owned);
        if let Some(name) = &helper {
            helper::erase(name, &server(domain)).await?;
        }
        Ok(config.remove(domain)? || helper.is_some())
    }
}
