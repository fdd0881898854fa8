//! Tokens: asked for when a registry wants one, kept for a scope until they expire.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::realm::{Trust, trust};
use super::{Challenge, Credential, Secret};
use crate::RegistryError;
use crate::limits::{TOKEN_LIFE, TOKEN_MARGIN};

/// Of whom a token server thinks that it talks to.
const CLIENT_ID: &str = "slipway";

/// What a request needs to be allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Scope {
    /// `repository:NAME:ACTIONS`, each.
    words: Vec<String>,
    /// The repository in the first of them.
    pub(crate) repository: String,
}

impl Scope {
    pub(crate) fn pull(repository: &str) -> Self {
        Self::with(repository, "pull")
    }

    pub(crate) fn push(repository: &str) -> Self {
        Self::with(repository, "pull,push")
    }

    /// Reads from another repository as well, to take a blob over from there.
    pub(crate) fn and_pull(mut self, other: &str) -> Self {
        self.words.push(format!("repository:{other}:pull"));
        self
    }

    /// Lists the repositories of a registry.
    pub(crate) fn catalog() -> Self {
        Self { words: vec!["registry:catalog:*".to_owned()], repository: String::new() }
    }

    fn with(repository: &str, actions: &str) -> Self {
        Self { words: vec![format!("repository:{repository}:{actions}")], repository: repository.to_owned() }
    }
}

/// The value of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization(Secret);

impl Authorization {
    pub(crate) fn bearer(token: &Secret) -> Self {
        Self(Secret::new(format!("Bearer {}", token.expose())))
    }

    pub(crate) fn basic(username: &str, password: &Secret) -> Self {
        Self(Secret::new(format!("Basic {}", STANDARD.encode(format!("{username}:{}", password.expose())))))
    }

    /// The header; none for a secret that cannot be one.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_str(self.0.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A question to a token server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TokenRequest {
    pub(crate) url: Url,
    pub(crate) authorization: Option<Authorization>,
    /// The fields of a form, for OAuth 2; none is a GET.
    pub(crate) form: Option<Vec<(&'static str, String)>>,
}

/// How to answer a challenge.
pub(crate) enum Answer {
    /// With what we have.
    Now(Authorization),
    /// With a token that has to be fetched.
    Ask(TokenRequest),
}

/// What one host has let us in with.
#[derive(Debug, Default)]
pub(crate) struct Authorizer {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    basic: Option<Authorization>,
    tokens: BTreeMap<Scope, (Authorization, Instant)>,
}

impl Authorizer {
    /// What let us in for this scope before, unless it has expired.
    pub(crate) fn cached(&self, scope: &Scope) -> Option<Authorization> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = known.tokens.get(scope).filter(|(_, end)| Instant::now() < *end);
        alive.map(|(token, _)| token.clone()).or_else(|| known.basic.clone())
    }

    /// Forgets what no longer lets us in.
    pub(crate) fn forget(&self, scope: &Scope) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tokens.remove(scope);
        known.basic = None;
    }

    pub(crate) fn keep_basic(&self, authorization: &Authorization) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).basic = Some(authorization.clone());
    }

    /// Keeps a token for as long as it lives.
    pub(crate) fn keep_token(&self, scope: &Scope, token: &TokenAnswer) -> Authorization {
        let authorization = Authorization::bearer(&token.token);
        let end = Instant::now() + token.life.saturating_sub(TOKEN_MARGIN);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.tokens.insert(scope.clone(), (authorization.clone(), end));
        authorization
    }
}

/// Chooses how to answer the challenges of a registry; none when we have no answer.
pub(crate) fn answer(
    registry: &Url,
    challenges: &[Challenge],
    credential: Option<&Credential>,
    scope: &Scope,
    token_hosts: &[String],
) -> Result<Option<Answer>, RegistryError> {
    let of_scheme = |scheme: &str| challenges.iter().find(|challenge| challenge.scheme == scheme);
    if let (Some(_), Some(Credential::RegistryToken(token))) = (of_scheme("bearer"), credential) {
        return Ok(Some(Answer::Now(Authorization::bearer(token))));
    }
    if let Some(bearer) = of_scheme("bearer") {
        let request = token_request(registry, bearer, credential, scope, token_hosts)?;
        return Ok(Some(Answer::Ask(request)));
    }
    match (of_scheme("basic"), credential) {
        (Some(_), Some(Credential::Password { username, password })) => {
            Ok(Some(Answer::Now(Authorization::basic(username, password))))
        }
        _ => Ok(None),
    }
}

fn token_request(
    registry: &Url,
    challenge: &Challenge,
    credential: Option<&Credential>,
    scope: &Scope,
    token_hosts: &[String],
) -> Result<TokenRequest, RegistryError> {
    let host = registry.host_str().unwrap_or_default().to_owned();
    let protocol = |what: String| RegistryError::Protocol { host: host.clone(), what };
    let realm = challenge.get("realm").ok_or_else(|| protocol("its challenge names no realm".into()))?;
    let mut url: Url =
        realm.parse().map_err(|_| protocol(format!("the realm `{realm}` of its challenge is no URL")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(protocol(format!("the realm `{realm}` of its challenge is no address of the web")));
    }
    let trusted = trust(registry, &url, token_hosts)?;
    if trusted == Trust::Nothing && credential.is_some() {
        return Err(RegistryError::ForeignRealm {
            host,
            realm: url.host_str().unwrap_or_default().to_owned(),
        });
    }
    let service = challenge.get("service").map(str::to_owned);
    if let Some(Credential::IdentityToken(token)) = credential {
        let mut form = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", token.expose().to_owned()),
            ("client_id", CLIENT_ID.to_owned()),
            ("scope", scope.words.join(" ")),
        ];
        form.extend(service.map(|service| ("service", service)));
        return Ok(TokenRequest { url, authorization: None, form: Some(form) });
    }
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = &service {
            query.append_pair("service", service);
        }
        // The registry's own wish is left aside: a token is for what we do, and for nothing more.
        for word in &scope.words {
            query.append_pair("scope", word);
        }
        query.append_pair("client_id", CLIENT_ID);
        if let Some(Credential::Password { username, .. }) = credential {
            query.append_pair("account", username);
        }
    }
    let authorization = match credential {
        Some(Credential::Password { username, password }) => Some(Authorization::basic(username, password)),
        _ => None,
    };
    Ok(TokenRequest { url, authorization, form: None })
}

/// What a token server answers.
#[derive(Debug)]
pub(crate) struct TokenAnswer {
    token: Secret,
    life: Duration,
}

impl TokenAnswer {
    /// Reads the answer; none when there is no token in it.
    pub(crate) fn parse(body: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Document {
            token: Option<String>,
            access_token: Option<String>,
            expires_in: Option<u64>,
        }
        let document: Document = serde_json::from_slice(body).ok()?;
        let is_there = |token: &String| !token.is_empty();
        let token = document.token.filter(is_there).or(document.access_token.filter(is_there))?;
        // A token of no life at all is one whose server cannot tell.
        let life = document.expires_in.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Some(Self {
            token: Secret::new(token),
            life: life.unwrap_or(TOKEN_LIFE).min(Duration::from_secs(86_400)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::challenges;

    fn asked(header: &str, credential: Option<&Credential>) -> String {
        let registry = "https://r.example".parse().unwrap();
        let scope = Scope::push("a/b").and_pull("c");
        match answer(&registry, &challenges(header), credential, &scope, &[]) {
            Ok(Some(Answer::Now(Authorization(value)))) => value.expose().to_owned(),
            Ok(Some(Answer::Ask(TokenRequest { url, authorization, form }))) => {
                let with = authorization.map_or(String::new(), |it| format!(" with {}", it.0.expose()));
                format!("{url}{with}{}", form.map_or(String::new(), |form| format!(" {form:?}")))
            }
            Ok(None) => "no answer".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn challenges_are_answered() {
        let password = Credential::Password { username: "u".into(), password: Secret::new("p") };
        let identity = Credential::IdentityToken(Secret::new("refresh"));
        let bearer = r#"Bearer realm="https://auth.r.example/t?x=1",service="r",scope="repository:other:*""#;
        insta::assert_snapshot!(asked(bearer, None), @"https://auth.r.example/t?x=1&service=r&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull&client_id=slipway");
        insta::assert_snapshot!(asked(bearer, Some(&password)), @"https://auth.r.example/t?x=1&service=r&scope=repository%3Aa%2Fb%3Apull%2Cpush&scope=repository%3Ac%3Apull&client_id=slipway&account=u with Basic dTpw");
        insta::assert_snapshot!(asked(bearer, Some(&identity)), @r#"https://auth.r.example/t?x=1 [("grant_type", "refresh_token"), ("refresh_token", "refresh"), ("client_id", "slipway"), ("scope", "repository:a/b:pull,push repository:c:pull"), ("service", "r")]"#);
        insta::assert_snapshot!(asked("Basic realm=x", Some(&password)), @"Basic dTpw");
        insta::assert_snapshot!(asked("Basic realm=x", None), @"no answer");
        insta::assert_snapshot!(asked("Digest realm=x", Some(&password)), @"no answer");
    }

    #[test]
    fn credentials_do_not_go_to_strangers() {
        let password = Credential::Password { username: "u".into(), password: Secret::new("p") };
        let stranger = r#"Bearer realm="https://evil.test/t""#;
        insta::assert_snapshot!(asked(stranger, Some(&password)), @"registry `r.example` wants its credentials sent to `evil.test`");
        assert!(asked(stranger, None).starts_with("https://evil.test/t?"));
        insta::assert_snapshot!(
            asked(r#"Bearer realm="http://r.example/t""#, None),
            @"`https://r.example/` sends us to `http://r.example/t`, which is not encrypted"
        );
        for realm in ["Bearer", "Bearer realm=\"file:///etc/passwd\"", "Bearer realm=\"/token\""] {
            assert!(asked(realm, None).contains("challenge"), "{realm}");
        }
    }

    #[test]
    fn tokens_live_as_long_as_they_say() {
        let life = |body: &str| TokenAnswer::parse(body.as_bytes()).map(|answer| answer.life.as_secs());
        assert_eq!(life(r#"{"token":"t"}"#), Some(60));
        assert_eq!(life(r#"{"token":"","access_token":"t","expires_in":300}"#), Some(300));
        assert_eq!(life(r#"{"expires_in":300}"#), None);
        assert_eq!(life("<html>"), None);
        let authorizer = Authorizer::default();
        let (scope, other) = (Scope::pull("a"), Scope::pull("b"));
        authorizer.keep_token(&scope, &TokenAnswer::parse(br#"{"token":"t","expires_in":300}"#).unwrap());
        assert!(authorizer.cached(&scope).is_some());
        assert_eq!(authorizer.cached(&other), None, "a token is for its scope");
        authorizer.keep_token(&other, &TokenAnswer::parse(br#"{"token":"t","expires_in":1}"#).unwrap());
        assert_eq!(authorizer.cached(&other), None, "the last seconds do not count");
    }
}
