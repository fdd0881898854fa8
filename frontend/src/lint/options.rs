//! `# check=skip=...;error=...;experimental=...`, and the build argument that takes its place.

use std::collections::BTreeSet;

use super::Rule;

/// The word that stands for every rule.
const ALL: &str = "all";

/// Options of one kind at most, as in BuildKit.
const OPTIONS_MAX: usize = 3;

/// Which checks are made, and what a finding means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckOptions {
    /// Rules that are not applied.
    pub skip: Selection,
    /// Experimental rules that are applied.
    pub experimental: Selection,
    /// A finding keeps the file from being built.
    pub error: bool,
}

/// Some rules, or all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every rule.
    All,
    /// The rules of these names.
    Named(BTreeSet<String>),
}

impl Default for Selection {
    fn default() -> Self {
        Self::Named(BTreeSet::new())
    }
}

impl Selection {
    fn parse(text: &str) -> Self {
        match text.trim() {
            ALL => Self::All,
            names => Self::Named(names.split(',').map(|name| name.trim().to_owned()).collect()),
        }
    }

    fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }
}

/// Why a text does not say which checks to make.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckOptionError {
    /// There is no such option, or it has no value.
    #[error("invalid check option `{option}`: expected `skip=`, `error=` or `experimental=`")]
    Unknown {
        /// The option.
        option: String,
    },
    /// `error` is yes or no.
    #[error("`error` of the check options is `true` or `false`, not `{value}`")]
    Boolean {
        /// What was given.
        value: String,
    },
}

impl CheckOptionError {
    /// The same in BuildKit's words.
    pub(crate) fn buildkit(&self) -> String {
        match self {
            Self::Unknown { option } => format!("invalid check option {option:?}"),
            Self::Boolean { value } => format!(
                "failed to parse check option \"error={value}\": strconv.ParseBool: parsing {value:?}: invalid syntax"
            ),
        }
    }
}

impl CheckOptions {
    /// The name of the directive, and of nothing else.
    pub(crate) const DIRECTIVE: &'static str = "check";

    /// The build argument that takes the place of the directive.
    pub const BUILD_ARG: &'static str = "BUILDKIT_DOCKERFILE_CHECK";

    /// Reads `skip=A,B;error=true;experimental=all`, in any order; an empty text means the default.
    ///
    /// # Errors
    ///
    /// When an option is unknown or has no value.
    pub fn parse(text: &str) -> Result<Self, CheckOptionError> {
        let mut options = Self::default();
        if text.trim().is_empty() {
            return Ok(options);
        }
        for option in text.splitn(OPTIONS_MAX, ';') {
            let unknown = || CheckOptionError::Unknown { option: option.trim().to_owned() };
            let (name, value) = option.split_once('=').ok_or_else(unknown)?;
            match name.trim() {
                "skip" => options.skip = Selection::parse(value),
                "experimental" => options.experimental = Selection::parse(value),
                "error" => options.error = boolean(value.trim())?,
                _ => return Err(unknown()),
            }
        }
        Ok(options)
    }

    /// Whether a rule is applied.
    pub fn applies(&self, rule: &Rule) -> bool {
        if rule.experimental { self.experimental.has(rule.name) } else { !self.skip.has(rule.name) }
    }
}

/// A boolean as Go reads it.
fn boolean(text: &str) -> Result<bool, CheckOptionError> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        other => Err(CheckOptionError::Boolean { value: other.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::rule;

    fn applied(text: &str) -> String {
        let options = match CheckOptions::parse(text) {
            Ok(options) => options,
            Err(error) => return error.to_string(),
        };
        let applies = |name| options.applies(rule(name).expect("a rule"));
        let names = ["UndefinedVar", "StageNameCasing", "CopyIgnoredFile", "InvalidDefinitionDescription"];
        let letters =
            names.map(|name| if applies(name) { name.chars().next().expect("a letter") } else { '-' });
        format!("{}{}", String::from_iter(letters), if options.error { " error" } else { "" })
    }

    #[test]
    fn options_choose_rules() {
        for (text, expected) in [
            ("", "US--"),
            (" ", "US--"),
            ("skip=UndefinedVar", "-S--"),
            ("skip = StageNameCasing , UndefinedVar", "----"),
            ("skip=all", "----"),
            ("experimental=all", "USCI"),
            ("skip=all;experimental=CopyIgnoredFile", "--C-"),
            ("error=true; skip=UndefinedVar ;experimental=all", "-SCI error"),
            ("error=0", "US--"),
            ("skip=", "US--"),
            ("skip", "invalid check option `skip`: expected `skip=`, `error=` or `experimental=`"),
            ("ship=all", "invalid check option `ship=all`: expected `skip=`, `error=` or `experimental=`"),
            ("error=yes", "`error` of the check options is `true` or `false`, not `yes`"),
        ] {
            assert_eq!(applied(text), expected, "{text}");
        }
    }
}
