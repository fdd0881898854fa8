//! The state of one vertex.

use crate::{Key, Keys, Settled};

/// How far a vertex is.
///
/// Probing goes from the sources to the target; demand goes from the target to the sources, and only
/// through vertices that were not found.
#[derive(Debug)]
pub(crate) enum State<O> {
    /// Some input has not been probed yet.
    Unprobed {
        /// How many.
        inputs: usize,
    },
    /// The worker is asked for its key or its result.
    Probing,
    /// Not found. Runs only when demanded.
    Missed {
        /// What it was looked up by; keys of inputs that run may still change.
        keys: Keys,
    },
    /// Demanded; some input is not there yet.
    Waiting {
        /// How many.
        inputs: usize,
        /// What it was looked up by.
        keys: Keys,
    },
    /// The worker is at it.
    Running,
    /// There.
    Done(Settled<O>),
}

impl<O> State<O> {
    /// The key that dependents see, as far as it is known.
    pub(crate) fn offered(&self) -> Option<Key> {
        match self {
            Self::Unprobed { .. } | Self::Probing | Self::Running => None,
            Self::Missed { keys } | Self::Waiting { keys, .. } => keys.offered(),
            Self::Done(settled) => settled.offered,
        }
    }

    /// The result, when it is there.
    pub(crate) fn settled(&self) -> Option<&Settled<O>> {
        match self {
            Self::Done(settled) => Some(settled),
            _ => None,
        }
    }
}
