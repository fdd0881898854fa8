//! The `WWW-Authenticate` header, RFC 9110, section 11.6.1.

use crate::limits::CHALLENGES_MAX;

/// One way to authenticate that a server offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// `bearer` or `basic`, in lower case.
    pub scheme: String,
    /// Parameters in order, names in lower case.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first parameter of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Reads a header, which may hold several challenges. What cannot be understood is left out.
pub fn challenges(header: &str) -> Vec<Challenge> {
    let mut scanner = Scanner { rest: header };
    let mut found: Vec<Challenge> = Vec::new();
    while !scanner.rest.is_empty() && found.len() < CHALLENGES_MAX {
        scanner.skip_separators();
        let Some(word) = scanner.token() else {
            scanner.skip_item();
            continue;
        };
        scanner.skip_spaces();
        // A word with a value belongs to the challenge before it; one without begins a challenge.
        if scanner.eat('=') {
            scanner.skip_spaces();
            let Some(value) = scanner.value() else { continue };
            if let Some(challenge) = found.last_mut() {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
            }
        } else {
            found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
        }
    }
    found
}

struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t']);
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
    }

    /// Goes behind what makes no sense, at least one character.
    fn skip_item(&mut self) {
        let first = self.rest.chars().next().map_or(0, char::len_utf8);
        self.rest = &self.rest[first..];
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// A token of RFC 9110, section 5.6.2.
    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn value(&mut self) -> Option<String> {
        if !self.eat('"') {
            return self.token().map(str::to_owned);
        }
        let mut value = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Some(value);
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        // The quote is never closed.
        self.rest = "";
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(header: &str) -> String {
        let show = |challenge: Challenge| {
            let parameters: Vec<_> =
                challenge.parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
            format!("{} [{}]", challenge.scheme, parameters.join("; "))
        };
        challenges(header).into_iter().map(show).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn headers_of_registries() {
        insta::assert_snapshot!(
            shown(r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#),
            @"bearer [realm=https://auth.docker.io/token; service=registry.docker.io; scope=repository:a/b:pull,push]"
        );
        insta::assert_snapshot!(shown(r#"Basic realm="Registry Realm""#), @"basic [realm=Registry Realm]");
        insta::assert_snapshot!(
            shown(r#"BASIC Realm = "a, \"b\"" , Bearer realm=x , service="y""#),
            @r#"basic [realm=a, "b"] | bearer [realm=x; service=y]"#
        );
    }

    #[test]
    fn nonsense_is_left_out() {
        insta::assert_snapshot!(shown(r#"realm="x", Bearer realm="never closed"#), @"bearer []");
        insta::assert_snapshot!(shown("=,=\"\u{e9},, Basic"), @"basic []");
        assert_eq!(challenges(&"Basic ,".repeat(10_000)).len(), CHALLENGES_MAX);
        assert_eq!(shown(""), "");
    }
}
