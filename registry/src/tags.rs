//! The tags of a repository.

use reqwest::{Method, Url};
use serde::Deserialize;

use crate::limits::{DOCUMENT_BYTES_MAX, PAGES_MAX};
use crate::link::next_page;
use crate::request::Request;
use crate::{RegistryError, Repository};

impl Repository {
    /// All tags, in the registry's order.
    pub async fn tags(&self) -> Result<Vec<String>, RegistryError> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let host = self.registry();
        let mut url = host.url(&format!("{}/tags/list", self.path())).await?;
        let mut tags = Vec::new();
        for _ in 0..PAGES_MAX {
            let request = Request::new(Method::GET, url.clone(), &self.pull_scope());
            let mut answer = host.send(&request).await?;
            if answer.status() != 200 {
                return Err(answer.refusal(&request).await);
            }
            let next = answer.header("link").and_then(next_page).map(str::to_owned);
            let body = answer.document(DOCUMENT_BYTES_MAX).await?;
            let page: Page =
                serde_json::from_slice(&body).map_err(|_| host.protocol("its list of tags is no JSON"))?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                None => return Ok(tags),
                Some(next) => url = self.own_page(&url, &next).await?,
            }
        }
        let name = host.endpoint.authority.clone();
        Err(RegistryError::TooMuch { host: name, what: "pages of a list", max: PAGES_MAX })
    }

    /// The next page of a list is on the same host.
    async fn own_page(&self, from: &Url, next: &str) -> Result<Url, RegistryError> {
        let host = self.registry();
        let url = host.target(from, next)?;
        match host.is_own(&url).await? {
            true => Ok(url),
            false => Err(host.protocol(format!("its list goes on at `{url}`, another host"))),
        }
    }
}
