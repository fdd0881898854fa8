//! What a build takes from its user: arguments, secrets, agents.

use std::ops::Range;

use super::Lowering;
use super::mounts::Options;
use crate::ast::{Arg, Instruction, Mount};

/// The agent that is meant when none is named.
pub(super) const DEFAULT_AGENT: &str = "default";

/// What the stages take, in the order in which they say it.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Arguments of stages.
    pub(crate) args: Vec<TakenArg>,
    /// `--mount=type=secret`.
    pub(crate) secrets: Vec<TakenMount>,
    /// `--mount=type=ssh`.
    pub(crate) agents: Vec<TakenMount>,
}

/// An argument of a stage.
#[derive(Debug)]
pub(crate) struct TakenArg {
    /// The stage, by its place in the file.
    pub(crate) stage: usize,
    pub(crate) name: String,
    /// The value that it has here.
    pub(crate) value: String,
    /// Lines of the comment in front of it.
    pub(crate) comment: Vec<String>,
    /// Byte range of the instruction.
    pub(crate) span: Range<usize>,
    /// It only makes a global argument visible, which is where value and comment are.
    pub(crate) is_global: bool,
}

/// A secret or an agent of a stage.
#[derive(Debug)]
pub(crate) struct TakenMount {
    /// The stage, by its place in the file.
    pub(crate) stage: usize,
    pub(crate) id: String,
    pub(crate) required: bool,
    /// Byte range of the flag.
    pub(crate) span: Range<usize>,
}

impl Lowering<'_> {
    pub(super) fn take_arg(
        &mut self,
        stage: usize,
        instruction: &Instruction,
        arg: &Arg,
        value: Option<&str>,
    ) {
        let is_given = self.plan.options.build_args.contains_key(&arg.name.value);
        self.taken.args.push(TakenArg {
            stage,
            name: arg.name.value.clone(),
            value: value.unwrap_or_default().to_owned(),
            comment: instruction.comment.clone(),
            span: instruction.span.clone(),
            is_global: arg.value.is_none() && !is_given && value.is_some(),
        });
    }

    pub(super) fn take_mount(&mut self, stage: usize, kind: &str, options: &Options, mount: &Mount) {
        let last_name = options.target.rsplit('/').next().unwrap_or_default();
        let names = [options.source.as_str(), options.id.as_str()];
        let named = names.into_iter().find(|name| !name.is_empty());
        let (list, fallback) = match kind {
            "secret" => (&mut self.taken.secrets, last_name),
            _ => (&mut self.taken.agents, DEFAULT_AGENT),
        };
        let id = named.unwrap_or(fallback).to_owned();
        list.push(TakenMount { stage, id, required: options.required, span: mount.span.clone() });
    }
}
