//! What is known of sources of other machines before anything is built.

use graph::{GitSource, HttpSource};
use image::Digest;

use crate::fetch::{self, Access, FetchError, secret_ids};
use crate::{BuildError, Engine, Named, Provided};

/// The agent for repositories behind ssh, as in BuildKit.
const AGENT: &str = "default";

/// The commit that a source of a repository is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedCommit {
    /// All hex digits of its name.
    pub commit: String,
    /// The full name of the branch or tag, if it was found by one.
    pub reference: Option<String>,
}

/// The file that a server has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedFile {
    /// Of its bytes.
    pub checksum: Digest,
    /// How it is called.
    pub name: String,
}

impl Engine {
    /// Finds out which commit a source is.
    ///
    /// # Errors
    ///
    /// When the server does not say it, or it is not the one that the source wants.
    pub async fn resolve_commit(&self, source: &GitSource) -> Result<ResolvedCommit, BuildError> {
        let agents = if source.is_ssh() { vec![AGENT.to_owned()] } else { Vec::new() };
        let named = Named { secrets: secret_ids::of_repository(&source.remote), agents };
        let access = self.access(named).await?;
        let resolve = async { fetch::resolve(&self.store, &access.git(source).await?, source).await };
        let commit = resolve.await.map_err(failed)?;
        Ok(ResolvedCommit { commit: commit.name, reference: commit.reference })
    }

    /// Finds out which file a source is. Unless it is in the store and the server says that it has not changed, it is brought
    /// there, where a build finds it.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or is not the one that the source wants.
    pub async fn resolve_file(&self, source: &HttpSource) -> Result<ResolvedFile, BuildError> {
        let named = Named { secrets: secret_ids::of_file(&source.url), agents: Vec::new() };
        let access = self.access(named).await?;
        let file = fetch::file(&self.store, &access, source, &|_, _| ()).await.map_err(failed)?;
        Ok(ResolvedFile { checksum: file.content, name: file.name })
    }

    /// With what the client of this engine has for it.
    async fn access(&self, named: Named) -> Result<Access, BuildError> {
        let provided = match self.client.as_ref().filter(|_| named != Named::default()) {
            Some(client) => client.provide(named).await.map_err(|message| BuildError::Client { message })?,
            None => Provided::default(),
        };
        Ok(Access::of(&provided.secrets, &provided.agents, &[]))
    }
}

fn failed(source: FetchError) -> BuildError {
    BuildError::Fetch { rendered: String::new(), source }
}
