//! Build checks: what builds, but should be written otherwise.
//!
//! Names, messages and addresses are those of BuildKit's checks, so that what people have written down about
//! them (`# check=skip=...`, documentation, tools that read the output) is true here too. One file for each
//! rule: it says what the rule is called and how it finds or words a finding. Rules that look at the text of
//! the whole file run in `of_file`, those that need the arguments of the build in `of_stages`; the others
//! are asked while a stage is lowered, where the values of variables are known.

mod checks;
mod consistent_instruction_casing;
mod copy_ignored_file;
mod duplicate_stage_name;
mod expose_invalid_format;
mod expose_proto_casing;
mod from_as_casing;
mod from_platform_flag_const_disallowed;
mod invalid_base_image_platform;
mod invalid_default_arg_in_from;
mod invalid_definition_description;
mod invalid_json_form;
mod json_args_recommended;
mod legacy_key_value_format;
mod maintainer_deprecated;
mod multiple_instructions_disallowed;
mod no_empty_continuation;
mod options;
mod redundant_target_platform;
mod reserved_stage_name;
mod secrets_used_in_arg_or_env;
mod stage_name_casing;
mod undefined_arg_in_from;
mod undefined_var;
mod workdir_relative_path;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

use crate::ast::Dockerfile;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::environment::{Environment, Variables};
use crate::expand::{ExpandError, Expander, Expansion};
pub(crate) use checks::{Checks, first_word};
pub(crate) use copy_ignored_file::finding as copy_ignored_file;
pub(crate) use expose_invalid_format::finding as expose_invalid_format;
pub(crate) use expose_proto_casing::finding as expose_proto_casing;
pub(crate) use invalid_base_image_platform::finding as invalid_base_image_platform;
pub(crate) use json_args_recommended::finding as json_args_recommended;
pub(crate) use legacy_key_value_format::finding as legacy_key_value_format;
pub(crate) use multiple_instructions_disallowed::UsedOnce;
pub use options::{CheckOptionError, CheckOptions};
pub(crate) use secrets_used_in_arg_or_env::finding as secrets_used_in_arg_or_env;
pub(crate) use undefined_var::finding as undefined_var;
pub(crate) use workdir_relative_path::finding as workdir_relative_path;

/// One build check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as `# check=skip=` takes it.
    pub name: &'static str,
    /// What it wants.
    pub description: &'static str,
    /// Where to read more; empty for a rule that BuildKit does not have.
    pub url: &'static str,
    /// It says nothing unless `# check=experimental=` names it.
    pub experimental: bool,
}

impl Rule {
    /// Whether a finding may make a check or a build fail. Those of rules that BuildKit does not have are told and
    /// no more: what passes there passes here.
    pub fn is_binding(&self) -> bool {
        !self.url.is_empty()
    }

    /// A finding of this rule.
    fn finding(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::warning(self.name, span, message)
    }
}

/// All rules.
pub const RULES: [&Rule; 23] = [
    &consistent_instruction_casing::RULE,
    &copy_ignored_file::RULE,
    &duplicate_stage_name::RULE,
    &expose_invalid_format::RULE,
    &expose_proto_casing::RULE,
    &from_as_casing::RULE,
    &from_platform_flag_const_disallowed::RULE,
    &invalid_base_image_platform::RULE,
    &invalid_default_arg_in_from::RULE,
    &invalid_definition_description::RULE,
    &invalid_json_form::RULE,
    &json_args_recommended::RULE,
    &legacy_key_value_format::RULE,
    &maintainer_deprecated::RULE,
    &multiple_instructions_disallowed::RULE,
    &no_empty_continuation::RULE,
    &redundant_target_platform::RULE,
    &reserved_stage_name::RULE,
    &secrets_used_in_arg_or_env::RULE,
    &stage_name_casing::RULE,
    &undefined_arg_in_from::RULE,
    &undefined_var::RULE,
    &workdir_relative_path::RULE,
];

/// The rule of a name.
pub fn rule(name: &str) -> Option<&'static Rule> {
    RULES.into_iter().find(|rule| rule.name == name)
}

/// The rules that need the file and nothing else.
pub(crate) fn of_file(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let rules = [
        consistent_instruction_casing::check,
        duplicate_stage_name::check,
        from_as_casing::check,
        invalid_definition_description::check,
        invalid_json_form::check,
        maintainer_deprecated::check,
        no_empty_continuation::check,
        reserved_stage_name::check,
        stage_name_casing::check,
    ];
    rules.iter().for_each(|check| check(dockerfile, diagnostics));
}

/// The rules that need the instructions in front of `end` and nothing else: what there is to say about a file that
/// cannot be understood from there on.
pub(crate) fn in_front_of(end: usize, dockerfile: &Dockerfile, checks: &Checks) -> Vec<Diagnostic> {
    let rules = [
        from_as_casing::check,
        invalid_definition_description::check,
        invalid_json_form::check,
        maintainer_deprecated::check,
        no_empty_continuation::check,
        stage_name_casing::check,
    ];
    let mut diagnostics = Diagnostics::new(checks.clone());
    rules.iter().for_each(|check| check(dockerfile, &mut diagnostics));
    let mut found = diagnostics.into_sorted();
    found.retain(|it| it.span.start < end || it.rule == no_empty_continuation::RULE.name);
    found
}

/// What the rules for `FROM` look at.
pub(crate) struct Stages<'a> {
    /// The file.
    pub(crate) dockerfile: &'a Dockerfile,
    /// The arguments in front of the first `FROM`, those of the user included.
    pub(crate) global_args: &'a Environment,
    /// The same without what the user set.
    pub(crate) default_args: &'a Environment,
}

/// The rules for `FROM`, which need the arguments of the build.
pub(crate) fn of_stages(stages: &Stages<'_>, diagnostics: &mut Diagnostics) {
    let rules = [
        from_platform_flag_const_disallowed::check,
        invalid_default_arg_in_from::check,
        redundant_target_platform::check,
        undefined_arg_in_from::check,
    ];
    rules.iter().for_each(|check| check(stages, diagnostics));
}

/// A text with its variables replaced, and which of them had a value.
struct Substituted {
    expansion: Expansion,
    used: BTreeSet<String>,
}

/// Expands a text and notes which variables it looks up.
fn substitute(text: &str, escape: char, variables: &Environment) -> Result<Substituted, ExpandError> {
    let noting = Noting { variables, used: RefCell::default() };
    let expansion = Expander::new(escape).expand(text, &noting)?;
    Ok(Substituted { expansion, used: noting.used.into_inner() })
}

/// The variables with a value that a text uses; none when it cannot be expanded.
pub(crate) fn names_used(text: &str, escape: char, variables: &Environment) -> BTreeSet<String> {
    substitute(text, escape, variables).map(|substituted| substituted.used).unwrap_or_default()
}

/// Remembers which variables were there.
struct Noting<'e> {
    variables: &'e Environment,
    used: RefCell<BTreeSet<String>>,
}

impl Variables for Noting<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name)?;
        self.used.borrow_mut().insert(name.to_owned());
        Some(value)
    }
}
