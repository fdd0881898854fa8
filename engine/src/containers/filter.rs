//! The filters of `ps` and `container prune`.

use std::path::Path;

use executor::Protocol;
use jiff::Timestamp;

use super::inspect::network_names;
use super::{Container, ContainerError, Status};
use crate::Engine;
use crate::images::parse_moment;
use crate::networks::parse_exposed;

/// A filter that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// No filter has this name.
    #[error("invalid filter '{name}'")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It does not take this value.
    #[error("invalid filter '{name}={value}'")]
    Value {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
}

/// The network of containers that ask for none, and how they say so.
const BRIDGE: &str = "bridge";
const DEFAULT: &str = "default";

/// Which containers are wanted. Filters of one name are alternatives, `label` aside, of which each must hold; those of
/// different names must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerFilters {
    pairs: Vec<(String, String)>,
}

const NAMES: [&str; 16] = [
    "ancestor", "before", "exited", "expose", "health", "id", "is-task", "label", "label!", "name",
    "network", "publish", "since", "status", "until", "volume",
];

impl ContainerFilters {
    /// Reads filters as `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// An unknown name, a wrong value.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterError> {
        let mut pairs = Vec::new();
        for text in texts {
            let (name, value) = split(text);
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if !NAMES.contains(&name.as_str()) {
                return Err(FilterError::Unknown { name });
            }
            let is_valid = match name.as_str() {
                "exited" => value.parse::<i32>().is_ok(),
                "expose" | "publish" => parse_exposed(&value).is_ok(),
                "status" => is_status(&value),
                "until" => parse_moment(&value, Timestamp::now()).is_some(),
                "health" => ["starting", "healthy", "unhealthy", "none"].contains(&value.as_str()),
                "is-task" => ["true", "false", "1", "0"].contains(&value.as_str()),
                _ => true,
            };
            if !is_valid {
                return Err(FilterError::Value { name, value });
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    /// Whether some filter says which states are wanted: then those that have ended are looked at, too.
    pub fn is_about_state(&self) -> bool {
        self.pairs.iter().any(|(name, _)| name == "status" || name == "exited")
    }
}

fn split(text: &str) -> (&str, &str) {
    match text.split_once("!=") {
        Some((name, value)) if name == "label" => (&text[..name.len() + 1], value),
        _ => text.split_once('=').unwrap_or((text, "")),
    }
}

fn is_status(text: &str) -> bool {
    let known = [Status::Created, Status::Running, Status::Paused, Status::Restarting, Status::Exited];
    known.iter().any(|status| status.name() == text) || text == "removing" || text == "dead"
}

impl Engine {
    /// The containers of a list that pass the filters.
    ///
    /// # Errors
    ///
    /// That `before`, `since` or `ancestor` name nothing.
    pub fn filter_containers(
        &self,
        containers: Vec<Container>,
        filters: &ContainerFilters,
    ) -> Result<Vec<Container>, ContainerError> {
        let mut resolved = Vec::new();
        for (name, value) in &filters.pairs {
            if let ("network", Ok(network)) = (name.as_str(), self.network(value)) {
                // A container knows it by the word with which it was asked for.
                let default = (network.name == BRIDGE).then(|| DEFAULT.to_owned());
                let words = [network.name, network.id].into_iter().chain(default);
                resolved.extend(words.map(|word| ("network", word)));
                continue;
            }
            let value = match name.as_str() {
                "before" | "since" => self.container(value)?.config.created_unix_ns.to_string(),
                // An image that is not here has no containers.
                "ancestor" => self.find_image(value).map_or_else(|_| value.clone(), |id| id.to_string()),
                _ => value.clone(),
            };
            resolved.push((name.as_str(), value));
        }
        let now = Timestamp::now();
        let passes = |container: &Container| {
            NAMES.iter().all(|name| {
                let mut values = resolved.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
                let holds = |value: &String| holds(container, name, value, now);
                match *name {
                    "label" | "label!" => values.all(holds),
                    _ => resolved.iter().all(|(other, _)| other != name) || values.any(holds),
                }
            })
        };
        Ok(containers.into_iter().filter(passes).collect())
    }
}

fn holds(container: &Container, name: &str, value: &str, now: Timestamp) -> bool {
    let Container { config, state } = container;
    match name {
        "id" => config.id.starts_with(value),
        "name" => is_in(&config.name, value),
        "label" => has_label(container, value),
        "label!" => !has_label(container, value),
        "exited" => state.status == Status::Exited && value.parse() == Ok(state.exit_code),
        "status" => state.status.name() == value,
        "expose" => exposed(container).any(|port| is_port(port, value)),
        "publish" => state.ports.iter().any(|port| is_port((port.host.port(), port.protocol), value)),
        "network" => network_names(config).contains(&value),
        "volume" => config.mount_points.iter().any(|point| {
            let source = point.name.as_deref().map_or(point.source.as_path(), Path::new);
            point.destination == value || source == Path::new(value)
        }),
        "ancestor" => config.image_id == value || config.settings.image == value,
        "before" => value.parse().is_ok_and(|created: i64| config.created_unix_ns < created),
        "since" => value.parse().is_ok_and(|created: i64| config.created_unix_ns > created),
        "until" => parse_moment(value, now)
            .is_some_and(|moment| i128::from(config.created_unix_ns) < moment.as_nanosecond()),
        "health" => state.health.as_ref().map_or("none", |health| &health.status) == value,
        _ => matches!(value, "false" | "0"),
    }
}

/// Ports in the container, whether they are published or not.
fn exposed(container: &Container) -> impl Iterator<Item = (u16, Protocol)> {
    let exposed = container.config.exposed_ports.iter().filter_map(|text| parse_exposed(text).ok());
    let exposed = exposed.flat_map(|(range, protocol)| range.map(move |port| (port, protocol)));
    exposed.chain(container.state.ports.iter().map(|port| (port.container, port.protocol)))
}

/// Whether a port is in a range, `80-90/tcp`.
fn is_port((port, protocol): (u16, Protocol), wanted: &str) -> bool {
    parse_exposed(wanted).is_ok_and(|(range, other)| range.contains(&port) && protocol == other)
}

fn has_label(container: &Container, wanted: &str) -> bool {
    let labels = &container.config.labels;
    match wanted.split_once('=') {
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
        None => labels.contains_key(wanted),
    }
}

/// A part of the name; `^` and `$` mean its beginning and its end, as in Docker's expressions, and a slash before it is none
/// of it.
fn is_in(name: &str, wanted: &str) -> bool {
    let (begins, wanted) = wanted.strip_prefix('^').map_or((false, wanted), |rest| (true, rest));
    let (ends, wanted) = wanted.strip_suffix('$').map_or((false, wanted), |rest| (true, rest));
    let (begins, wanted) = wanted.strip_prefix('/').map_or((begins, wanted), |rest| (true, rest));
    match (begins, ends) {
        (true, true) => name == wanted,
        (true, false) => name.starts_with(wanted),
        (false, true) => name.ends_with(wanted),
        (false, false) => name.contains(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_parts_with_anchors() {
        let found = |wanted: &str| ["web", "web2", "my-web"].map(|name| is_in(name, wanted));
        assert_eq!(found("web"), [true, true, true]);
        assert_eq!(found("^web"), [true, true, false]);
        assert_eq!(found("web$"), [true, false, true]);
        assert_eq!(found("^/web$"), [true, false, false]);
    }

    #[test]
    fn wrong_filters_are_refused() {
        let parse = |text: &'static str| ContainerFilters::parse([text]).map_err(|error| error.to_string());
        assert_eq!(parse("nope=1").unwrap_err(), "invalid filter 'nope'");
        assert_eq!(parse("status=asleep").unwrap_err(), "invalid filter 'status=asleep'");
        assert_eq!(parse("exited=x").unwrap_err(), "invalid filter 'exited=x'");
        assert_eq!(parse("publish=x").unwrap_err(), "invalid filter 'publish=x'");
        assert!(parse("expose=80-90/udp").is_ok());
        assert!(parse("status=exited").unwrap().is_about_state());
        assert!(!parse("label!=a=b").unwrap().is_about_state());
    }
}
