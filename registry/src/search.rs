//! `search`: what a registry offers by that name.

use reqwest::Method;
use serde::Deserialize;

use crate::auth::Scope;
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::request::Request;
use crate::settings::Endpoint;
use crate::{Client, RegistryError};

/// The registry whose search is on a host of its own.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_SEARCH: &str = "index.docker.io";
/// Names that are asked of a catalog at once.
const CATALOG_NAMES: u32 = 1000;

/// One repository that was found.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// One line about it.
    #[serde(default)]
    pub description: String,
    /// How many people like it.
    #[serde(default, rename = "star_count")]
    pub stars: u64,
    /// Whether the registry's owner answers for it.
    #[serde(default, rename = "is_official")]
    pub official: bool,
}

impl Client {
    /// Repositories whose names or descriptions fit `term`, at most `count_max`. A registry without a search is asked
    /// for all its names.
    pub async fn search(
        &self,
        domain: &str,
        term: &str,
        count_max: u32,
    ) -> Result<Vec<Found>, RegistryError> {
        let mut endpoint = Endpoint::of_registry(domain);
        if domain == DOCKER_HUB {
            DOCKER_HUB_SEARCH.clone_into(&mut endpoint.authority);
        }
        let host = self.host(endpoint)?;
        let mut url = host.url("").await?;
        let path = url.path().replace("/v2/", "/v1/search");
        url.set_path(&path);
        url.query_pairs_mut().append_pair("q", term).append_pair("n", &count_max.to_string());
        let request = Request::new(Method::GET, url, &Scope::default());
        let mut answer = host.send(&request).await?;
        if answer.status() == 404 && domain != DOCKER_HUB {
            return self.catalog(domain, term, count_max).await;
        }
        if answer.status() != 200 {
            return Err(answer.refusal(&request).await);
        }
        #[derive(Deserialize)]
        struct Results {
            results: Vec<Found>,
        }
        let body = answer.document(DOCUMENT_BYTES_MAX).await?;
        let Results { mut results } =
            serde_json::from_slice(&body).map_err(|_| host.protocol("its search answers no JSON"))?;
        results.truncate(count_max as usize);
        Ok(results)
    }

    async fn catalog(&self, domain: &str, term: &str, count_max: u32) -> Result<Vec<Found>, RegistryError> {
        let host = self.host(Endpoint::of_registry(domain))?;
        let url = host.url(&format!("_catalog?n={CATALOG_NAMES}")).await?;
        let request = Request::new(Method::GET, url, &Scope::catalog());
        let mut answer = host.send(&request).await?;
        if answer.status() != 200 {
            return Err(answer.refusal(&request).await);
        }
        #[derive(Deserialize)]
        struct Names {
            repositories: Option<Vec<String>>,
        }
        let body = answer.document(DOCUMENT_BYTES_MAX).await?;
        let names: Names =
            serde_json::from_slice(&body).map_err(|_| host.protocol("its catalog is no JSON"))?;
        let fits = names.repositories.unwrap_or_default().into_iter().filter(|name| name.contains(term));
        let found = |name| Found { name, description: String::new(), stars: 0, official: false };
        Ok(fits.take(count_max as usize).map(found).collect())
    }
}
