//! What the user asked for.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Without a number of minutes, as in CI.
const MINUTES_DEFAULT: u64 = 2;

/// A kind of torture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `kill -9` at any instant.
    Kills,
    /// A file system that goes away at any instant.
    Power,
    /// System calls that are refused.
    Faults,
    /// Bytes of the store that are not what they were.
    Flips,
    /// A disk that is full.
    Full,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Kills, Self::Power, Self::Faults, Self::Flips, Self::Full];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Power => "power",
            Self::Faults => "faults",
            Self::Flips => "flips",
            Self::Full => "full",
        }
    }

    /// Rounds after which the long form has had enough.
    pub(crate) fn rounds(self) -> u64 {
        match self {
            Self::Kills => 1_000,
            Self::Power => 200,
            Self::Faults | Self::Flips | Self::Full => 2_000,
        }
    }
}

/// What is tortured, for how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    kinds: Vec<Kind>,
    minutes: u64,
    seed: u64,
}

impl Request {
    /// Reads the arguments of the chore.
    pub(crate) fn new(arguments: &[String]) -> Option<Self> {
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut request = Self { kinds: Vec::new(), minutes: MINUTES_DEFAULT, seed: clock.as_secs() };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--minutes" => request.minutes = arguments.next()?.parse().ok().filter(|it| *it > 0)?,
                "--seed" => request.seed = arguments.next()?.parse().ok()?,
                name => request.kinds.push(Kind::ALL.into_iter().find(|kind| kind.name() == name)?),
            }
        }
        Some(request)
    }

    /// The same as arguments.
    pub(crate) fn words(&self) -> Vec<String> {
        let options = ["--minutes".into(), self.minutes.to_string(), "--seed".into(), self.seed.to_string()];
        self.kinds.iter().map(|kind| kind.name().to_owned()).chain(options).collect()
    }

    pub(crate) fn kinds(&self) -> Vec<Kind> {
        if self.kinds.is_empty() { Kind::ALL.to_vec() } else { self.kinds.clone() }
    }

    pub(crate) fn time(&self) -> Duration {
        Duration::from_secs(self.minutes * 60)
    }

    /// Where the random numbers begin: the same seed tries the same things.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(words: &[&str]) -> Option<Request> {
        Request::new(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_survive_the_way_into_the_namespaces() {
        let asked = request(&["kills", "flips", "--minutes", "30", "--seed", "7"]).expect("it is right");
        assert_eq!(asked.kinds(), [Kind::Kills, Kind::Flips]);
        assert_eq!((asked.time().as_secs(), asked.seed()), (1_800, 7));
        assert_eq!(Request::new(&asked.words()), Some(asked));
        assert_eq!(request(&[]).map(|it| it.kinds().len()), Some(5));
        for wrong in [&["kill"][..], &["--minutes"], &["--minutes", "0"], &["--seed", "x"]] {
            assert_eq!(request(wrong), None, "{wrong:?}");
        }
    }
}
