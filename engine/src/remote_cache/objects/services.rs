//! The object stores: each with its settings, and all over the same HTTP client.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::azure::{MicrosoftAzure, MicrosoftAzureBuilder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::gcp::{GoogleCloudStorage, GoogleCloudStorageBuilder};
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::{ObjectPlace, ObjectService};
use crate::net;
use crate::remote_cache::RemoteCacheError;

/// Attempts after the first one: with the growing waits between them about ten seconds, after which another part of
/// the build is the better use of time.
const RETRIES_MAX: usize = 6;
/// When attempts end in any case.
const RETRIES_TIME_MAX: Duration = Duration::from_secs(60);

/// One of the services.
#[derive(Clone)]
pub(super) enum Service {
    S3(Arc<AmazonS3>),
    Azure(Arc<MicrosoftAzure>),
    Gcs(Arc<GoogleCloudStorage>),
}

/// Makes `object_store` use our client: our TLS, our proxies, our limits.
#[derive(Debug)]
struct Connector(reqwest::Client);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

impl Service {
    /// Sets up the service of a place, and connects to nothing yet.
    pub(super) fn new(place: &ObjectPlace) -> Result<Self, RemoteCacheError> {
        let connector = Connector(net::client_of_environment()?);
        let settings = place.settings.iter();
        Ok(match place.service {
            ObjectService::S3 => {
                let builder = settings.fold(AmazonS3Builder::new(), |builder, (name, value)| {
                    name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
                });
                let builder = builder.with_bucket_name(&place.bucket).with_retry(retries());
                Self::S3(Arc::new(builder.with_http_connector(connector).build()?))
            }
            ObjectService::Azure => {
                let builder = settings.fold(MicrosoftAzureBuilder::new(), |builder, (name, value)| {
                    name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
                });
                let builder = builder.with_container_name(&place.bucket).with_retry(retries());
                Self::Azure(Arc::new(builder.with_http_connector(connector).build()?))
            }
            ObjectService::Gcs => {
                let builder = settings.fold(GoogleCloudStorageBuilder::new(), |builder, (name, value)| {
                    name.parse().map_or(builder.clone(), |key| builder.with_config(key, value))
                });
                let builder = builder.with_bucket_name(&place.bucket).with_retry(retries());
                Self::Gcs(Arc::new(builder.with_http_connector(connector).build()?))
            }
        })
    }

    pub(super) fn objects(&self) -> &dyn ObjectStore {
        match self {
            Self::S3(service) => service.as_ref(),
            Self::Azure(service) => service.as_ref(),
            Self::Gcs(service) => service.as_ref(),
        }
    }
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRIES_TIME_MAX, ..RetryConfig::default() }
}
