//! Variables with a value, in the order in which they were first set.

use std::collections::HashMap;

/// Where expansion looks up names.
pub trait Variables {
    /// The value of a variable, none when it is not set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable is set.
pub(crate) struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _name: &str) -> Option<&str> {
        None
    }
}

/// An environment: each name once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    pairs: Vec<(String, String)>,
    places: HashMap<String, usize>,
}

impl Environment {
    /// Reads `NAME=value` texts; without `=` the value is empty.
    pub(crate) fn from_config(texts: &[String]) -> Self {
        let mut environment = Self::default();
        for text in texts {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            environment.set(name, value);
        }
        environment
    }

    /// Sets a variable, in its old place when it was there.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.places.get(name) {
            Some(&place) => self.pairs[place].1 = value.to_owned(),
            None => {
                self.places.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    /// All variables in order.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.pairs
    }

    /// The names in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(name, _)| name.as_str())
    }

    /// `NAME=value` texts, as an image config has them.
    pub(crate) fn to_config(&self) -> Vec<String> {
        self.pairs.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Bytes that a copy takes.
    pub(crate) fn size_bytes(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).map(|&place| self.pairs[place].1.as_str())
    }
}
