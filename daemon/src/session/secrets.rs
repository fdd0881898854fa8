//! Secrets of the client, asked for one by one.

use engine::{Secret, Secrets};
use tonic::{Code, Status};

use super::Session;
use crate::proto::secrets::{GetSecretRequest, GetSecretResponse};

pub(crate) const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";

impl Session {
    /// Those of the secrets that the client has.
    pub(crate) async fn secrets(&self, ids: &[String]) -> Result<Secrets, Status> {
        let mut secrets = Secrets::new();
        if !self.offers(GET_SECRET) {
            return Ok(secrets);
        }
        for id in ids {
            let request = GetSecretRequest { id: id.clone(), ..GetSecretRequest::default() };
            let found: GetSecretResponse = match self.caller.unary(GET_SECRET, request).await {
                Ok(found) => found,
                Err(status) if is_missing(&status) => continue,
                Err(status) => return Err(status),
            };
            let secret = Secret::new(found.data)
                .map_err(|error| Status::invalid_argument(format!("secret `{id}` is {error}")))?;
            secrets.insert(id.clone(), secret);
        }
        Ok(secrets)
    }
}

/// Clients before version 0.9 have no code for it.
fn is_missing(status: &Status) -> bool {
    status.code() == Code::NotFound || status.message().ends_with("not found")
}
