use super::*;

/// Whether a list of patterns, one per blank, excludes a path.
fn excluded(patterns: &str, path: &str) -> bool {
    Patterns::new(patterns.split(' ')).expect("the patterns are good").matches(path).is_excluded()
}

#[test]
fn single_patterns() {
    for (pattern, yes, no) in [
        ("a", "a a/b a/b/c", "b ab b/a"),
        ("a/b", "a/b a/b/c", "a b a/c x/a/b"),
        ("*.md", "x.md .md", "x.mdx d/x.md"),
        ("*/a", "d/a d/a/x", "a d/e/a"),
        ("?", "a é a/b", "ab"),
        ("a?c", "abc aéc", "ac a/c"),
        ("**", "a a/b", ""),
        ("**/a", "a d/a d/e/a d/a/b", "ba d/ba"),
        ("**a", "a ba d/a d/ba", "ab"),
        ("a/**", "a/b a/b/c", "a b"),
        ("a**", "a ab a/b", "b"),
        ("**/*.go", "x.go d/x.go d/e/x.go", "x.gox"),
        ("a/**/b", "a/b a/x/b a/x/y/b", "ab a/xb"),
        ("a**b", "ab a/b ax/b", "axb"),
        ("**/x/**", "x/a d/x/a", "x"),
        ("[ab]", "a b", "c"),
        ("[^ab]", "c", "a b"),
        ("[a-c]x", "ax cx", "dx"),
        ("[a\\-c]", "a - c", "b"),
        ("[\\]a]", "] a", "b"),
        ("[&~]x", "&x ~x", "ax"),
        ("a\\*", "a*", "ab"),
        ("a.b", "a.b", "axb"),
        ("a{b,c}", "a{b,c}", "ab"),
        ("a+b$c^", "a+b$c^", "aab"),
        ("./a", "a", ""),
        ("a/", "a a/b", ""),
        ("a//b", "a/b", ""),
        ("a/../b", "b", "a"),
        ("\\d*", "1 12", "d"),
    ] {
        for path in yes.split_whitespace() {
            assert!(excluded(pattern, path), "{pattern} excludes {path}");
        }
        for path in no.split_whitespace() {
            assert!(!excluded(pattern, path), "{pattern} does not exclude {path}");
        }
    }
}

#[test]
fn the_last_pattern_that_matches_wins() {
    for (patterns, path, expected) in [
        ("* !a", "a", false),
        ("* !a", "a/b", false),
        ("* !a", "b", true),
        ("a !a/b", "a/b", false),
        ("a !a/b", "a/b/c", false),
        ("a !a/b", "a/c", true),
        ("!a a", "a", true),
        ("** !d", "d/e", false),
        ("** !**/*.md", "d/x.md", false),
        ("*.md !README.md", "README.md", false),
        ("*.md !README*.md README-secret.md", "README-secret.md", true),
        ("a !a a/b", "a/b", true),
        // A pattern that was not tried on the directory, since it could not change the decision, is not
        // remembered for what is in it.
        ("a !a/b a", "a/b", false),
    ] {
        assert_eq!(excluded(patterns, path), expected, "{patterns} {path}");
    }
    assert!(!excluded("*", "."));
}

#[test]
fn files_have_comments_and_blanks() {
    let text = "\u{feff}# comment\r\n\r\n /a/ \n!  a/b\n\t\n #no-comment\n";
    let (patterns, errors) = Patterns::parse(text);
    assert_eq!(errors, []);
    let shown: Vec<_> = (1..=7).filter_map(|line| patterns.pattern(line)).collect();
    assert_eq!(shown, ["a", "!a/b", "#no-comment"]);
    assert_eq!(patterns.matches("a/c"), Match::Excluded { line: 3 });
    assert_eq!(patterns.matches("a/b"), Match::Included);
    assert_eq!(patterns.matches("#no-comment"), Match::Excluded { line: 6 });
}

#[test]
fn wrong_lines_are_reported_and_left_out() {
    let text = "a\n!\n[\nb[a-\n[]a]\nc\\\n[b-a]\n[[:nope:]]\nd\n";
    let (patterns, errors) = Patterns::parse(text);
    let shown: Vec<_> =
        errors.iter().map(|error| format!("{} {}", &text[error.span.clone()], error.message)).collect();
    insta::assert_snapshot!(shown.join("\n"), @r"
    ! `!` without a pattern
    [ syntax error in the pattern `[`
    b[a- syntax error in the pattern `b[a-`
    []a] syntax error in the pattern `[]a]`
    c\ syntax error in the pattern `c\`
    [b-a] syntax error in the pattern `[b-a]`
    [[:nope:]] syntax error in the pattern `[[:nope:]]`
    ");
    assert!(patterns.matches("a").is_excluded() && patterns.matches("d").is_excluded());
}

#[test]
fn directories_are_pruned_when_nothing_in_them_can_come_back() {
    for (patterns, directory, expected) in [
        ("a", "a", true),
        ("a", "b", false),
        ("a !b", "a", true),
        ("a !a/b", "a", false),
        ("a !a/b/c", "a/b", false),
        ("a !a/b/c", "a/x", true),
        ("a !*.md", "a", true),
        ("a !*/*.md", "a", false),
        ("a !*/*.md", "a/b", true),
        ("a !**/*.md", "a/b", false),
        ("a !a/**", "a/b/c", false),
        ("a !b/**", "a", true),
        ("a !a/[bc]/d", "a/b/c", false),
        ("a !x[bc]/d", "a/b", true),
    ] {
        let patterns_read = Patterns::new(patterns.split(' ')).unwrap();
        assert_eq!(patterns_read.can_prune(directory), expected, "{patterns} {directory}");
    }
}

#[test]
fn too_much_is_refused() {
    let many = "a\n".repeat(IGNORE_PATTERNS_MAX + 1);
    assert_eq!(Patterns::parse(&many).1.len(), 1);
    let long = format!("{}\n{}\n", "x".repeat(5000), "?".repeat(600));
    assert_eq!(Patterns::parse(&long).1.len(), 2);
    assert_eq!(Patterns::parse(&"a".repeat(IGNORE_BYTES_MAX + 1)).1.len(), 1);
}

/// A second implementation, by recursion over the letters and without regular expressions.
mod oracle {
    /// Whether `patterns` exclude `path`: the decision at each level, pattern by pattern.
    pub(super) fn excluded(patterns: &[&str], path: &str) -> bool {
        let names: Vec<&str> = path.split('/').collect();
        let mut above: Vec<bool> = vec![false; patterns.len()];
        let mut excluded = false;
        for level in 1..=names.len() {
            let path = names[..level].join("/");
            excluded = false;
            for (index, written) in patterns.iter().enumerate() {
                let (brings_back, pattern) = match written.strip_prefix('!') {
                    Some(rest) => (true, rest),
                    None => (false, *written),
                };
                if !above[index] && brings_back == excluded {
                    above[index] = matches(pattern, &path);
                }
                if above[index] {
                    excluded = !brings_back;
                }
            }
        }
        excluded
    }

    fn matches(pattern: &str, path: &str) -> bool {
        let has_meta = |text: &str| text.contains(['*', '?', '[', ']', '\\']);
        if let Some(rest) = pattern.strip_prefix("**").filter(|rest| !has_meta(rest)) {
            return path.ends_with(rest) || rest.strip_prefix('/') == Some(path);
        }
        if let Some(rest) = pattern.strip_suffix("**").filter(|rest| !has_meta(rest)) {
            return path.starts_with(rest);
        }
        let pattern: Vec<char> = pattern.chars().collect();
        let path: Vec<char> = path.chars().collect();
        glob(&pattern, &path)
    }

    fn glob(pattern: &[char], path: &[char]) -> bool {
        match pattern {
            [] => path.is_empty(),
            ['*', '*', rest @ ..] => {
                let rest = rest.strip_prefix(&['/']).unwrap_or(rest);
                let starts = (0..=path.len()).filter(|at| *at == 0 || path[at - 1] == '/');
                rest.is_empty() || starts.into_iter().any(|at| glob(rest, &path[at..]))
            }
            ['*', rest @ ..] => {
                let end = path.iter().position(|c| *c == '/').unwrap_or(path.len());
                (0..=end).any(|at| glob(rest, &path[at..]))
            }
            ['?', rest @ ..] => matches!(path, [c, left @ ..] if *c != '/' && glob(rest, left)),
            ['[', '^', a, ']', rest @ ..] => matches!(path, [c, left @ ..] if c != a && glob(rest, left)),
            ['[', a, '-', b, ']', rest @ ..] => {
                matches!(path, [c, left @ ..] if (a..=b).contains(&c) && glob(rest, left))
            }
            ['\\', a, rest @ ..] => matches!(path, [c, left @ ..] if c == a && glob(rest, left)),
            [a, rest @ ..] => matches!(path, [c, left @ ..] if c == a && glob(rest, left)),
        }
    }
}

/// Numbers from a seed (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn text(&mut self, parts: &[&str], count_max: usize) -> String {
        (0..=self.below(count_max)).map(|_| self.pick(parts)).collect()
    }
}

/// A clean pattern, as both implementations expect it.
fn pattern(numbers: &mut Numbers) -> String {
    const PARTS: [&str; 12] = ["a", "b", "/", "/", "*", "**", "**/", "?", "[a-b]", "[^a]", "\\*", "a.b"];
    let mark = if numbers.below(3) == 0 { "!" } else { "" };
    loop {
        let text = clean(&numbers.text(&PARTS, 5));
        // A path that leaves the root, or is it, never matches.
        let relative = text.trim_start_matches('/');
        if !relative.is_empty() && !relative.starts_with('.') {
            return format!("{mark}{relative}");
        }
    }
}

fn path(numbers: &mut Numbers) -> String {
    let names: Vec<String> =
        (0..=numbers.below(3)).map(|_| numbers.text(&["a", "b", "c", "a.b", "*"], 2)).collect();
    names.join("/")
}

/// A million pairs, the same each time; a fifth of them without optimisation.
#[test]
fn agrees_with_a_second_implementation() {
    const LISTS: usize = if cfg!(debug_assertions) { 200 } else { 1_000 };
    const PATHS: usize = 1_000;
    let mut numbers = Numbers(0x5eed_1e55_0dd5);
    for _ in 0..LISTS {
        let list: Vec<String> = (0..=numbers.below(4)).map(|_| pattern(&mut numbers)).collect();
        let list: Vec<&str> = list.iter().map(String::as_str).collect();
        let patterns = Patterns::new(list.iter().copied()).expect("generated patterns are good");
        for _ in 0..PATHS {
            let path = path(&mut numbers);
            let excluded = patterns.matches(&path).is_excluded();
            assert_eq!(excluded, oracle::excluded(&list, &path), "{list:?} {path}");
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            if !excluded && !directory.is_empty() {
                assert!(!patterns.can_prune(directory), "{list:?}: {directory} holds {path}");
            }
        }
    }
}
