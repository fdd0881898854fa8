//! "Did you mean": the nearest of some names.

use crate::limits::SUGGESTION_WORK_MAX;

/// Longest name that is compared, characters; longer ones are no typing errors of each other.
const NAME_CHARS_MAX: usize = 64;

/// Most names that are compared with.
const CANDIDATES_MAX: usize = 10_000;

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
    /// As [`nearest`]; none when there was enough work already.
    pub(crate) fn nearest<'c>(
        &mut self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let affordable = candidates.into_iter().take_while(|candidate| {
            self.work_left = self.work_left.saturating_sub((name.len() + 1) * (candidate.len() + 1));
            self.work_left > 0
        });
        nearest(name, affordable)
    }
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
        let distance = distance(&name, &other);
        let shares_nothing = distance >= name.len().min(other.len());
        (distance <= allowed && !shares_nothing).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut current = vec![i];
        for j in 1..=b.len() {
            let replaced = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(previous[j] + 1).min(current[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
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
