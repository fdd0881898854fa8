//! A registry in memory, with a script of what goes wrong.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use image::{BlobDigest, Digest};

use crate::server::{Handler, Incoming, Reply, serve};

/// Decides before the registry does; `None` lets it do as it should.
type Rule = Box<dyn FnMut(&Incoming) -> Option<Reply> + Send>;
/// Decides where the body of a request breaks off.
type Cut = Box<dyn FnMut(&Incoming) -> Option<usize> + Send>;

/// The registry.
#[derive(Default)]
pub(crate) struct Double {
    state: Mutex<State>,
    rules: Mutex<Vec<Rule>>,
    cuts: Mutex<Vec<Cut>>,
    log: Mutex<Vec<Incoming>>,
}

#[derive(Default)]
struct State {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and tag or digest: media type and document.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    uploads: BTreeMap<String, Vec<u8>>,
    uploads_begun: usize,
}

/// A running registry.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) double: Arc<Double>,
    /// Host and port.
    pub(crate) authority: String,
}

impl Running {
    pub(crate) async fn start() -> Self {
        let double = Arc::new(Double::default());
        let authority = serve(double.clone()).await;
        Self { double, authority }
    }

    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> BlobDigest {
        let digest = BlobDigest(Digest::of(bytes));
        let key = (repository.to_owned(), digest.to_string());
        self.double.state.lock().unwrap().blobs.insert(key, bytes.to_vec());
        digest
    }

    pub(crate) fn blob(&self, repository: &str, digest: &BlobDigest) -> Option<Vec<u8>> {
        self.double.state.lock().unwrap().blobs.get(&(repository.to_owned(), digest.to_string())).cloned()
    }

    pub(crate) fn put_manifest(&self, repository: &str, tag: &str, media_type: &str, bytes: &[u8]) {
        let mut state = self.double.state.lock().unwrap();
        for which in [tag.to_owned(), Digest::of(bytes).to_string()] {
            let document = (media_type.to_owned(), bytes.to_vec());
            state.manifests.insert((repository.to_owned(), which), document);
        }
    }

    /// From now on.
    pub(crate) fn rule(&self, rule: impl FnMut(&Incoming) -> Option<Reply> + Send + 'static) {
        self.double.rules.lock().unwrap().push(Box::new(rule));
    }

    /// From now on, before every other rule.
    pub(crate) fn rule_first(&self, rule: impl FnMut(&Incoming) -> Option<Reply> + Send + 'static) {
        self.double.rules.lock().unwrap().insert(0, Box::new(rule));
    }

    /// Begins an upload under this name.
    pub(crate) fn begin(&self, id: &str) {
        self.double.state.lock().unwrap().uploads.insert(id.to_owned(), Vec::new());
    }

    /// The first `count` requests that fit get this reply.
    pub(crate) fn script(&self, method: &'static str, part: &'static str, count: usize, reply: Reply) {
        let mut left = count;
        self.rule(move |request| {
            let fits = request.method == method && request.target.contains(part) && left > 0;
            fits.then(|| {
                left -= 1;
                reply.clone()
            })
        });
    }

    /// The first request that fits breaks off after so many bytes of its body.
    pub(crate) fn cut(&self, method: &'static str, part: &'static str, count: usize, at: usize) {
        let mut left = count;
        self.double.cuts.lock().unwrap().push(Box::new(move |request| {
            let fits = request.method == method && request.target.contains(part) && left > 0;
            fits.then(|| {
                left -= 1;
                at
            })
        }));
    }

    /// Forgets all uploads.
    pub(crate) fn expire_uploads(&self) {
        self.double.state.lock().unwrap().uploads.clear();
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Incoming> {
        self.double.log.lock().unwrap().clone()
    }

    /// The requests in short, without the question which scheme to speak.
    pub(crate) fn log(&self) -> String {
        let line = |request: &Incoming| {
            let range = request.header("range").or(request.header("content-range"));
            let range = range.map_or(String::new(), |range| format!(" [{range}]"));
            let target = request.target.split("sha256").next().unwrap().to_owned();
            format!("{} {target}{range}", request.method)
        };
        self.requests().iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn count(&self, method: &str, part: &str) -> usize {
        let fits = |request: &&Incoming| request.method == method && request.target.contains(part);
        self.requests().iter().filter(fits).count()
    }
}

impl Handler for Double {
    fn cut_request(&self, head: &Incoming) -> Option<usize> {
        self.cuts.lock().unwrap().iter_mut().find_map(|cut| cut(head))
    }

    fn reply(&self, request: Incoming) -> Reply {
        self.log.lock().unwrap().push(request.clone());
        let scripted = self.rules.lock().unwrap().iter_mut().find_map(|rule| rule(&request));
        scripted.unwrap_or_else(|| self.state.lock().unwrap().reply(&request))
    }
}

impl State {
    fn reply(&mut self, request: &Incoming) -> Reply {
        let path = request.path().strip_prefix("/v2/").unwrap_or_default();
        if path.is_empty() {
            return Reply::new(200);
        }
        let (repository, rest) = path.split_once("/blobs/").unwrap_or(("", ""));
        match (request.method.as_str(), rest) {
            ("POST", "uploads/") => self.begin(repository, request),
            ("GET" | "PATCH" | "PUT", rest) if rest.starts_with("uploads/") => {
                self.upload(repository, request)
            }
            ("GET" | "HEAD", digest) if !digest.is_empty() => {
                match self.blobs.get(&(repository.to_owned(), digest.to_owned())) {
                    Some(bytes) => ranged(bytes, request),
                    None => unknown("BLOB_UNKNOWN"),
                }
            }
            _ => self.manifest(path, request),
        }
    }

    fn begin(&mut self, repository: &str, request: &Incoming) -> Reply {
        if let (Some(digest), Some(from)) = (request.query("mount"), request.query("from"))
            && let Some(bytes) = self.blobs.get(&(from, digest.clone())).cloned()
        {
            self.blobs.insert((repository.to_owned(), digest), bytes);
            return Reply::new(201);
        }
        self.uploads_begun += 1;
        let id = format!("u{}", self.uploads_begun);
        self.uploads.insert(id.clone(), Vec::new());
        Reply::new(202).header("location", format!("/v2/{repository}/blobs/uploads/{id}?state=x"))
    }

    fn upload(&mut self, repository: &str, request: &Incoming) -> Reply {
        let id = request.path().rsplit('/').next().unwrap().to_owned();
        let Some(upload) = self.uploads.get_mut(&id) else { return unknown("BLOB_UPLOAD_UNKNOWN") };
        let start: usize = match request.header("content-range") {
            Some(range) => range.split('-').next().unwrap().parse().unwrap(),
            None => upload.len(),
        };
        let range = |upload: &[u8]| format!("0-{}", upload.len().saturating_sub(1));
        if start != upload.len() {
            return Reply::new(416).header("range", range(upload));
        }
        upload.extend_from_slice(&request.body);
        let location = format!("/v2/{repository}/blobs/uploads/{id}?state=x");
        if request.method != "PUT" || !request.is_whole {
            let status = if request.method == "GET" { 204 } else { 202 };
            return Reply::new(status).header("location", location).header("range", range(upload));
        }
        let bytes = self.uploads.remove(&id).unwrap();
        let digest = request.query("digest").unwrap();
        if Digest::of(&bytes).to_string() != digest {
            return Reply::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#);
        }
        self.blobs.insert((repository.to_owned(), digest), bytes);
        Reply::new(201)
    }

    fn manifest(&mut self, path: &str, request: &Incoming) -> Reply {
        let Some((repository, which)) = path.split_once("/manifests/") else { return unknown("UNSUPPORTED") };
        let key = (repository.to_owned(), which.to_owned());
        if request.method == "PUT" {
            let media_type = request.header("content-type").unwrap().to_owned();
            self.manifests.insert(key, (media_type, request.body.clone()));
            return Reply::new(201).header("docker-content-digest", Digest::of(&request.body));
        }
        match self.manifests.get(&key) {
            Some((media_type, bytes)) => Reply::new(200)
                .header("content-type", media_type)
                .header("docker-content-digest", Digest::of(bytes))
                .header("content-length", bytes.len())
                .body(bytes.clone()),
            None => unknown("MANIFEST_UNKNOWN"),
        }
    }
}

fn unknown(code: &str) -> Reply {
    Reply::new(404).body(format!(r#"{{"errors":[{{"code":"{code}","message":"nothing here"}}]}}"#))
}

fn ranged(bytes: &[u8], request: &Incoming) -> Reply {
    let Some(range) = request.header("range") else { return Reply::new(200).body(bytes) };
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
    Reply::new(206)
        .header("content-range", format!("bytes {first}-{last}/{}", bytes.len()))
        .body(&bytes[first..=last])
}
