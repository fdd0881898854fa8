//! A million pairs of ignore file and path, against a second reading of the rules.
//!
//! The oracle shares nothing with the crate. It has no regular expressions: it tries a pattern on a path character
//! by character and backtracks, which is slow and hard to get wrong. The rules that it follows are those of
//! `github.com/moby/patternmatcher`, with its corners.

use frontend::ignore::Patterns;

/// Ignore files that are made.
const FILES: u64 = 20_000;

/// Paths that each is asked about.
const PATHS: u64 = 50;

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    /// This character.
    Char(char),
    /// `?`: one character, no slash.
    One,
    /// `*`: any characters, no slash.
    Star,
    /// `**` in front of something: nothing, or whole directories.
    Directories,
    /// `**` at the end: everything.
    Rest,
    /// `[...]`: one of these ranges, or with `true` none of them; a slash is a character here.
    Class(bool, Vec<(char, char)>),
    /// `^`, which the reference leaves to its regular expressions: the start of the path.
    Start,
}

/// A line of an ignore file.
struct Line {
    brings_back: bool,
    text: String,
    pieces: Vec<Piece>,
}

/// The shortest path of the same meaning, as Go's `path.Clean` has it.
fn clean(path: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match (name, names.last()) {
            ("" | ".", _) => {}
            ("..", Some(last)) if *last != ".." => drop(names.pop()),
            ("..", None) if path.starts_with('/') => {}
            _ => names.push(name),
        }
    }
    match (path.starts_with('/'), names.join("/")) {
        (true, names) => format!("/{names}"),
        (false, names) if names.is_empty() => ".".to_owned(),
        (false, names) => names,
    }
}

impl Line {
    fn read(line: &str) -> Option<Self> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        let (mark, rest) = match line.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", line),
        };
        let cleaned = clean(rest);
        let relative = if cleaned.len() > 1 { cleaned.trim_start_matches('/') } else { &cleaned };
        // What reads the file hands this on as text, and what matches it trims and cleans it once more.
        let pattern = clean(format!("{mark}{relative}").trim());
        let text = pattern.strip_prefix('!').unwrap_or(&pattern).to_owned();
        Some(Self { brings_back: pattern.starts_with('!'), pieces: pieces(&text), text })
    }

    fn matches(&self, path: &str) -> bool {
        let is_plain = |pieces: &[Piece]| pieces.iter().all(|it| matches!(it, Piece::Char(_) | Piece::Start));
        let has_escapes = self.text.contains('\\');
        match self.pieces.as_slice() {
            pieces if is_plain(pieces) && !has_escapes => path == self.text,
            // Two corners: stars at one end of what is otherwise plain are compared as text.
            [Piece::Rest] => true,
            [Piece::Directories, rest @ ..] if is_plain(rest) && !has_escapes => {
                let end = &self.text[2..];
                path.ends_with(end) || end.strip_prefix('/') == Some(path)
            }
            [front @ .., Piece::Rest] if is_plain(front) && !has_escapes => {
                path.starts_with(&self.text[..self.text.len() - 2])
            }
            pieces => fits(pieces, &path.chars().collect::<Vec<_>>(), 0),
        }
    }
}

fn pieces(text: &str) -> Vec<Piece> {
    let chars: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(c) = chars.get(at) {
        at += 1;
        pieces.push(match c {
            '*' if chars.get(at) == Some(&'*') => {
                at += 1;
                at += usize::from(chars.get(at) == Some(&'/'));
                if at < chars.len() { Piece::Directories } else { Piece::Rest }
            }
            '*' => Piece::Star,
            '?' => Piece::One,
            '\\' => {
                at += 1;
                Piece::Char(chars[at - 1])
            }
            '[' => {
                let end = at + chars[at..].iter().position(|c| *c == ']').expect("classes are closed");
                let class = class(&chars[at..end]);
                at = end + 1;
                class
            }
            '^' => Piece::Start,
            c => Piece::Char(*c),
        });
    }
    pieces
}

fn class(inner: &[char]) -> Piece {
    let (is_negative, mut members) = match inner {
        ['^', rest @ ..] => (true, rest),
        all => (false, all),
    };
    let mut ranges = Vec::new();
    while let Some(low) = members.first() {
        let is_range = members.get(1) == Some(&'-');
        ranges.push((*low, if is_range { members[2] } else { *low }));
        members = &members[if is_range { 3 } else { 1 }..];
    }
    Piece::Class(is_negative, ranges)
}

/// Whether the pieces fit the path from `at` to its end.
fn fits(pieces: &[Piece], path: &[char], at: usize) -> bool {
    let Some((piece, rest)) = pieces.split_first() else { return at == path.len() };
    let next = path.get(at).copied();
    let takes_one = |it_fits: bool| it_fits && fits(rest, path, at + 1);
    match piece {
        Piece::Char(wanted) => takes_one(next == Some(*wanted)),
        Piece::One => takes_one(next.is_some_and(|c| c != '/')),
        Piece::Class(is_negative, ranges) => {
            takes_one(next.is_some_and(|c| {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *is_negative
            }))
        }
        Piece::Start => at == 0 && fits(rest, path, at),
        Piece::Rest => true,
        Piece::Star => fits(rest, path, at) || (next.is_some_and(|c| c != '/') && fits(pieces, path, at + 1)),
        Piece::Directories => {
            let behind_slashes = (at..path.len()).filter(|end| path[*end] == '/').map(|end| end + 1);
            fits(rest, path, at) || behind_slashes.into_iter().any(|from| fits(rest, path, from))
        }
    }
}

/// Which lines speak about a path: a line that spoke about a directory speaks about all in it; any other is asked
/// only when it could change what was decided so far.
fn speaking(lines: &[Line], path: &str) -> (Vec<bool>, bool) {
    let above = path.rsplit_once('/').map(|(directory, _)| speaking(lines, directory).0);
    let mut is_out = false;
    let mut speaking = Vec::with_capacity(lines.len());
    for (index, line) in lines.iter().enumerate() {
        let is_inherited = above.as_ref().is_some_and(|above| above[index]);
        let speaks = is_inherited || (line.brings_back == is_out && line.matches(path));
        if speaks {
            is_out = !line.brings_back;
        }
        speaking.push(speaks);
    }
    (speaking, is_out)
}

/// Numbers that look random and are the same every time, see Steele and others, "Fast splittable pseudorandom
/// number generators".
struct Random(u64);

impl Random {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % count as u64).expect("it is below a usize")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Up to `count` of them, one behind another.
    fn some(&mut self, from: &[&str], count: usize) -> String {
        (0..=self.below(count)).map(|_| self.pick(from)).collect()
    }
}

const MARKS: [&str; 8] = ["", "", "", "", "", "!", "!", "! "];

const PATTERN_PIECES: [&str; 40] = [
    "a", "a", "b", "b", "c", "ab", ".", "-", "é", "/", "/", "/", "/", "/", "*", "*", "*", "?", "**", "**",
    "**/", "/**", "/**/", "[ab]", "[a-c]", "[^a]", "[^a-b]", "[.é]", "\\*", "\\?", "\\[", "\\-", "./", "../",
    "^", "$", "+", "(", "{b}", " ",
];

/// Names that the pieces above meet often.
const NAMES: [&str; 20] = [
    "a", "a", "b", "c", "ab", "ba", "abc", ".a", "a.b", "é", "aé", "*", "a*", "?", "[", "-", "^a", "a$",
    "a b", "(",
];

/// One line of an ignore file. A backslash in front of a letter is a class of characters to the reference's regular
/// expressions, and no letter that we make has one.
fn line(random: &mut Random) -> String {
    let (mark, pattern) = (random.pick(&MARKS), random.some(&PATTERN_PIECES, 5));
    // Of the root alone there is nothing to say, and `!` in front of it is a mistake.
    let says_nothing = clean(pattern.trim()).trim_matches(['/', ' ']).is_empty() || pattern.trim().is_empty();
    if says_nothing { "a".to_owned() } else { format!("{mark}{pattern}") }
}

fn path(random: &mut Random) -> String {
    let names: Vec<&str> = (0..=random.below(4)).map(|_| random.pick(&NAMES)).collect();
    names.join("/")
}

#[test]
fn a_million_pairs_agree() {
    let mut random = Random(2026);
    let (mut pairs, mut out) = (0_u64, 0_u64);
    for _ in 0..FILES {
        let file: Vec<String> = (0..=random.below(4)).map(|_| line(&mut random)).collect();
        let file = file.join("\n");
        let (patterns, errors) = Patterns::parse(&file);
        let lines: Vec<Line> = file.lines().filter_map(Line::read).collect();
        assert!(errors.is_empty(), "{file:?} is well formed, not {errors:?}");
        for _ in 0..PATHS {
            let path = path(&mut random);
            let is_out = speaking(&lines, &path).1;
            assert_eq!(patterns.matches(&path).is_excluded(), is_out, "the path {path:?}, the file {file:?}");
            pairs += 1;
            out += u64::from(is_out);
        }
    }
    assert_eq!(pairs, 1_000_000);
    // A test in which nothing happens shows nothing.
    assert!((100_000..900_000).contains(&out), "{out} of the paths are out");
}
