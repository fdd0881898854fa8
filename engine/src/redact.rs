//! Takes secrets out of what a step writes.
//!
//! A stream arrives in pieces, and a secret may be spread over several. So whatever could be the beginning of one is
//! held back until the next piece, or the end, says what it is. Nothing else waits.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use aho_corasick::Anchored;
use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;

use crate::secrets::Secrets;

/// What stands for a secret.
const MASK: &[u8] = b"****";
/// Shortest line of a secret with several lines that counts by itself. Shorter ones are the braces of a document, and say nothing.
const LINE_BYTES_MIN: usize = 4;

/// Finds secrets. Made once for a step, for both of its streams.
pub(crate) struct Secretive {
    automaton: NFA,
    start: StateID,
    /// For each state in which the next bytes may make a secret complete, or longer: how many bytes of it have been seen.
    seen_bytes: HashMap<StateID, usize>,
}

/// A stream of output on its way to everybody.
pub(crate) struct Redactor {
    state: StateID,
    /// Bytes that are not passed on yet.
    held: Vec<u8>,
    /// What of them is part of a secret: in order, apart from one another.
    secret: Vec<Range<usize>>,
    /// Whether the last byte that was passed on was part of a secret: one mask stands for all in a row.
    in_secret: bool,
}

impl Secretive {
    /// Looks for each of the secrets, with and without the line feeds at its end, and for every line of one with several.
    /// `None` when there is nothing to look for.
    pub(crate) fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>) -> Option<Self> {
        let mut patterns: Vec<&[u8]> = secrets.into_iter().flat_map(patterns).collect();
        patterns.sort_unstable_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        patterns.dedup();
        if patterns.is_empty() {
            return None;
        }
        // Only too many patterns are an error, and two secrets of the largest size have not that many bytes.
        let automaton = NFA::new(&patterns).expect("secrets are few and of limited size");
        let start = automaton.start_state(Anchored::No).expect("an automaton without anchors was asked for");
        let mut secretive = Self { automaton, start, seen_bytes: HashMap::new() };
        for pattern in &patterns {
            let mut state = start;
            for (index, byte) in pattern.iter().enumerate() {
                secretive.seen_bytes.insert(state, index);
                state = secretive.next(state, *byte);
            }
        }
        // The end of a secret may be the beginning of another one. That one is shorter here, or begins later.
        for pattern in &patterns {
            let end = pattern.iter().fold(start, |state, byte| secretive.next(state, *byte));
            if !secretive.seen_bytes.contains_key(&end) {
                let rest = pattern[1..].iter().fold(start, |state, byte| secretive.next(state, *byte));
                let seen = secretive.seen_bytes.get(&rest).copied().unwrap_or(0);
                secretive.seen_bytes.insert(end, seen);
            }
        }
        Some(secretive)
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// Bytes of the longest secret that ends here.
    fn ends_bytes(&self, state: StateID) -> usize {
        if !self.automaton.is_match(state) {
            return 0;
        }
        let patterns =
            (0..self.automaton.match_len(state)).map(|index| self.automaton.match_pattern(state, index));
        patterns.map(|pattern| self.automaton.pattern_len(pattern)).max().unwrap_or(0)
    }

    /// A stream that begins.
    pub(crate) fn stream(&self) -> Redactor {
        Redactor { state: self.start, held: Vec::new(), secret: Vec::new(), in_secret: false }
    }
}

/// Looks for secrets in what leaves the machine: whole ones, and only those that say something.
pub(crate) struct Search {
    automaton: NFA,
    start: StateID,
}

/// Where a search is in a stream.
pub(crate) struct SearchState(StateID);

/// Shortest secret that is looked for: shorter ones are found everywhere.
const SEARCHED_BYTES_MIN: usize = 8;

impl Search {
    /// `None` when there is nothing to look for.
    pub(crate) fn new(secrets: &Secrets) -> Option<Self> {
        let trimmed = secrets.values().map(|secret| trim(secret.bytes()));
        let patterns: Vec<&[u8]> = trimmed.filter(|bytes| bytes.len() >= SEARCHED_BYTES_MIN).collect();
        if patterns.is_empty() {
            return None;
        }
        let automaton = NFA::new(&patterns).expect("secrets are few and of limited size");
        let start = automaton.start_state(Anchored::No).expect("an automaton without anchors was asked for");
        Some(Self { automaton, start })
    }

    pub(crate) fn begin(&self) -> SearchState {
        SearchState(self.start)
    }

    /// Whether a secret ends in these bytes, which follow those before.
    pub(crate) fn finds(&self, state: &mut SearchState, bytes: &[u8]) -> bool {
        bytes.iter().any(|byte| {
            state.0 = self.automaton.next_state(Anchored::No, state.0, *byte);
            self.automaton.is_match(state.0)
        })
    }

    /// Whether a secret is in what `write` writes.
    pub(crate) fn is_in<E>(
        &self,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut searched = Searched { search: self, state: self.begin(), found: false };
        write(&mut searched)?;
        Ok(searched.found)
    }
}

struct Searched<'a> {
    search: &'a Search,
    state: SearchState,
    found: bool,
}

impl io::Write for Searched<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.found = self.found || self.search.finds(&mut self.state, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What of a secret must not be seen.
fn patterns(secret: &[u8]) -> Vec<&[u8]> {
    let trimmed = trim(secret);
    let lines = trimmed.split(|byte| *byte == b'\n').map(trim).filter(|line| line.len() >= LINE_BYTES_MIN);
    lines.chain([trimmed]).filter(|pattern| !pattern.is_empty()).collect()
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [rest @ .., b'\n' | b'\r'] = text {
        text = rest;
    }
    text
}

impl Redactor {
    /// Takes a piece of the stream; what can be shown by now.
    pub(crate) fn take(&mut self, secretive: &Secretive, bytes: &[u8]) -> Vec<u8> {
        for byte in bytes {
            self.state = secretive.next(self.state, *byte);
            self.held.push(*byte);
            let ends_bytes = secretive.ends_bytes(self.state);
            if ends_bytes > 0 {
                self.mark(self.held.len() - ends_bytes);
            }
        }
        let held_bytes = secretive.seen_bytes.get(&self.state).copied().unwrap_or(0);
        self.pass_on(self.held.len() - held_bytes)
    }

    /// The rest, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.pass_on(self.held.len())
    }

    /// Everything that is held from here on is part of a secret.
    fn mark(&mut self, mut from: usize) {
        while let Some(last) = self.secret.pop_if(|last| last.end >= from) {
            from = from.min(last.start);
        }
        self.secret.push(from..self.held.len());
    }

    fn pass_on(&mut self, count: usize) -> Vec<u8> {
        let mut shown = Vec::with_capacity(count);
        let mut position = 0;
        for secret in &self.secret {
            let (start, end) = (secret.start.min(count), secret.end.min(count));
            if start > position {
                shown.extend_from_slice(&self.held[position..start]);
                self.in_secret = false;
            }
            if end > start && !std::mem::replace(&mut self.in_secret, true) {
                shown.extend_from_slice(MASK);
            }
            position = position.max(end);
        }
        if count > position {
            shown.extend_from_slice(&self.held[position..count]);
            self.in_secret = false;
        }
        self.held.drain(..count);
        self.secret.retain(|secret| secret.end > count);
        for secret in &mut self.secret {
            *secret = secret.start.saturating_sub(count)..secret.end - count;
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stream as it is shown when it arrives in pieces of this size.
    fn shown(secrets: &[&str], text: &str, piece_bytes: usize) -> String {
        let secretive = Secretive::new(secrets.iter().map(|secret| secret.as_bytes())).unwrap();
        let mut redactor = secretive.stream();
        let mut shown = Vec::new();
        for piece in text.as_bytes().chunks(piece_bytes) {
            shown.extend(redactor.take(&secretive, piece));
        }
        shown.extend(redactor.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn secrets_are_masked_wherever_the_stream_is_cut() {
        let cases: [(&[&str], &str, &str); 10] = [
            (&["hunter2\n"], "a hunter2 b\nhunter", "a **** b\nhunter"),
            (&["abab"], "xababab", "x****"),
            (&["aba", "bax"], "abay abax", "****y ****"),
            (&["abcd", "bc"], "abce abcd", "a****e ****"),
            (&["abc", "abcdef"], "abcde abcdef", "****de ****"),
            (&["x"], "xxyx", "****y****"),
            (&["first line\nab\nthird"], "> first line\n> ab\n> third", "> ****\n> ab\n> ****"),
            (&["one\ntwo"], "one\ntwo, one, two", "****, one, two"),
            (&["one", "two"], "onetwothree", "****three"),
            (&["", "\n", "key"], "\nkeys", "\n****s"),
        ];
        for (secrets, text, expected) in cases {
            for piece_bytes in 1..=text.len() {
                assert_eq!(shown(secrets, text, piece_bytes), expected, "{secrets:?} {piece_bytes}");
            }
        }
    }

    #[test]
    fn only_what_may_become_a_secret_waits() {
        let secretive = Secretive::new([b"hunter2".as_slice()]).unwrap();
        let mut redactor = secretive.stream();
        assert_eq!(redactor.take(&secretive, b"Password: "), b"Password: ");
        assert_eq!(redactor.take(&secretive, b"hunter"), b"");
        assert_eq!(redactor.take(&secretive, b"!"), b"hunter!");
        assert_eq!(redactor.take(&secretive, b"hunter2"), MASK);
    }

    #[test]
    fn nothing_to_hide_is_nothing_to_do() {
        assert!(Secretive::new([]).is_none());
        assert!(Secretive::new([b"".as_slice(), b"\r\n".as_slice()]).is_none());
    }

    /// Ends soon, too: both are as bad as they can be for something that compares again and again.
    #[test]
    fn a_large_secret_in_a_large_output() {
        let secret = vec![b'a'; crate::SECRET_BYTES_MAX];
        let secretive = Secretive::new([secret.as_slice()]).unwrap();
        let mut redactor = secretive.stream();
        let mut shown = Vec::new();
        for _ in 0..4 {
            shown.extend(redactor.take(&secretive, &secret[1..]));
        }
        shown.extend(redactor.take(&secretive, b"b"));
        assert_eq!(shown, b"****b");
    }
}
