//! The filters of `volume ls` and `volume prune`.

use super::{Volume, VolumeError};

/// Which volumes a list holds. Filters of one kind are alternatives for names and drivers; of all others every one must
/// hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VolumeFilters {
    /// `dangling=true`: only those that no container has.
    pub dangling: Option<bool>,
    /// `driver=NAME`.
    pub drivers: Vec<String>,
    /// `name=PART`.
    pub names: Vec<String>,
    /// `label=KEY[=VALUE]` and whether it must be there.
    pub labels: Vec<(String, Option<String>, bool)>,
    /// `all=true`, of `volume prune`.
    pub all: bool,
}

impl VolumeFilters {
    /// Reads filters as `NAME=VALUE`; `allowed` are the names.
    ///
    /// # Errors
    ///
    /// In Docker's words, what is unknown.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        allowed: &[&str],
    ) -> Result<Self, VolumeError> {
        let mut filters = Self::default();
        for text in texts {
            let wrong = || VolumeError::Filter { text: text.to_owned() };
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let (name, is_wanted) = match name.strip_suffix('!') {
                Some(name) => (name, false),
                None => (name, true),
            };
            let name = name.trim().to_ascii_lowercase();
            if !allowed.contains(&name.as_str()) || (!is_wanted && name != "label") {
                return Err(wrong());
            }
            match name.as_str() {
                "dangling" => filters.dangling = Some(boolean(value).ok_or_else(wrong)?),
                "all" => filters.all = boolean(value).ok_or_else(wrong)?,
                "driver" => filters.drivers.push(value.to_owned()),
                "name" => filters.names.push(value.to_owned()),
                _ => {
                    let (key, value) = match value.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (value, None),
                    };
                    filters.labels.push((key.to_owned(), value, is_wanted));
                }
            }
        }
        Ok(filters)
    }

    /// Whether a volume passes those filters that need nothing but the volume.
    pub(super) fn pass(&self, volume: &Volume) -> bool {
        let any = |list: &[String], test: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(test);
        any(&self.drivers, &|driver| *driver == volume.driver)
            && any(&self.names, &|name| volume.name.contains(name.as_str()))
            && self.labels.iter().all(|(key, value, is_wanted)| {
                let own = volume.labels.as_ref().and_then(|labels| labels.get(key));
                let is_there = own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own));
                is_there == *is_wanted
            })
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
