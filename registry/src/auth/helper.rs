//! Programs that keep credentials: `docker-credential-NAME`, see the docker-credential-helpers protocol.

use std::io;
use std::process::Stdio;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Credential, CredentialError, Secret};
use crate::limits::HELPER_WAIT;

/// What a helper calls an identity token instead of a user.
const TOKEN_USER: &str = "<token>";
/// What every helper says, with exit code 1, when it does not know a server.
const NOT_FOUND: &str = "credentials not found";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(rename = "ServerURL", default)]
    server_url: String,
    username: String,
    secret: String,
}

/// The credentials of a server; none when the helper does not know it.
pub(super) async fn get(helper: &str, server: &str) -> Result<Option<Credential>, CredentialError> {
    let answer = match call(helper, "get", server.as_bytes()).await {
        Err(CredentialError::HelperFailed { text, .. }) if text.contains(NOT_FOUND) => return Ok(None),
        answer => answer?,
    };
    let program = program(helper)?;
    let Document { username, secret, .. } =
        serde_json::from_slice(&answer).map_err(|_| CredentialError::HelperAnswer { program })?;
    if username.is_empty() && secret.is_empty() {
        return Ok(None);
    }
    let secret = Secret::new(secret);
    Ok(Some(match username == TOKEN_USER {
        true => Credential::IdentityToken(secret),
        false => Credential::Password { username, password: secret },
    }))
}

/// Keeps the credentials of a server.
pub(super) async fn store(
    helper: &str,
    server: &str,
    credential: &Credential,
) -> Result<(), CredentialError> {
    let (username, secret) = match credential {
        Credential::Password { username, password } => (username.as_str(), password),
        Credential::IdentityToken(token) | Credential::RegistryToken(token) => (TOKEN_USER, token),
    };
    let document = Document {
        server_url: server.to_owned(),
        username: username.to_owned(),
        secret: secret.expose().to_owned(),
    };
    let json = serde_json::to_vec(&document).expect("strings can be written as JSON");
    call(helper, "store", &json).await.map(|_| ())
}

/// Forgets the credentials of a server; one that it does not know is fine.
pub(super) async fn erase(helper: &str, server: &str) -> Result<(), CredentialError> {
    match call(helper, "erase", server.as_bytes()).await {
        Err(CredentialError::HelperFailed { text, .. }) if text.contains(NOT_FOUND) => Ok(()),
        answer => answer.map(|_| ()),
    }
}

/// The program of a helper. A name that is a path would start something else.
fn program(helper: &str) -> Result<String, CredentialError> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if helper.is_empty() || !helper.bytes().all(is_name) {
        return Err(CredentialError::HelperName { name: helper.to_owned() });
    }
    Ok(format!("docker-credential-{helper}"))
}

async fn call(helper: &str, verb: &'static str, input: &[u8]) -> Result<Vec<u8>, CredentialError> {
    let program = program(helper)?;
    let failed = |source| CredentialError::Helper { program: program.clone(), source };
    let mut command = Command::new(&program);
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
    let mut stdin = child.stdin.take().expect("it is piped");
    let exchange = async {
        match stdin.write_all(input).await {
            // It may answer without reading.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => drop(stdin),
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(HELPER_WAIT, exchange).await {
        Ok(output) => output.map_err(failed)?,
        Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
    };
    if output.status.success() {
        return Ok(output.stdout);
    }
    // Helpers say why on either stream.
    let said = if output.stdout.is_empty() { &output.stderr } else { &output.stdout };
    let text = String::from_utf8_lossy(said).trim().to_owned();
    Err(CredentialError::HelperFailed { program, verb, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_names_and_no_paths() {
        assert_eq!(program("ecr-login").unwrap(), "docker-credential-ecr-login");
        for name in ["", "../x", "a/b", "a b", "a;b"] {
            assert!(program(name).is_err(), "{name}");
        }
    }
}
