//! What BuildKit does with an object store beside reading and writing: it makes the container of a cache, and renews
//! objects that are still in use before the rules of a bucket remove them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::{Method, Request, StatusCode, Uri};
use image::Descriptor;
use object_store::ObjectStoreExt as _;
use object_store::aws::{AmazonS3, AwsAuthorizer};
use object_store::azure::AzureAuthorizer;
use object_store::client::{HttpClient, HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer as _;

use super::services::Service;
use super::{Objects, there};
use crate::net;
use crate::remote_cache::RemoteCacheError;

/// Names of settings, as `object_store` has them.
const ACCOUNT: &str = "account_name";
const REGION: &str = "aws_region";
/// Objects that are looked at at the same time.
const LOOKS_AT_ONCE_MAX: usize = 8;
/// Amazon copies nothing larger in one request.
const COPY_BYTES_MAX: u64 = 5 << 30;
/// Of signed URLs, of which we use the part before the signature.
const SIGNATURE_TIME: Duration = Duration::from_secs(60);

impl Objects {
    /// Makes the container of a cache in Azure, unless it is there, as BuildKit does. Buckets of other services are made
    /// by whoever pays for them.
    pub(in crate::remote_cache) async fn prepare(&self) -> Result<(), RemoteCacheError> {
        let Service::Azure(azure) = &self.service else { return Ok(()) };
        let mut container =
            url(azure.signed_url(Method::PUT, &Path::from("x"), SIGNATURE_TIME).await?.as_str());
        container.truncate(container.len() - "/x".len());
        let mut request = request(&format!("{container}?restype=container"))?;
        let account = self.place.settings.get(ACCOUNT).unwrap_or_default();
        let credential = azure.credentials().get_credential().await?;
        AzureAuthorizer::new(&credential, account).try_authorize(&mut request)?;
        match send(request).await? {
            // Who may write blobs need not be allowed to make containers: then there is one.
            StatusCode::CONFLICT | StatusCode::FORBIDDEN => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(RemoteCacheError::Answer { status: status.as_u16(), request: "a new container" }),
        }
    }

    /// Makes old objects new ones again, of those that a build uses (`touch_refresh`). Only Amazon's protocol has a request
    /// for it.
    pub(in crate::remote_cache) async fn renew(
        &self,
        blobs: impl IntoIterator<Item = Descriptor>,
    ) -> Result<(), RemoteCacheError> {
        let (Service::S3(s3), Some(age)) = (&self.service, self.place.touch_after) else { return Ok(()) };
        let oldest = SystemTime::now().checked_sub(age).and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let oldest_unix_s = oldest.map_or(0, |since| since.as_secs());
        let renewed = blobs.into_iter().map(|blob| self.renew_one(s3, blob, oldest_unix_s));
        stream::iter(renewed.collect::<Vec<_>>()).buffer_unordered(LOOKS_AT_ONCE_MAX).try_collect().await
    }

    async fn renew_one(&self, s3: &AmazonS3, blob: Descriptor, oldest: u64) -> Result<(), RemoteCacheError> {
        let path = self.blob_path(&blob)?;
        let Some(found) = there(s3.head(&path).await)? else { return Ok(()) };
        let is_new = u64::try_from(found.last_modified.timestamp()).is_ok_and(|modified| modified > oldest);
        if is_new || found.size > COPY_BYTES_MAX {
            return Ok(());
        }
        let target = url(s3.signed_url(Method::PUT, &path, SIGNATURE_TIME).await?.as_str());
        let mut request = request(&target)?;
        let headers = request.headers_mut();
        let source = format!("{}/{path}", self.place.bucket);
        headers.insert("x-amz-copy-source", source.parse().map_err(|_| invalid(&source))?);
        // A copy of an object onto itself has to change something.
        headers.insert("x-amz-metadata-directive", http::HeaderValue::from_static("REPLACE"));
        let region = self.place.settings.get(REGION).unwrap_or_default();
        let credential = s3.credentials().get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", region).try_authorize(&mut request, None)?;
        match send(request).await? {
            status if status.is_success() => Ok(()),
            status => Err(RemoteCacheError::Answer { status: status.as_u16(), request: "a copy" }),
        }
    }
}

/// What stands before the signature.
fn url(signed: &str) -> String {
    signed.split('?').next().unwrap_or_default().to_owned()
}

fn request(url: &str) -> Result<HttpRequest, RemoteCacheError> {
    let uri: Uri = url.parse().map_err(|_| invalid(url))?;
    let request = Request::builder().method(Method::PUT).uri(uri).header(http::header::CONTENT_LENGTH, 0);
    request.body(HttpRequestBody::empty()).map_err(|_| invalid(url))
}

fn invalid(url: &str) -> RemoteCacheError {
    RemoteCacheError::Url { url: url.to_owned() }
}

async fn send(request: HttpRequest) -> Result<StatusCode, RemoteCacheError> {
    let client = HttpClient::new(net::client_of_environment()?);
    let answer = client
        .execute(request)
        .await
        .map_err(|error| object_store::Error::Generic { store: "HTTP", source: error.into() })?;
    Ok(answer.status())
}
