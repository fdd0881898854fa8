//! What the environment says about a cache.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

/// Where SDKs keep the credentials of a user, beneath the home directory.
const CREDENTIALS_FILE: &str = ".aws/credentials";

/// The variables of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(BTreeMap<String, String>);

impl Environment {
    /// That of this process. What is no text is no setting.
    pub(super) fn of_process() -> Self {
        let text =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self(std::env::vars_os().filter_map(text).collect())
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Self {
        Self(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    /// The first of these variables that is not empty.
    pub(super) fn get(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.0.get(*name).map(String::as_str).filter(|value| !value.is_empty()))
    }

    /// Variables whose names begin so, in lower case.
    pub(super) fn beginning(&self, prefix: &str) -> impl Iterator<Item = (String, &str)> {
        let named = self.0.iter().filter(move |(name, value)| name.starts_with(prefix) && !value.is_empty());
        named.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
    }

    /// What the file of the AWS SDKs says about the profile of this user: none without such a file.
    pub(super) fn aws_profile(&self) -> BTreeMap<String, String> {
        let home = self.get(&["HOME"]).map(|home| PathBuf::from(home).join(CREDENTIALS_FILE));
        let file = self.get(&["AWS_SHARED_CREDENTIALS_FILE"]).map(PathBuf::from).or(home);
        let text = file.and_then(|file| fs::read_to_string(file).ok()).unwrap_or_default();
        profile(&text, self.get(&["AWS_PROFILE"]).unwrap_or("default"))
    }
}

/// The settings of a profile in a file of the AWS SDKs.
fn profile(text: &str, name: &str) -> BTreeMap<String, String> {
    let mut is_ours = false;
    let mut settings = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(section) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = section.trim() == name;
        } else if let (true, Some((name, value))) = (is_ours, line.split_once('=')) {
            settings.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_a_section() {
        let text = "[default]\naws_access_key_id = one\n# [work]\n[ work ]\naws_access_key_id=two\nnothing\n";
        assert_eq!(profile(text, "default")["aws_access_key_id"], "one");
        assert_eq!(profile(text, "work")["aws_access_key_id"], "two");
        assert!(profile(text, "other").is_empty());
    }
}
