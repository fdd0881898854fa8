//! Docker's `config.json`: read, and changed without losing what else is in it.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::{Credential, CredentialError, Secret};
use crate::limits::FILE_BYTES_MAX;

/// The key under which Docker keeps what belongs to `docker.io`.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const DOCKER_HUB: &str = "docker.io";

/// The file as it is; nothing when it is not there.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    path: PathBuf,
    document: Map<String, Value>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, CredentialError> {
        let failed = |source| CredentialError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        match fs::File::open(path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        let document = match bytes.iter().all(u8::is_ascii_whitespace) {
            true => Map::new(),
            false => serde_json::from_slice(&bytes)
                .map_err(|source| CredentialError::Format { path: path.to_owned(), source })?,
        };
        Ok(Self { path: path.to_owned(), document })
    }

    /// The helper that keeps the credentials of a registry.
    pub(super) fn helper(&self, domain: &str) -> Option<&str> {
        let own = self.document.get("credHelpers").and_then(|helpers| {
            keys(domain).into_iter().find_map(|key| helpers.get(&key).and_then(Value::as_str))
        });
        let store = || self.document.get("credsStore").and_then(Value::as_str);
        own.or_else(store).filter(|name| !name.is_empty())
    }

    /// The entry for a repository: the one for the longest part of its name, as in containers-auth.json(5), else
    /// the one for its registry.
    pub(super) fn entry(&self, domain: &str, path: &str) -> Result<Option<Credential>, CredentialError> {
        let Some(auths) = self.document.get("auths").and_then(Value::as_object) else { return Ok(None) };
        let wanted = format!("{domain}/{path}");
        let mut prefix = wanted.as_str();
        while let Some((shorter, _)) = prefix.rsplit_once('/') {
            if prefix != domain
                && let Some(entry) = auths.get(prefix)
            {
                return self.credential(prefix, entry);
            }
            prefix = shorter;
        }
        let named = keys(domain).into_iter().find_map(|key| auths.get(&key).map(|entry| (key, entry)));
        let similar = || {
            let found = auths.iter().find(|(key, _)| normal_key(key) == domain);
            found.map(|(key, entry)| (key.clone(), entry))
        };
        match named.or_else(similar) {
            Some((key, entry)) => self.credential(&key, entry),
            None => Ok(None),
        }
    }

    fn credential(&self, key: &str, entry: &Value) -> Result<Option<Credential>, CredentialError> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::IdentityToken(Secret::new(token))));
        }
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::RegistryToken(Secret::new(token))));
        }
        let pair = match (text("auth"), text("username"), text("password")) {
            (Some(auth), _, _) => {
                let wrong = || CredentialError::Entry { path: self.path.clone(), entry: key.to_owned() };
                let bytes = STANDARD.decode(auth).map_err(|_| wrong())?;
                let decoded = String::from_utf8(bytes).map_err(|_| wrong())?;
                let (username, password) = decoded.split_once(':').ok_or_else(wrong)?;
                Some((username.to_owned(), password.trim_end_matches('\0').to_owned()))
            }
            (None, Some(username), Some(password)) => Some((username.to_owned(), password.to_owned())),
            _ => None,
        };
        Ok(pair
            .map(|(username, password)| Credential::Password { username, password: Secret::new(password) }))
    }

    /// Puts an entry into the file.
    pub(super) fn put(mut self, domain: &str, credential: &Credential) -> Result<PathBuf, CredentialError> {
        let entry = match credential {
            Credential::Password { username, password } => {
                json!({ "auth": STANDARD.encode(format!("{username}:{}", password.expose())) })
            }
            Credential::IdentityToken(token) => json!({ "auth": "", "identitytoken": token.expose() }),
            Credential::RegistryToken(token) => json!({ "auth": "", "registrytoken": token.expose() }),
        };
        let auths = self.document.entry("auths").or_insert_with(|| json!({}));
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(server(domain), entry);
        }
        self.write()
    }

    /// Takes the entries of a registry out of the file; whether there were any.
    pub(super) fn remove(mut self, domain: &str) -> Result<bool, CredentialError> {
        let Some(auths) = self.document.get_mut("auths").and_then(Value::as_object_mut) else {
            return Ok(false);
        };
        let count = auths.len();
        auths.retain(|key, _| !keys(domain).contains(key) && normal_key(key) != domain);
        if auths.len() == count {
            return Ok(false);
        }
        self.write().map(|_| true)
    }

    /// Replaces the file by one that only its owner can read. A symbolic link stays one.
    fn write(&self) -> Result<PathBuf, CredentialError> {
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let failed = |source| CredentialError::Write { path: target.clone(), source };
        let directory = target.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = directory.unwrap_or(Path::new("."));
        if !directory.exists() {
            fs::create_dir_all(directory).map_err(failed)?;
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let text = pretty(&self.document);
        // Of mode 0600 from the beginning.
        let mut staged = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        staged.write_all(&text).and_then(|()| staged.as_file().sync_all()).map_err(failed)?;
        staged.persist(&target).map_err(|error| failed(error.error))?;
        Ok(target.clone())
    }
}

/// JSON as Docker lays it out.
fn pretty(document: &Map<String, Value>) -> Vec<u8> {
    use serde::Serialize as _;
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    document.serialize(&mut serializer).expect("it was JSON before");
    text.push(b'\n');
    text
}

/// What a helper is asked for, and the key of a new entry.
pub(super) fn server(domain: &str) -> String {
    if domain == DOCKER_HUB { DOCKER_HUB_KEY.to_owned() } else { domain.to_owned() }
}

/// The keys under which the credentials of a registry may be.
fn keys(domain: &str) -> Vec<String> {
    match domain {
        DOCKER_HUB => {
            [DOCKER_HUB_KEY, DOCKER_HUB, "index.docker.io", "registry-1.docker.io"].map(str::to_owned).into()
        }
        other => vec![other.to_owned()],
    }
}

/// Old entries are URLs: what counts of them is the host.
fn normal_key(key: &str) -> &str {
    let host = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    host.map_or("", |host| host.split('/').next().unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> (tempfile::TempDir, ConfigFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        fs::write(&path, text).unwrap();
        let file = ConfigFile::read(&path).unwrap();
        (directory, file)
    }

    fn entry(text: &str, domain: &str, path: &str) -> String {
        match file(text).1.entry(domain, path) {
            Ok(Some(Credential::Password { username, password })) => {
                format!("{username} {}", password.expose())
            }
            Ok(Some(Credential::IdentityToken(token))) => format!("identity {}", token.expose()),
            Ok(Some(Credential::RegistryToken(token))) => format!("registry {}", token.expose()),
            Ok(None) => "none".to_owned(),
            Err(error) => error.to_string().split(" of ").next().unwrap().to_owned(),
        }
    }

    #[test]
    fn entries_are_found_by_host_and_by_repository() {
        let auth = |pair: &str| STANDARD.encode(pair);
        let text = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": auth("hub:a:b") },
            "https://old.example/v2/": { "auth": auth("old:x") },
            "r.example:5000": { "auth": auth("all:x") },
            "r.example:5000/team": { "auth": auth("team:x") },
            "r.example:5000/team/app": { "identitytoken": "t", "auth": auth("app:x") },
            "bad.example": { "auth": "!" },
            "empty.example": {},
        } })
        .to_string();
        for (domain, path, expected) in [
            ("docker.io", "library/a", "hub a:b"),
            ("old.example", "a", "old x"),
            ("r.example:5000", "a", "all x"),
            ("r.example:5000", "team/other", "team x"),
            ("r.example:5000", "team/app", "identity t"),
            ("r.example", "a", "none"),
            ("example", "a", "none"),
            ("empty.example", "a", "none"),
            ("bad.example", "a", "the entry `bad.example`"),
        ] {
            assert_eq!(entry(&text, domain, path), expected, "{domain}/{path}");
        }
    }

    #[test]
    fn helpers_come_before_the_store() {
        let (_directory, file) =
            file(r#"{"credHelpers":{"a.example":"own","b.example":""},"credsStore":"all"}"#);
        assert_eq!(file.helper("a.example"), Some("own"));
        assert_eq!(file.helper("c.example"), Some("all"));
    }

    #[test]
    fn what_else_is_in_the_file_stays() {
        let (directory, config) = file(r#"{"HttpHeaders":{"X":"1"},"auths":{"a":{"auth":"YTpi"}}}"#);
        let credential = Credential::Password { username: "u".into(), password: Secret::new("p") };
        config.put("docker.io", &credential).unwrap();
        let path = directory.path().join("config.json");
        insta::assert_snapshot!(fs::read_to_string(&path).unwrap().replace('\t', "  "), @r#"
        {
          "HttpHeaders": {
            "X": "1"
          },
          "auths": {
            "a": {
              "auth": "YTpi"
            },
            "https://index.docker.io/v1/": {
              "auth": "dTpw"
            }
          }
        }
        "#);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(ConfigFile::read(&path).unwrap().remove("docker.io").unwrap());
        assert!(!ConfigFile::read(&path).unwrap().remove("docker.io").unwrap());
        assert!(fs::read_to_string(&path).unwrap().contains("\"a\""));
    }
}
