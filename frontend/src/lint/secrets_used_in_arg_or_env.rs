//! What is secret does not go through `ARG` and `ENV`, which stay in the image.

use std::ops::Range;

use super::Rule;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "SecretsUsedInArgOrEnv",
    description: "Sensitive data should not be used in the ARG or ENV commands",
    url: "https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/",
    experimental: false,
};

/// Words of a name that tell of a secret.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Words of a name that take it back.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

/// The finding for a variable whose name tells of a secret; `keyword` is `ARG` or `ENV`.
pub(crate) fn finding(keyword: &str, name: &str, span: &Range<usize>) -> Option<Diagnostic> {
    let has = |wanted: &str| name.split('_').any(|word| word.eq_ignore_ascii_case(wanted));
    if !SECRET.iter().any(|word| has(word)) || HARMLESS.iter().any(|word| has(word)) {
        return None;
    }
    let message = format!("Do not use ARG or ENV instructions for sensitive data ({keyword} \"{name}\")");
    Some(RULE.finding(span.clone(), message).with_help("mount it with `RUN --mount=type=secret`".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_of_a_name_count() {
        let found = |name: &str| finding("ARG", name, &(0..0)).is_some();
        for name in
            ["KEY", "api_key", "DATABASE_PASSWORD", "GITHUB_TOKEN", "secret_MESSAGE", "Auth", "_token_"]
        {
            assert!(found(name), "{name}");
        }
        for name in [
            "",
            "MONKEY",
            "TOKENS",
            "PASSWORDLESS",
            "PUBLIC_KEY",
            "API-KEY",
            "AUTHOR",
            "TOKEN_FILE",
            "Key_Version",
        ] {
            assert!(!found(name), "{name}");
        }
    }
}
