//! Registries as they are named, and the repositories in them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use image::Reference;

use crate::RegistryError;
use crate::auth::Scope;
use crate::host::Host;
use crate::settings::{Endpoint, RegistriesError, Settings};

/// Talks to registries. Cheap to clone; connections and tokens are shared.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    /// By authority and prefix.
    hosts: Mutex<BTreeMap<(String, String), Arc<Host>>>,
}

impl Client {
    /// A client with these settings. Reads nothing and connects to nothing yet.
    pub fn new(settings: Settings) -> Self {
        Self { inner: Arc::new(Inner { settings, hosts: Mutex::new(BTreeMap::new()) }) }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The repository that a name is in.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Settings`] when what is said about its registry cannot be used.
    pub fn repository(&self, name: &Reference) -> Result<Repository, RegistryError> {
        let mut hosts = Vec::new();
        for mirror in self.inner.settings.registries.mirrors(name.domain())? {
            hosts.push(self.host(mirror)?);
        }
        hosts.push(self.host(Endpoint::of_registry(name.domain()))?);
        Ok(Repository { hosts, path: name.path().to_owned(), domain: name.domain().to_owned() })
    }

    pub(crate) fn host(&self, endpoint: Endpoint) -> Result<Arc<Host>, RegistriesError> {
        let key = (endpoint.authority.clone(), endpoint.prefix.clone());
        let mut hosts = self.inner.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.get(&key) {
            return Ok(host.clone());
        }
        let host = Arc::new(Host::new(endpoint, &self.inner.settings)?);
        hosts.insert(key, host.clone());
        Ok(host)
    }
}

/// One repository of a registry.
#[derive(Clone)]
pub struct Repository {
    /// Mirrors in order, then the registry itself.
    hosts: Vec<Arc<Host>>,
    path: String,
    domain: String,
}

impl Repository {
    /// The name of the repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name of the registry.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn pull_scope(&self) -> Scope {
        Scope::pull(&self.path)
    }

    /// The registry itself, where everything is written.
    pub(crate) fn registry(&self) -> &Arc<Host> {
        self.hosts.last().expect("a registry is one of its hosts")
    }

    /// Reads from the first host that can: the mirrors, then the registry, whose answer counts.
    pub(crate) async fn read<T, F>(&self, read: impl Fn(Arc<Host>) -> F) -> Result<T, RegistryError>
    where
        F: Future<Output = Result<T, RegistryError>>,
    {
        let (registry, mirrors) = self.hosts.split_last().expect("a registry is one of its hosts");
        for mirror in mirrors {
            match read(mirror.clone()).await {
                Ok(found) => return Ok(found),
                // What we do with it failed, not the mirror.
                Err(error @ RegistryError::Sink { .. }) => return Err(error),
                Err(error) => {
                    tracing::info!(mirror = mirror.endpoint.authority, %error, "the next host is asked");
                }
            }
        }
        read(registry.clone()).await
    }
}
