//! Where two images differ that should be the same: the first file, and how.

mod entry;
mod how;

use cache::{Layer, Store};
use image::{ImageConfig, ImageId};
use serde_json::Value;

use self::entry::{Entry, entries};
use super::config::read_config;
use super::layers::{LayerTar, layer_tars};
use super::{ImageError, stored};
pub use how::How;

/// Whether times count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// They have to be the same.
    Compared,
    /// They are those of two builds, one after the other.
    Ignored,
}

/// The first thing in which two images differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// One has more layers.
    Layers {
        /// Of the first.
        first: usize,
        /// Of the second.
        second: usize,
    },
    /// A file of a layer.
    File {
        /// What made the layer, if the history tells.
        step: String,
        /// The file, from the root of the image.
        path: String,
        /// How they differ.
        how: How,
    },
    /// A part of the config.
    Config {
        /// Its name, `config.Env`.
        field: String,
        /// In the first.
        first: Value,
        /// In the second.
        second: Value,
    },
}

/// The first difference of two images of the store: layers from the lowest on, files in the order of their layer's tar,
/// then the config.
///
/// # Errors
///
/// [`ImageError::Damaged`], when an image is not whole.
pub fn difference(
    store: &Store,
    first: &ImageId,
    second: &ImageId,
    times: Times,
) -> Result<Option<Difference>, ImageError> {
    if first == second {
        return Ok(None);
    }
    let configs = (read_config(store, first)?, read_config(store, second)?);
    let tars = |id: &ImageId, config| layer_tars(store, &stored(store, id)?, config);
    let (of_first, of_second) = (tars(first, &configs.0)?, tars(second, &configs.1)?);
    for (index, (one, other)) in of_first.iter().zip(&of_second).enumerate() {
        if let Some((path, how)) = of_layers(one, other, times)? {
            let step = step_of(&configs.0, index);
            return Ok(Some(Difference::File { step, path, how }));
        }
    }
    if of_first.len() != of_second.len() {
        let (first, second) = (of_first.len(), of_second.len());
        return Ok(Some(Difference::Layers { first, second }));
    }
    Ok(of_configs(&configs.0, &configs.1, times))
}

/// What made a layer.
fn step_of(config: &ImageConfig, layer: usize) -> String {
    let with_layer = config.history.iter().filter(|entry| !entry.empty_layer);
    with_layer.map(|entry| entry.created_by.clone()).nth(layer).unwrap_or_default()
}

fn of_layers(one: &LayerTar, other: &LayerTar, times: Times) -> Result<Option<(String, How)>, ImageError> {
    if one.diff_id == other.diff_id {
        return Ok(None);
    }
    let (first, second) = (entries(one)?, entries(other)?);
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    loop {
        let found = match (first.peek(), second.peek()) {
            (None, None) => return Ok(None),
            (Some(one), None) => (one.shown(), How::OnlyInFirst),
            (None, Some(other)) => (other.shown(), How::OnlyInSecond),
            (Some(one), Some(other)) if one.place() < other.place() => (one.shown(), How::OnlyInFirst),
            (Some(one), Some(other)) if one.place() > other.place() => (other.shown(), How::OnlyInSecond),
            (Some(a), Some(b)) => match how(a, b, (&one.layer, &other.layer), times)? {
                Some(how) => (a.shown(), how),
                None => {
                    first.next();
                    second.next();
                    continue;
                }
            },
        };
        return Ok(Some(found));
    }
}

fn how(a: &Entry, b: &Entry, layers: (&Layer, &Layer), times: Times) -> Result<Option<How>, ImageError> {
    let number =
        |name, a: String, b: String| (a != b).then_some(How::Attribute { name, first: a, second: b });
    let found = number("kind", a.kind(), b.kind())
        .or_else(|| number("mode", format!("{:04o}", a.mode), format!("{:04o}", b.mode)))
        .or_else(|| number("owner", a.owner(), b.owner()))
        .or_else(|| number("target", a.target(), b.target()))
        .or_else(|| number("extended attributes", a.xattrs(), b.xattrs()));
    if found.is_some() {
        return Ok(found);
    }
    if a.content != b.content {
        return how::bytes(a, b, layers).map(Some);
    }
    let time = number("time", a.mtime_unix_s.to_string(), b.mtime_unix_s.to_string());
    Ok(time.filter(|_| times == Times::Compared))
}

fn of_configs(first: &ImageConfig, second: &ImageConfig, times: Times) -> Option<Difference> {
    let value = |config: &ImageConfig| {
        let mut config = config.clone();
        // What the layers have in common was compared file by file.
        config.rootfs.diff_ids.clear();
        if times == Times::Ignored {
            config.created = None;
            config.history.iter_mut().for_each(|entry| entry.created = None);
        }
        serde_json::to_value(config).expect("image documents have string keys")
    };
    let (field, first, second) = of_values("", &value(first), &value(second))?;
    Some(Difference::Config { field, first, second })
}

/// The first part in which two values differ, by its name.
fn of_values(name: &str, first: &Value, second: &Value) -> Option<(String, Value, Value)> {
    if first == second {
        return None;
    }
    let (Value::Object(one), Value::Object(other)) = (first, second) else {
        return Some((name.to_owned(), first.clone(), second.clone()));
    };
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    names.into_iter().find_map(|key| {
        let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        of_values(&name, one.get(key).unwrap_or(&Value::Null), other.get(key).unwrap_or(&Value::Null))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_part_is_named() {
        let first = json!({"a": 1, "b": {"c": [1], "d": 2}});
        let second = json!({"a": 1, "b": {"c": [2], "d": 3}});
        assert_eq!(of_values("", &first, &second), Some(("b.c".to_owned(), json!([1]), json!([2]))));
        assert_eq!(of_values("", &first, &first), None);
        assert_eq!(of_values("", &first, &json!({"a": 1})).map(|found| found.0).as_deref(), Some("b"));
    }
}
