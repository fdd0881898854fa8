//! Caches under names that clients of a daemon ask for: the attributes are theirs, the rest is of the daemon's environment.

use daemon::KeyedCaches;
use engine::remote_cache::{CacheExport, CacheFailure, CacheImport};

use super::cache_actions;
use super::caches::{FromSpec, Pairs, ToSpec};
use super::environment::Environment;

/// How a daemon reads them.
pub(crate) const OF_CLIENTS: KeyedCaches =
    KeyedCaches { kinds: &["azblob", "gcs", "gha", "s3"], imports, export };

/// What clients add for daemons of older services, or to save requests that we do not make.
const PASSED_OVER: [&str; 3] = ["ghtoken", "repository", "url"];
/// A file of the daemon's machine, which is none of the clients' business.
const OF_DAEMON: &str = "credentials";

fn pairs(kind: &str, attributes: &daemon::Pairs) -> Result<Pairs, String> {
    if attributes.contains_key(OF_DAEMON) {
        return Err(format!("`{OF_DAEMON}` names a file of the daemon's machine: set it in its environment"));
    }
    let is_passed_over = |name: &str| kind == cache_actions::KIND && PASSED_OVER.contains(&name);
    let given = attributes.iter().filter(|(name, _)| !is_passed_over(name));
    Ok(Pairs::of(kind, given.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()))
}

fn imports(kind: &str, attributes: &daemon::Pairs) -> Result<Vec<CacheImport>, String> {
    let found = FromSpec::of(&pairs(kind, attributes)?, &Environment::of_process());
    found.map(|found| found.0).map_err(|error| error.to_string())
}

fn export(kind: &str, attributes: &daemon::Pairs) -> Result<CacheExport, String> {
    let pairs = pairs(kind, attributes)?;
    let found = ToSpec::of(&pairs, &Environment::of_process()).map_err(|error| error.to_string())?;
    let ToSpec::Export(export) = found else { return Err(format!("`type={kind}` is no place of its own")) };
    let is_ignored = pairs.boolean("ignore-error").map_err(|error| error.to_string())?.unwrap_or(false);
    let failure = if is_ignored { CacheFailure::Ignored } else { CacheFailure::Fatal };
    Ok(CacheExport { failure, ..export })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(given: &[(&str, &str)]) -> daemon::Pairs {
        given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn clients_say_where_and_how() {
        let given = attributes(&[("bucket", "b"), ("region", "r"), ("name", "n")]);
        let [import] = &*imports("s3", &given).unwrap() else { panic!("it is one") };
        assert_eq!(import.place.to_string(), "s3://b/manifests/n");
        assert_eq!(export("s3", &given).unwrap().failure, CacheFailure::Fatal);
        let actions = attributes(&[("url", "u"), ("url_v2", "http://v2"), ("token", "t"), ("scope", "s")]);
        assert_eq!(imports("gha", &actions).unwrap().len(), 1);
        let ignored = attributes(&[("bucket", "b"), ("region", "r"), ("ignore-error", "true")]);
        assert_eq!(export("s3", &ignored).unwrap().failure, CacheFailure::Ignored);
    }

    #[test]
    fn what_is_not_theirs_is_refused() {
        let refused = |kind, given: &[(&str, &str)]| imports(kind, &attributes(given)).unwrap_err();
        assert!(refused("gcs", &[("bucket", "b"), ("credentials", "/etc/shadow")]).contains("`credentials`"));
        assert!(refused("s3", &[("bucket", "b"), ("colour", "red")]).starts_with("unknown option `colour`"));
    }
}
