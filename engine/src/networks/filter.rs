//! The filters of `network ls` and `network prune`.

use jiff::Timestamp;

use super::{Network, NetworkError, PREDEFINED};
use crate::images::parse_moment;

/// Which networks a list holds. Filters of one kind are alternatives; labels must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkFilters {
    /// `dangling=true`: only those without containers, and none that is always there.
    pub dangling: Option<bool>,
    /// `driver=NAME`.
    pub drivers: Vec<String>,
    /// `id=BEGINNING`.
    pub ids: Vec<String>,
    /// `label=KEY[=VALUE]` and whether it must be there.
    pub labels: Vec<(String, Option<String>, bool)>,
    /// `name=PART`.
    pub names: Vec<String>,
    /// `scope=local`.
    pub scopes: Vec<String>,
    /// `type=builtin` or `type=custom`.
    pub kinds: Vec<String>,
    /// `until=TIME`.
    pub until: Option<Timestamp>,
}

impl NetworkFilters {
    /// Reads filters as `NAME=VALUE`; `allowed` are the names.
    ///
    /// # Errors
    ///
    /// What is unknown.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        allowed: &[&str],
    ) -> Result<Self, NetworkError> {
        let mut filters = Self::default();
        for text in texts {
            let wrong = || NetworkError::Filter { text: text.to_owned() };
            let (name, value) = text.split_once('=').ok_or_else(wrong)?;
            let (name, is_wanted) = name.strip_suffix('!').map_or((name, true), |name| (name, false));
            let name = name.trim().to_ascii_lowercase();
            if !allowed.contains(&name.as_str()) || (!is_wanted && name != "label") {
                return Err(wrong());
            }
            let owned = value.to_owned();
            match name.as_str() {
                "dangling" => {
                    filters.dangling = Some(match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(wrong()),
                    });
                }
                "driver" => filters.drivers.push(owned),
                "id" => filters.ids.push(owned),
                "name" => filters.names.push(owned),
                "scope" => filters.scopes.push(owned),
                "type" if matches!(value, "builtin" | "custom") => filters.kinds.push(owned),
                "until" => filters.until = Some(parse_moment(value, Timestamp::now()).ok_or_else(wrong)?),
                "label" => {
                    let (key, value) = match value.split_once('=') {
                        Some((key, value)) => (key, Some(value.to_owned())),
                        None => (value, None),
                    };
                    filters.labels.push((key.to_owned(), value, is_wanted));
                }
                _ => return Err(wrong()),
            }
        }
        Ok(filters)
    }

    pub(super) fn pass(&self, network: &Network) -> bool {
        let any = |list: &[String], test: &dyn Fn(&String) -> bool| list.is_empty() || list.iter().any(test);
        let is_builtin = PREDEFINED.contains(&network.name.as_str());
        let is_dangling = network.containers.is_empty() && !is_builtin;
        let is_older =
            |until: Timestamp| network.created.parse().is_ok_and(|created: Timestamp| created < until);
        self.dangling.is_none_or(|wanted| wanted == is_dangling)
            && any(&self.drivers, &|driver| *driver == network.driver)
            && any(&self.ids, &|id| network.id.starts_with(id.as_str()))
            && any(&self.names, &|name| network.name.contains(name.as_str()))
            && any(&self.scopes, &|scope| *scope == network.scope)
            && any(&self.kinds, &|kind| (kind == "builtin") == is_builtin)
            && self.until.is_none_or(is_older)
            && self.labels.iter().all(|(key, value, is_wanted)| {
                let own = network.labels.get(key);
                own.is_some_and(|own| value.as_ref().is_none_or(|value| value == own)) == *is_wanted
            })
    }
}
