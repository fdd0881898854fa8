//! Explains why a source of a `COPY` is not there.

use std::ops::Range;

use crate::ignore::{Match, Patterns};
use crate::{Diagnostic, nearest};

/// A source that an operation did not find.
#[derive(Debug, Clone)]
pub struct MissingSource<'a> {
    /// The source as the operation has it.
    pub source: &'a str,
    /// Where files were looked for: `the build context`, or ``stage `build` ``.
    pub place: &'a str,
    /// The patterns that hide files there, if any.
    pub patterns: Option<&'a Patterns>,
    /// What the file with the patterns is called.
    pub ignore_file: &'a str,
    /// Names that are in the directory where the source should be.
    pub names: &'a [String],
}

impl MissingSource<'_> {
    /// The finding; `instruction` is the byte range of the instruction in the text of the Dockerfile.
    pub fn diagnostic(&self, text: &str, instruction: &Range<usize>) -> Diagnostic {
        let message = format!("`{}` is not in {}", self.source, self.place);
        let span = self.span(text, instruction);
        Diagnostic::error("MissingSource", span, message).with_help(self.hidden().or_else(|| self.near()))
    }

    fn hidden(&self) -> Option<String> {
        let patterns = self.patterns?;
        let path = self.source.trim_matches('/');
        let Match::Excluded { line } = patterns.matches(path) else { return None };
        let pattern = patterns.pattern(line).unwrap_or_default();
        Some(format!("line {line} of {} excludes it: `{pattern}`", self.ignore_file))
    }

    fn near(&self) -> Option<String> {
        let path = self.source.trim_end_matches('/');
        let (directory, name) = match path.rsplit_once('/') {
            Some((directory, name)) => (format!("{directory}/"), name),
            None => (String::new(), path),
        };
        if self.names.iter().any(|known| known == name) {
            return Some("it is a symbolic link that leads to nothing there".to_owned());
        }
        let near = nearest(name, self.names.iter().map(String::as_str))?;
        Some(format!("did you mean `{directory}{near}`?"))
    }

    /// The source in the instruction, or the instruction where it is not written like that.
    fn span(&self, text: &str, instruction: &Range<usize>) -> Range<usize> {
        let Some(code) = text.get(instruction.clone()) else { return instruction.clone() };
        let ends = |c: Option<char>| {
            c.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '/' | '.' | ',' | '='))
        };
        // What is mounted has been made absolute.
        let written = [self.source, self.source.trim_start_matches('/')];
        let found = written.into_iter().filter(|word| !word.is_empty()).find_map(|word| {
            let is_word = |at: &usize| {
                ends(code[..*at].chars().next_back()) && ends(code[at + word.len()..].chars().next())
            };
            code.match_indices(word).map(|(at, _)| at).find(is_word).map(|at| at..at + word.len())
        });
        found.map_or(instruction.clone(), |at| instruction.start + at.start..instruction.start + at.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render;

    fn explain(text: &str, source: &str, ignore: &str, names: &[&str]) -> String {
        let (patterns, _) = Patterns::parse(ignore);
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let missing = MissingSource {
            source,
            place: "the build context",
            patterns: Some(&patterns),
            ignore_file: ".dockerignore",
            names: &names,
        };
        render(&missing.diagnostic(text, &(0..text.len())), "Dockerfile", text)
    }

    #[test]
    fn names_the_line_that_hides_it() {
        insta::assert_snapshot!(explain("COPY cfg ./cfg/a.cfg /", "cfg/a.cfg", "# no\n*.md\ncfg/*.cfg\n", &[]), @r"
        error: `cfg/a.cfg` is not in the build context
         --> Dockerfile:1:12
        1 | COPY cfg ./cfg/a.cfg /
          |            ^^^^^^^^^ help: line 3 of .dockerignore excludes it: `cfg/*.cfg`
        ");
    }

    #[test]
    fn a_name_that_is_there_is_a_link_to_nothing() {
        insta::assert_snapshot!(explain("COPY a /", "a", "", &["a", "b"]), @r"
        error: `a` is not in the build context
         --> Dockerfile:1:6
        1 | COPY a /
          |      ^ help: it is a symbolic link that leads to nothing there
        ");
    }

    #[test]
    fn what_is_mounted_is_found_without_its_slash() {
        let text = "RUN --mount=source=app \\\n --mount=source=go.sun,target=/x go";
        insta::assert_snapshot!(explain(text, "/go.sun", "", &["go.sum"]), @"
        error: `/go.sun` is not in the build context
         --> Dockerfile:2:17
        2 |  --mount=source=go.sun,target=/x go
          |                 ^^^^^^ help: did you mean `/go.sum`?
        ");
    }

    #[test]
    fn suggests_a_near_name() {
        insta::assert_snapshot!(explain("COPY src/mian.c /", "src/mian.c", "", &["main.c", "util.c"]), @r"
        error: `src/mian.c` is not in the build context
         --> Dockerfile:1:6
        1 | COPY src/mian.c /
          |      ^^^^^^^^^^ help: did you mean `src/main.c`?
        ");
    }
}
