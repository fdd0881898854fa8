//! "Did you mean": the nearest of some names.

use crate::limits::SUGGESTION_WORK_MAX;

/// Longest name that is compared, characters; longer ones are no typing errors of each other.
const NAME_CHARS_MAX: usize = 64;

/// Most names that are compared with.
const CANDIDATES_MAX: usize = 10_000;

/// How far from a wrong name BuildKit still suggests another, edits.
const BUILDKIT_DISTANCE_MAX: usize = 2;

/// Finds nearest names until it has worked enough.
#[derive(Debug)]
pub(crate) struct Suggester {
    work_left: usize,
}

impl Default for Suggester {
    fn default() -> Self {
        Self { work_left: SUGGESTION_WORK_MAX }
    }
}

impl Suggester {
    /// As [`suggested`]; none when there was enough work already.
    pub(crate) fn suggested<'c>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        suggested(name, self.affordable(name, candidates))
    }

    /// As [`nearest`]; none when there was enough work already.
    pub(crate) fn nearest<'c>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        nearest(name, self.affordable(name, candidates))
    }

    fn affordable<'c>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> impl Iterator<Item = &'c str> {
        candidates.into_iter().take_while(move |candidate| {
            self.work_left = self.work_left.saturating_sub((name.len() + 1) * (candidate.len() + 1));
            self.work_left > 0
        })
    }
}

/// The candidate that BuildKit suggests for a wrong name, for texts that are to be BuildKit's: at most
/// [`BUILDKIT_DISTANCE_MAX`] letters are inserted, left out or replaced. Case counts, and a candidate that is the name itself
/// means that something else is wrong. Where BuildKit takes any of several that are as near, it is the one that we would suggest.
pub(crate) fn suggested<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() > NAME_CHARS_MAX {
        return None;
    }
    let mut best: Option<(usize, usize, &str)> = None;
    for candidate in candidates.into_iter().take(CANDIDATES_MAX) {
        let other: Vec<char> = candidate.chars().take(NAME_CHARS_MAX + 1).collect();
        let edits = distance(&letters, &other, Swap::IsTwoSteps);
        if edits == 0 {
            return None;
        }
        let steps = distance(&letters, &other, Swap::IsOneStep);
        let is_better =
            best.is_none_or(|(edits_best, steps_best, _)| (edits, steps) < (edits_best, steps_best));
        if edits <= BUILDKIT_DISTANCE_MAX && is_better {
            best = Some((edits, steps, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

/// ` (did you mean x?)`, as BuildKit adds it to a mistake; nothing without a suggestion.
pub(crate) fn meant(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(" (did you mean {name}?)")).unwrap_or_default()
}

/// The candidate that is nearest to a wrong name, when it is near enough to be meant: at most a third of its
/// letters differ. Case does not count.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    if name.len() > NAME_CHARS_MAX {
        return None;
    }
    let near = candidates.into_iter().take(CANDIDATES_MAX).filter_map(|candidate| {
        let other: Vec<char> = candidate.to_lowercase().chars().take(NAME_CHARS_MAX + 1).collect();
        let allowed = (name.len().max(other.len()) / 3).max(1);
        let distance = distance(&name, &other, Swap::IsOneStep);
        let shares_nothing = distance >= name.len().min(other.len());
        (distance <= allowed && !shares_nothing).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// What the swap of two neighbours costs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swap {
    IsOneStep,
    IsTwoSteps,
}

/// Insertions, deletions, replacements and, when they are one step, swaps of neighbours between two words (optimal string
/// alignment, or Levenshtein's distance).
fn distance(a: &[char], b: &[char], swap: Swap) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut current = vec![i];
        for j in 1..=b.len() {
            let replaced = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(previous[j] + 1).min(current[j - 1] + 1);
            if swap == Swap::IsOneStep && i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected are answers of BuildKit 0.25.
    #[test]
    fn suggestions_are_those_of_buildkit() {
        for (name, candidates, expected) in [
            ("foo", &["run", "from"][..], Some("from")),
            ("rnu", &["env", "run"], Some("run")),
            ("b", &["PATH", "abc"], Some("abc")),
            ("ABC", &["abc"], None),
            ("OFo", &["Foo"], Some("Foo")),
            ("healtchekc", &["healthcheck"], None),
            ("plafrom", &["platform"], None),
            ("si", &["id", "size"], Some("id")),
            ("abcdef", &["abc"], None),
            ("run", &["rum", "run"], None),
        ] {
            assert_eq!(suggested(name, candidates.iter().copied()), expected, "{name}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        for (name, candidates, expected) in [
            ("RNU", &["RUN", "ENV", "ARG"][..], Some("RUN")),
            ("biuld", &["build", "base"], Some("build")),
            ("Build", &["build"], Some("build")),
            ("COPPY", &["COPY", "ENTRYPOINT"], Some("COPY")),
            ("x", &["y"], None),
            ("database", &["build"], None),
            ("", &["a"], None),
        ] {
            assert_eq!(nearest(name, candidates.iter().copied()), expected, "{name}");
        }
    }
}
