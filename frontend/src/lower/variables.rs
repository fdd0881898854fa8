//! Expansion inside a stage, `ARG` and `ENV`.

use std::ops::Range;

use super::Lowering;
use super::stage::StageState;
use crate::ast::{Arg, Instruction, Pair, Word};
use crate::diagnostic::Diagnostic;
use crate::environment::Variables;
use crate::expand::{Expander, Expansion};
use crate::lint;
use crate::plan::Purpose;

/// Arguments that ask the builder for a list of packages: no step sees them.
const STEERING_ARGS: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

type Result<T> = std::result::Result<T, Box<Diagnostic>>;

impl Lowering<'_> {
    /// Expands a word of an instruction.
    pub(super) fn expand(&mut self, state: &StageState, word: &Word) -> Result<String> {
        let expander = self.plan.expander();
        if expander.is_plain(&word.value) {
            self.spend(word.value.len(), &word.span)?;
            return Ok(word.value.clone());
        }
        Ok(self.expand_with(expander, state, &word.value, &word.span)?.text)
    }

    /// Expands all words of an instruction.
    pub(super) fn expand_all(&mut self, state: &StageState, words: &[Word]) -> Result<Vec<String>> {
        words.iter().map(|word| self.expand(state, word)).collect()
    }

    /// Expands an optional word of an instruction.
    pub(super) fn expand_option(
        &mut self,
        state: &StageState,
        word: Option<&Word>,
    ) -> Result<Option<String>> {
        let expanded = word.map(|word| self.expand(state, word)).transpose()?;
        Ok(expanded.filter(|text| !text.is_empty()))
    }

    /// Expands a text and reports variables that have no value.
    pub(super) fn expand_with(
        &mut self,
        expander: Expander,
        state: &StageState,
        text: &str,
        span: &Range<usize>,
    ) -> Result<Expansion> {
        let expansion = self.expand_silently(expander, state, text, span)?;
        for name in &expansion.unset {
            self.report_unset(state, name, span);
        }
        Ok(expansion)
    }

    /// Expands a text; variables that have no value are nothing.
    pub(super) fn expand_silently(
        &mut self,
        expander: Expander,
        state: &StageState,
        text: &str,
        span: &Range<usize>,
    ) -> Result<Expansion> {
        let expansion = expander.expand(text, &state.env);
        let expansion = expansion.map_err(|error| Box::new(error.diagnostic(text, span)))?;
        self.spend(expansion.work_bytes + expansion.text.len(), span)?;
        Ok(expansion)
    }

    fn report_unset(&mut self, state: &StageState, name: &str, span: &Range<usize>) {
        let is_declared = state.args.iter().any(|(arg, _)| arg == name) || STEERING_ARGS.contains(&name);
        // A base that is not known can have set it.
        if !is_declared && !state.base_is_unknown {
            let (globals, suggester) = (&self.plan.global_args, &mut self.diagnostics.suggester);
            let finding = lint::undefined_var(name, span, &state.env, globals, suggester);
            self.diagnostics.push(finding);
        }
    }

    pub(super) fn env(&mut self, state: &mut StageState, pairs: &[Pair]) -> Result<()> {
        let expanded = self.expand_pairs(state, pairs)?;
        let mut created_by = "ENV".to_owned();
        for ((name, value), pair) in expanded.iter().zip(pairs) {
            let secret = lint::secrets_used_in_arg_or_env("ENV", name, &pair.name.span);
            secret.into_iter().for_each(|finding| self.diagnostics.push(finding));
            created_by.push_str(&format!(" {name}={value}"));
            state.env.set(name, value);
            state.image_env.set(name, value);
        }
        state.record(created_by, None);
        Ok(())
    }

    /// Expands all pairs of an instruction before any of them is set.
    pub(super) fn expand_pairs(
        &mut self,
        state: &StageState,
        pairs: &[Pair],
    ) -> Result<Vec<(String, String)>> {
        let expand_pair =
            |pair: &Pair| Ok((self.expand(state, &pair.name)?, self.expand(state, &pair.value)?));
        pairs.iter().map(expand_pair).collect()
    }

    pub(super) fn arg(
        &mut self,
        state: &mut StageState,
        instruction: &Instruction,
        args: &[Arg],
    ) -> Result<()> {
        let mut declared = Vec::new();
        for arg in args {
            let name = &arg.name.value;
            let secret = lint::secrets_used_in_arg_or_env("ARG", name, &arg.name.span);
            secret.into_iter().for_each(|finding| self.diagnostics.push(finding));
            let plan = self.plan;
            let value = match (plan.options.build_args.get(name), &arg.value) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(state, default)?),
                (None, None) => plan.global_args.get(name).map(str::to_owned),
            };
            self.spend(value.as_ref().map_or(0, String::len), &arg.name.span)?;
            if self.purpose == Purpose::Outline {
                self.take_arg(state.index, instruction, arg, value.as_deref());
            }
            if let Some(value) = value.as_ref().filter(|_| !STEERING_ARGS.contains(&name.as_str())) {
                state.env.set(name, value);
            }
            declared.push(match &value {
                Some(value) => format!("{name}={value}"),
                None => name.clone(),
            });
            match state.args.iter_mut().find(|(declared, _)| declared == name) {
                Some(earlier) => earlier.1 = value,
                None => state.args.push((name.clone(), value)),
            }
        }
        state.record(format!("ARG {}", declared.join(" ")), None);
        Ok(())
    }
}
