//! The filters of `events`.

use super::{Event, EventKind};
use crate::containers::FilterError;

const NAMES: [&str; 12] = [
    "config",
    "container",
    "daemon",
    "event",
    "image",
    "label",
    "network",
    "node",
    "plugin",
    "scope",
    "type",
    "volume",
];

/// Which events are wanted. Filters of one name are alternatives, `label` aside, of which each must hold; those of
/// different names must all hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilters {
    pairs: Vec<(String, String)>,
}

impl EventFilters {
    /// Reads filters as `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// An unknown name, or no value.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, FilterError> {
        let mut pairs = Vec::new();
        for text in texts {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().to_owned());
            if !NAMES.contains(&name.as_str()) {
                return Err(FilterError::Unknown { name });
            }
            if value.is_empty() {
                return Err(FilterError::Value { name, value });
            }
            pairs.push((name, value));
        }
        Ok(Self { pairs })
    }

    pub(super) fn pass(&self, event: &Event) -> bool {
        NAMES.iter().all(|name| {
            let mut values = self.pairs.iter().filter(|(other, _)| other == name).map(|(_, value)| value);
            match *name {
                "label" => values.all(|value| holds(event, name, value)),
                _ => {
                    self.pairs.iter().all(|(other, _)| other != name)
                        || values.any(|value| holds(event, name, value))
                }
            }
        })
    }
}

fn holds(event: &Event, name: &str, value: &str) -> bool {
    let attribute = |name: &str| event.actor.attributes.get(name).map(String::as_str);
    let is_actor = |kind: EventKind| {
        event.kind == kind && (event.actor.id.starts_with(value) || attribute("name") == Some(value))
    };
    match name {
        // `exec_create: sh` is an `exec_create`.
        "event" => event.action == value || event.action.split(':').next() == Some(value),
        "type" => event.kind.name() == value,
        "scope" => event.scope == value,
        "container" => is_actor(EventKind::Container),
        "volume" => is_actor(EventKind::Volume),
        "network" => is_actor(EventKind::Network),
        "image" => {
            let has_tag = |text: &str| text == value || text.split(':').next() == Some(value);
            is_actor(EventKind::Image)
                || has_tag(&event.actor.id)
                || ["image", "name"].into_iter().any(|name| {
                    (event.kind == EventKind::Image || name == "image")
                        && attribute(name).is_some_and(has_tag)
                })
        }
        "label" => match value.split_once('=') {
            Some((name, value)) => attribute(name) == Some(value),
            None => attribute(value).is_some(),
        },
        // Nothing of the kind happens here.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(filters: &[&str]) -> bool {
        let event = Event::now(EventKind::Container, "exec_create: sh", "0123456789ab")
            .with("name", "web")
            .with("image", "bb:latest")
            .with("tier", "front");
        EventFilters::parse(filters.iter().copied()).unwrap().pass(&event)
    }

    #[test]
    fn filters_are_dockers() {
        for filters in [
            &[][..],
            &["event=exec_create"],
            &["event=start", "event=exec_create: sh"],
            &["type=container", "container=web"],
            &["container=0123"],
            &["image=bb"],
            &["image=bb:latest"],
            &["label=tier", "label=tier=front"],
            &["scope=local"],
        ] {
            assert!(passes(filters), "{filters:?}");
        }
        for filters in [
            &["event=exec"][..],
            &["type=image"],
            &["container=we"],
            &["image=web"],
            &["label=tier", "label=tier=back"],
            &["volume=web"],
            &["daemon=x"],
            &["event=exec_create", "type=volume"],
        ] {
            assert!(!passes(filters), "{filters:?}");
        }
    }

    #[test]
    fn wrong_filters_are_refused() {
        assert_eq!(EventFilters::parse(["nope=1"]).unwrap_err().to_string(), "invalid filter 'nope'");
        assert!(EventFilters::parse(["event"]).is_err());
    }
}
