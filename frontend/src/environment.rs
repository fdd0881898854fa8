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
    /// For each pair, how many times anything had been set when it was set last.
    ages: Vec<u64>,
    count: u64,
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
        self.count += 1;
        match self.places.get(name) {
            Some(&place) => {
                self.pairs[place].1 = value.to_owned();
                self.ages[place] = self.count;
            }
            None => {
                self.places.insert(name.to_owned(), self.pairs.len());
                self.pairs.push((name.to_owned(), value.to_owned()));
                self.ages.push(self.count);
            }
        }
    }

    /// All variables in the order in which they were set last, as a process of BuildKit's has them.
    pub(crate) fn pairs_by_age(&self) -> Vec<(String, String)> {
        let mut places: Vec<usize> = (0..self.pairs.len()).collect();
        places.sort_unstable_by_key(|place| self.ages[*place]);
        places.into_iter().map(|place| self.pairs[place].clone()).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stays_in_its_place_and_is_the_last_that_was_set() {
        let mut environment = Environment::default();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            environment.set(name, value);
        }
        assert_eq!(environment.to_config(), ["A=3", "B=2"]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(environment.pairs_by_age(), [pair("B", "2"), pair("A", "3")]);
    }
}
