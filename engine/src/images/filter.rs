//! The filters of `images`.

use cache::{Store, StoredImage};
use jiff::Timestamp;

use super::pattern::Pattern;
use super::time::parse_moment;
use super::{ImageError, find};

/// Which images a list holds. Filters of one kind are alternatives for `reference`; of all others every one
/// must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// `dangling=true`: only images without a tag; `dangling=false`: only others.
    pub dangling: Option<bool>,
    /// `label=KEY` or `label=KEY=VALUE`.
    pub labels: Vec<(String, Option<String>)>,
    /// `label!=KEY` or `label!=KEY=VALUE`: images that do not have it.
    pub other_labels: Vec<(String, Option<String>)>,
    /// `reference=PATTERN`.
    pub references: Vec<Pattern>,
    /// `before=IMAGE`: made before that image.
    pub before: Vec<String>,
    /// `since=IMAGE`: made after that image.
    pub since: Vec<String>,
    /// `until=TIME`: made before that time, seconds since 1970.
    pub until_unix_s: Vec<i64>,
}

impl Filters {
    /// Reads filters as `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// [`ImageError::Filter`] for an unknown name, [`ImageError::FilterValue`] for a wrong value.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, ImageError> {
        Self::parse_at(texts, Timestamp::now())
    }

    fn parse_at<'a>(texts: impl IntoIterator<Item = &'a str>, now: Timestamp) -> Result<Self, ImageError> {
        let mut filters = Self::default();
        for text in texts {
            filters.add(text, now)?;
        }
        Ok(filters)
    }

    fn add(&mut self, text: &str, now: Timestamp) -> Result<(), ImageError> {
        let unknown = || ImageError::Filter { text: text.to_owned() };
        let (name, value) = text.split_once('=').ok_or_else(unknown)?;
        let value = value.trim();
        let wrong = |name, expected| ImageError::FilterValue { name, value: value.to_owned(), expected };
        match name.trim().to_ascii_lowercase().as_str() {
            "dangling" => {
                let dangling = match value.to_ascii_lowercase().as_str() {
                    "1" | "t" | "true" => true,
                    "0" | "f" | "false" => false,
                    _ => return Err(wrong("dangling", "true or false")),
                };
                if self.dangling.is_some_and(|other| other != dangling) {
                    return Err(wrong("dangling", "the same value each time"));
                }
                self.dangling = Some(dangling);
            }
            "label" => self.labels.push(label(value)),
            "label!" => self.other_labels.push(label(value)),
            "reference" => {
                let expected = "a pattern whose brackets are closed";
                self.references.push(Pattern::parse(value).ok_or_else(|| wrong("reference", expected))?);
            }
            "before" => self.before.push(value.to_owned()),
            "since" => self.since.push(value.to_owned()),
            "until" => {
                let expected =
                    "a time (2026-01-31, 2026-01-31T12:00:00Z, seconds since 1970) or an age (10m, 1h30m)";
                let moment = parse_moment(value, now).ok_or_else(|| wrong("until", expected))?;
                self.until_unix_s.push(moment.as_second());
            }
            _ => return Err(unknown()),
        }
        Ok(())
    }

    /// The times between which an image must have been made, both excluded.
    pub(super) fn period(&self, store: &Store) -> Result<Period, ImageError> {
        let created = |name: &String| -> Result<Option<i64>, ImageError> {
            let id = find(store, name)?;
            Ok(store.image(&id)?.map(|image| image.created_unix_s))
        };
        let mut before: Option<i64> = self.until_unix_s.iter().min().copied();
        for name in &self.before {
            before = [before, created(name)?].into_iter().flatten().min();
        }
        let mut after = None;
        for name in &self.since {
            after = [after, created(name)?].into_iter().flatten().max();
        }
        Ok(Period { after, before })
    }
}

fn label(text: &str) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

pub(super) struct Period {
    after: Option<i64>,
    before: Option<i64>,
}

impl Period {
    pub(super) fn contains(&self, image: &StoredImage) -> bool {
        self.after.is_none_or(|after| image.created_unix_s > after)
            && self.before.is_none_or(|before| image.created_unix_s < before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Filters, String> {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        Filters::parse_at(texts.iter().copied(), now).map_err(|error| error.to_string())
    }

    #[test]
    fn filters_are_read() {
        let filters =
            parse(&["dangling=true", "label=a", "label= b=c=d", "label!=e=f", "Until=10m", "before=x"]);
        let expected = Filters {
            dangling: Some(true),
            labels: vec![("a".into(), None), ("b".into(), Some("c=d".into()))],
            other_labels: vec![("e".into(), Some("f".into()))],
            until_unix_s: vec![999_400],
            before: vec!["x".into()],
            ..Filters::default()
        };
        assert_eq!(filters, Ok(expected));
    }

    #[test]
    fn wrong_filters_are_named() {
        insta::assert_snapshot!(parse(&["dangling"]).expect_err("no value"), @"invalid filter `dangling`, expected one of before, dangling, label, label!, reference, since, until as NAME=VALUE");
        insta::assert_snapshot!(parse(&["colour=red"]).expect_err("unknown"), @"invalid filter `colour=red`, expected one of before, dangling, label, label!, reference, since, until as NAME=VALUE");
        insta::assert_snapshot!(parse(&["dangling=maybe"]).expect_err("no boolean"), @"invalid filter `dangling=maybe`, expected true or false");
        insta::assert_snapshot!(parse(&["reference=[a"]).expect_err("open bracket"), @"invalid filter `reference=[a`, expected a pattern whose brackets are closed");
        insta::assert_snapshot!(parse(&["until=soon"]).expect_err("no time"), @"invalid filter `until=soon`, expected a time (2026-01-31, 2026-01-31T12:00:00Z, seconds since 1970) or an age (10m, 1h30m)");
    }
}
