//! Which proxy is used for what.

use reqwest::{ClientBuilder, NoProxy, Proxy};

use super::HttpError;

/// Never behind a proxy, as in Go.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// What a proxy is for.
type Kind = fn(String) -> reqwest::Result<Proxy>;

/// The proxies that the environment of the caller names.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxies(Vec<(String, String)>);

impl Proxies {
    pub(super) fn new(environment: &[(String, String)]) -> Self {
        Self(environment.to_vec())
    }

    /// Makes the client use them, and nothing that is found elsewhere. Names in upper case go first.
    pub(super) fn apply(&self, client: ClientBuilder) -> Result<ClientBuilder, HttpError> {
        let exceptions = match self.get("NO_PROXY") {
            Some((_, exceptions)) => NoProxy::from_string(&format!("{LOOPBACK},{exceptions}")),
            None => NoProxy::from_string(LOOPBACK),
        };
        let mut client = client.no_proxy();
        let kinds: [(&str, Kind); 3] =
            [("HTTP_PROXY", Proxy::http), ("HTTPS_PROXY", Proxy::https), ("ALL_PROXY", Proxy::all)];
        for (name, proxy) in kinds {
            let Some((variable, address)) = self.get(name) else { continue };
            let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
            let proxy =
                proxy(url).map_err(|source| HttpError::Proxy { variable: variable.to_owned(), source })?;
            client = client.proxy(proxy.no_proxy(exceptions.clone()));
        }
        Ok(client)
    }

    fn get(&self, name: &str) -> Option<(&str, &str)> {
        let lower = name.to_ascii_lowercase();
        let named = |wanted: &str| {
            self.0.iter().find(|(name, value)| name == wanted && !value.is_empty()).map(|(n, v)| (&**n, &**v))
        };
        named(name).or_else(|| named(&lower))
    }
}
