use proptest::prelude::*;

use super::*;
use crate::environment::{Environment, NoVariables};

fn environment() -> Environment {
    Environment::from_config(
        &["v=value", "empty=", "path=/a/b/c.tar.gz", "HOME=/home/me", "two=a b", "star=a*b"]
            .map(str::to_owned),
    )
}

/// The expanded text, or what is wrong with it.
fn expand(text: &str) -> String {
    match Expander::new('\\').expand(text, &environment()) {
        Ok(expansion) => expansion.text,
        Err(error) => format!("error: {error}"),
    }
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(&expand(text), expected, "{text}");
    }
}

#[test]
fn values_defaults_and_alternatives() {
    check(&[
        ("$v", "value"),
        ("${v}s", "values"),
        ("$vs", ""),
        ("$v-$v", "value-value"),
        ("${nope:-d}", "d"),
        ("${nope-d}", "d"),
        ("${empty:-d}", "d"),
        ("${empty-d}", ""),
        ("${v:+x}", "x"),
        ("${empty:+x}", ""),
        ("${empty+x}", "x"),
        ("${nope+x}", ""),
        ("${nope:-${empty:-$v}}", "value"),
        ("${v:?m}", "value"),
        ("${nope:?do set it}", "error: `nope`: do set it"),
        ("${nope?}", "error: `nope`: is not allowed to be unset"),
        ("${empty:?}", "error: `empty`: is not allowed to be empty"),
        ("${empty?}", ""),
        ("$", "$"),
        ("a$", "a$"),
        ("$ v", "$ v"),
        ("$1a", "a"),
        ("100%", "100%"),
    ]);
}

#[test]
fn patterns() {
    check(&[
        ("${path#/a}", "/b/c.tar.gz"),
        ("${path#*/}", "a/b/c.tar.gz"),
        ("${path##*/}", "c.tar.gz"),
        ("${path%.*}", "/a/b/c.tar"),
        ("${path%%.*}", "/a/b/c"),
        ("${path%.gz}", "/a/b/c.tar"),
        ("${path#nope}", "/a/b/c.tar.gz"),
        ("${path%/?.tar.gz}", "/a/b"),
        ("${star#a\\*}", "b"),
        ("${path/b/x}", "/a/x/c.tar.gz"),
        ("${path//a/x}", "/x/b/c.txr.gz"),
        ("${path/\\//:}", ":a/b/c.tar.gz"),
        ("${path//\\//:}", ":a:b:c.tar.gz"),
        ("${v/a*/u}", "vu"),
        ("${v//?/x}", "xxxxx"),
        ("${v/l}", "error: no second `/` in `${v/`"),
        ("${v#\\a}", "error: invalid pattern `\\a`"),
    ]);
}

#[test]
fn quotes_and_escapes() {
    check(&[
        ("'$v'", "$v"),
        ("\"$v\"", "value"),
        ("\\$v", "$v"),
        ("\"\\$v\"", "$v"),
        ("\"a\\b\"", "a\\b"),
        ("a\\b", "ab"),
        ("a\\\\b", "a\\b"),
        ("'a\"b'", "a\"b"),
        ("\"a'b\"", "a'b"),
        ("a\\", "a"),
        ("'a", "error: no closing `'`"),
        ("\"a", "error: no closing `\"`"),
        ("${v", "error: no closing `}` after `${`"),
        ("${v:-a", "error: no closing `}` after `${`"),
        ("${}", "error: no name after `${`"),
        ("${:-a}", "error: no name after `${`"),
        ("${v^}", "error: unsupported modifier `^` in `${v^}`"),
        ("${v:=a}", "error: unsupported modifier `:=` in `${v:=}`"),
    ]);
}

#[test]
fn words_are_split_after_expansion() {
    let words = |text| Expander::new('\\').expand(text, &environment()).unwrap().words;
    assert_eq!(words("$two c"), ["a", "b", "c"]);
    assert_eq!(words("\"$two\" c"), ["a b", "c"]);
    assert_eq!(words("x$two"), ["xa", "b"]);
    assert_eq!(words("a\\ b"), ["a b"]);
    assert!(words("  ").is_empty());
}

#[test]
fn unset_variables_are_reported_or_kept() {
    let expansion = Expander::new('\\').expand("$a ${b:-x} $a $v", &environment()).unwrap();
    assert_eq!(expansion.unset, ["a", "b"]);
    let keeping = Expander { keep_unset: true, quotes: Quotes::Keep, ..Expander::new('\\') };
    let kept = keeping.expand("'$v' \"$v\" $a ${b} ${c:-$v} ${d/x/y}", &environment()).unwrap();
    assert_eq!(kept.text, "'$v' \"value\" $a ${b} ${c:-value} ${d/x/y}");
}

#[test]
fn bombs_are_refused() {
    let mut environment = Environment::default();
    environment.set("big", &"x".repeat(100_000));
    let expander = Expander::new('\\');
    assert_eq!(expander.expand("$big$big$big", &environment), Err(ExpandError::TooLong));
    let blown = expander.expand("${big//x/xxxxxxxxxxxxxxxxxxxx}", &environment);
    assert_eq!(blown, Err(ExpandError::TooLong));
    let nested = format!("{}x{}", "${a:-".repeat(1000), "}".repeat(1000));
    assert_eq!(expander.expand(&nested, &NoVariables), Err(ExpandError::TooDeep));
    let pattern = format!("${{big#{}}}", "*".repeat(100_000));
    assert_eq!(expander.expand(&pattern, &environment), Err(ExpandError::PatternTooLong));
}

proptest! {
    #[test]
    fn plain_text_expands_to_itself(text in "[a-z0-9 ./:=é-]{0,40}") {
        prop_assert!(Expander::new('\\').is_plain(&text));
        prop_assert_eq!(expand(&text), text);
    }

    #[test]
    fn single_quotes_protect_everything_but_themselves(text in "[^']{0,40}") {
        prop_assert_eq!(expand(&format!("'{text}'")), text);
    }

    #[test]
    fn nothing_panics(text in "[$v{}:+?#%/'\"\\\\* -]{0,30}") {
        let _ = expand(&text);
    }
}
