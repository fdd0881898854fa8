//! Credentials and where they go: S21 of the targets.

use registry::{Client, Credentials, Fetch, LoginKind, LoginRequest, RegistryError, Secret, Settings};

use crate::double::Running;
use crate::server::{Incoming, Reply};
use crate::support::{content, descriptor, fetch, name, noise, settings, told};

/// base64 of `user:secret`.
const PAIR: &str = "dXNlcjpzZWNyZXQ=";

/// Credentials of the user for one registry.
fn with_password(running: &Running) -> (tempfile::TempDir, Settings) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    std::fs::write(&path, format!(r#"{{"auths":{{"{}":{{"auth":"{PAIR}"}}}}}}"#, running.authority)).unwrap();
    (directory, Settings { credentials: Credentials::in_file(path), ..settings() })
}

/// Lets in whoever has a token of `/token` on `realm` that is alive.
fn demand_token(running: &Running, realm: &str) {
    let challenge = format!("Bearer realm=\"http://{realm}/token\",service=\"test\"");
    running.rule(move |request| {
        let is_in = request.header("authorization").is_some_and(|it| it.starts_with("Bearer good"));
        (request.target.starts_with("/v2/") && !is_in)
            .then(|| Reply::new(401).header("www-authenticate", &challenge))
    });
}

fn give_tokens(running: &Running, body: &'static str) {
    running.rule(move |request| request.target.starts_with("/token").then(|| Reply::new(200).body(body)));
}

fn authorizations(running: &Running, part: &str) -> Vec<String> {
    let of = |request: &Incoming| request.header("authorization").unwrap_or("none").to_owned();
    running.requests().iter().filter(|request| request.target.contains(part)).map(of).collect()
}

#[tokio::test]
async fn a_token_is_fetched_once_for_its_scope() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    demand_token(&running, &running.authority);
    give_tokens(&running, r#"{"token":"good"}"#);
    let (_directory, settings) = with_password(&running);
    let client = Client::new(settings);
    let repository = client.repository(&name(&running, "a")).unwrap();
    for _ in 0..3 {
        fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    }
    assert_eq!(authorizations(&running, "/token"), [format!("Basic {PAIR}")]);
    let asked = running.requests().into_iter().find(|request| request.target.starts_with("/token")).unwrap();
    assert_eq!(asked.query("scope").as_deref(), Some("repository:a:pull"));
    assert_eq!(authorizations(&running, "/blobs/"), ["none", "Bearer good", "Bearer good", "Bearer good"]);
}

#[tokio::test]
async fn an_expired_token_is_replaced() {
    let running = Running::start().await;
    let bytes = noise(1000);
    running.put_blob("a", &bytes);
    demand_token(&running, &running.authority);
    give_tokens(&running, r#"{"token":"good"}"#);
    let client = Client::new(settings());
    let repository = client.repository(&name(&running, "a")).unwrap();
    fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    let challenge = format!("Bearer realm=\"http://{}/token\"", running.authority);
    let mut expired = Some(Reply::new(401).header("www-authenticate", challenge));
    running.rule_first(move |request| request.target.contains("/blobs/").then(|| expired.take()).flatten());
    fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap();
    assert_eq!(running.count("GET", "/token"), 2);
}

#[tokio::test]
async fn a_token_of_pull_is_not_used_to_push() {
    let running = Running::start().await;
    demand_token(&running, &running.authority);
    give_tokens(&running, r#"{"token":"good"}"#);
    running.put_blob("base", &noise(10));
    let client = Client::new(settings());
    let repository = client.repository(&name(&running, "a")).unwrap();
    let bytes = noise(10);
    repository.push_blob(&descriptor(&bytes), &content(&bytes), &["base".into()], &|_| ()).await.unwrap();
    let scopes: Vec<_> = running
        .requests()
        .iter()
        .filter(|it| it.target.starts_with("/token"))
        .map(|it| {
            let url: reqwest::Url = format!("http://h{}", it.target).parse().unwrap();
            let scopes =
                url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, value)| value.into_owned());
            scopes.collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(scopes, ["repository:a:pull,push", "repository:a:pull,push repository:base:pull"]);
}

#[tokio::test]
async fn wrong_credentials_are_said_and_not_repeated() {
    let running = Running::start().await;
    demand_token(&running, &running.authority);
    running.rule(|request| {
        let is_token = request.target.starts_with("/token");
        is_token.then(|| Reply::new(401).body(r#"{"details":"incorrect username or password"}"#))
    });
    let (_directory, settings) = with_password(&running);
    let repository = Client::new(settings).repository(&name(&running, "a")).unwrap();
    let error = fetch(&repository, &descriptor(b"x"), Fetch::Ranges).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert_eq!(running.count("GET", "/token"), 1);
}

#[tokio::test]
async fn a_redirect_to_another_host_takes_no_token_along() {
    let (running, storage) = (Running::start().await, Running::start().await);
    let bytes = noise(1000);
    let digest = storage.put_blob("s", &bytes);
    demand_token(&running, &running.authority);
    give_tokens(&running, r#"{"token":"good"}"#);
    let location = format!("http://{}/v2/s/blobs/{digest}?signature=x", storage.authority);
    running.script("GET", "/blobs/", usize::MAX, Reply::new(307).header("location", location));
    let (_directory, settings) = with_password(&running);
    let repository = Client::new(settings).repository(&name(&running, "a")).unwrap();
    assert_eq!(fetch(&repository, &descriptor(&bytes), Fetch::Ranges).await.unwrap(), bytes);
    assert_eq!(authorizations(&storage, "/blobs/"), ["none"]);
}

#[tokio::test]
async fn a_challenge_of_another_host_is_not_answered() {
    let (running, evil) = (Running::start().await, Running::start().await);
    demand_token(&evil, &evil.authority);
    give_tokens(&evil, r#"{"token":"good"}"#);
    let location = format!("http://{}/v2/a/blobs/x", evil.authority);
    running.script("GET", "/blobs/", usize::MAX, Reply::new(302).header("location", location));
    let (_directory, settings) = with_password(&running);
    let repository = Client::new(settings).repository(&name(&running, "a")).unwrap();
    let error = fetch(&repository, &descriptor(b"x"), Fetch::Ranges).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied { .. }), "{error}");
    assert_eq!(evil.count("GET", "/token"), 0);
    assert_eq!(authorizations(&evil, "/v2/"), ["none"]);
}

#[tokio::test]
async fn a_realm_on_another_host_gets_no_password() {
    let running = Running::start().await;
    let challenge = "Bearer realm=\"https://evil.test/token\",service=\"test\"";
    running.script("GET", "/blobs/", 1, Reply::new(401).header("www-authenticate", challenge));
    let (_directory, settings) = with_password(&running);
    let repository = Client::new(settings).repository(&name(&running, "a")).unwrap();
    let error = fetch(&repository, &descriptor(b"x"), Fetch::Ranges).await.unwrap_err();
    let host = running.authority.split(':').next().unwrap();
    insta::assert_snapshot!(told(&error, &running).replace(host, "[host]"), @"registry `[host]` wants its credentials sent to `evil.test`");
}

#[tokio::test]
async fn redirects_end() {
    let running = Running::start().await;
    running.script("GET", "/blobs/", usize::MAX, Reply::new(302).header("location", "?again"));
    let repository = Client::new(settings()).repository(&name(&running, "a")).unwrap();
    let error = fetch(&repository, &descriptor(b"x"), Fetch::Ranges).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &running), @"registry `[registry]`: more than 5 redirects");
    running.rule_first(|request| {
        let is_blob = request.target.contains("/blobs/");
        is_blob.then(|| Reply::new(302).header("location", "file:///etc/passwd"))
    });
    let error = fetch(&repository, &descriptor(b"x"), Fetch::Ranges).await.unwrap_err();
    insta::assert_snapshot!(told(&error, &running), @"registry `[registry]`: `file:///etc/passwd` is no address of the web");
}

#[tokio::test]
async fn a_layer_elsewhere_is_fetched_without_credentials_or_not_at_all() {
    let running = Running::start().await;
    let mut blob = descriptor(b"x");
    blob.urls = vec![format!("http://{}/layer", running.authority)];
    let (_directory, settings) = with_password(&running);
    let repository = Client::new(settings).repository(&name(&running, "a")).unwrap();
    let error = fetch(&repository, &blob, Fetch::Ranges).await.unwrap_err();
    assert!(matches!(error, RegistryError::ForeignLayer { .. }), "{error}");
    assert_eq!(running.count("GET", "/layer"), 0);
}

#[tokio::test]
async fn login_keeps_what_was_accepted() {
    let running = Running::start().await;
    running.rule(|request| {
        let is_in = request.header("authorization") == Some(&format!("Basic {PAIR}"));
        (!is_in).then(|| Reply::new(401).header("www-authenticate", "Basic realm=\"x\""))
    });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("new/config.json");
    let client = Client::new(Settings { credentials: Credentials::in_file(&path), ..settings() });
    let login = |password: &str| LoginRequest {
        domain: running.authority.clone(),
        username: "user".into(),
        password: Secret::new(password),
    };
    let error = client.login(login("wrong")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unauthorized { .. }), "{error}");
    assert!(!path.exists());
    assert_eq!(client.login(login("secret")).await.unwrap(), LoginKind::File(path.clone()));
    assert!(std::fs::read_to_string(&path).unwrap().contains(PAIR));
    assert_eq!(client.known_user(&running.authority).await.unwrap().as_deref(), Some("user"));
    assert!(client.logout(&running.authority).await.unwrap());
    assert!(!client.logout(&running.authority).await.unwrap());
    assert!(!std::fs::read_to_string(&path).unwrap().contains(PAIR));
}
