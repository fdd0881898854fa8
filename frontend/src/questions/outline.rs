//! What a target takes (`frontend.outline`).

use std::collections::{BTreeSet, HashMap};

use super::json::{Fields, Json};
use super::text::table;
use super::{Inquiry, Lines, description};
use crate::ast::{Kind, Word};
use crate::diagnostic::Diagnostic;
use crate::environment::Variables;
use crate::lint::names_used;
use crate::lower::{self, Examined, Taken, TakenMount};
use crate::plan::{Bases, Origin, Plan, Purpose};

/// Blanks between the columns of the title, and of the tables.
const PADDING: (usize, usize) = (1, 3);

/// What a target takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The name of the target, empty when it has none.
    pub name: String,
    /// What its comment says about it.
    pub description: String,
    /// Build arguments that have a meaning for it, in the order of the text.
    pub args: Vec<OutlineArg>,
    /// Secrets, in the order of the text.
    pub secrets: Vec<OutlineMount>,
    /// SSH agents, in the order of the text.
    pub agents: Vec<OutlineMount>,
    text: String,
}

/// A build argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// The value that it has.
    pub value: String,
    /// What its comment says about it.
    pub description: String,
    /// The lines of its `ARG`.
    pub lines: Lines,
}

/// A secret or an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutlineMount {
    /// Its id.
    pub name: String,
    /// The build fails without it.
    pub required: bool,
    /// The lines of the `RUN` that takes it first.
    pub lines: Lines,
}

pub(super) fn outline(inquiry: &Inquiry, bases: &Bases) -> Result<Outline, Vec<Diagnostic>> {
    let plan = inquiry.plan.as_ref().map_err(Clone::clone)?;
    let examined = lower::examine(plan, bases, Purpose::Outline);
    if examined.diagnostics.iter().any(Diagnostic::is_error) {
        return Err(examined.diagnostics);
    }
    let order = order(plan, &examined);
    let stage = &plan.stages[plan.target];
    let name = stage.from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
    Ok(Outline {
        description: description(&stage.comment, &name),
        name,
        args: args(inquiry, plan, &order, &examined.taken),
        secrets: mounts(inquiry, &order, &examined.taken.secrets),
        agents: mounts(inquiry, &order, &examined.taken.agents),
        text: inquiry.source().text.clone(),
    })
}

/// The stages in the order in which what they say about a name counts: the target, what it starts from, then
/// what it copies from.
fn order(plan: &Plan, examined: &Examined) -> Vec<usize> {
    let mut order = vec![plan.target];
    while let Some(Ok(Origin::Stage(base))) = order.last().map(|last| plan.names.base_of(*last)) {
        order.push(*base);
    }
    let others = (0..plan.stages.len()).rev().filter(|stage| examined.stages.get(*stage) == Some(&true));
    let others: Vec<_> = others.filter(|stage| !order.contains(stage)).collect();
    order.extend(others);
    order
}

fn args(inquiry: &Inquiry, plan: &Plan, order: &[usize], taken: &Taken) -> Vec<OutlineArg> {
    let globals = globals(inquiry, plan);
    let mut seen = BTreeSet::new();
    let mut args = Vec::new();
    for &index in order {
        let from = &plan.stages[index].from;
        let words = std::iter::once(&from.base).chain(&from.platform);
        let mut used: Vec<String> =
            words.flat_map(|word| names_used(&word.value, plan.escape, &plan.global_args)).collect();
        // The last declaration of a stage counts.
        for arg in taken.args.iter().rev().filter(|arg| arg.stage == index) {
            if arg.is_global {
                used.push(arg.name.clone());
            } else if seen.insert(arg.name.clone()) {
                args.push(OutlineArg {
                    name: arg.name.clone(),
                    value: arg.value.clone(),
                    description: description(&arg.comment, &arg.name),
                    lines: inquiry.lines(&arg.span),
                });
            }
        }
        while let Some(name) = used.pop() {
            let Some(global) = globals.get(&name) else { continue };
            if seen.insert(name) {
                args.push(global.arg.clone());
                used.extend(global.uses.iter().cloned());
            }
        }
    }
    args.sort_by_key(|arg| *arg.lines.start());
    args
}

/// An argument in front of the first `FROM`.
struct Global {
    arg: OutlineArg,
    /// The arguments that its default names.
    uses: BTreeSet<String>,
}

fn globals(inquiry: &Inquiry, plan: &Plan) -> HashMap<String, Global> {
    let mut globals: HashMap<String, Global> = HashMap::new();
    for instruction in &inquiry.parsed.dockerfile.global_args {
        let Kind::Arg(declared) = &instruction.kind else { continue };
        for arg in declared {
            let name = &arg.name.value;
            let default: Option<&Word> =
                arg.value.as_ref().filter(|_| !plan.options.build_args.contains_key(name));
            let used = default.map(|word| names_used(&word.value, plan.escape, &plan.global_args));
            let mut uses = used.unwrap_or_default();
            // What an argument takes from itself, it takes from its earlier declaration.
            if uses.remove(name) {
                uses.extend(globals.remove(name).into_iter().flat_map(|earlier| earlier.uses));
            }
            let value = plan.global_args.get(name).unwrap_or_default().to_owned();
            let description = description(&instruction.comment, name);
            let lines = inquiry.lines(&instruction.span);
            let shown = OutlineArg { name: name.clone(), value, description, lines };
            globals.insert(name.clone(), Global { arg: shown, uses });
        }
    }
    globals
}

fn mounts(inquiry: &Inquiry, order: &[usize], taken: &[TakenMount]) -> Vec<OutlineMount> {
    let mut seen = BTreeSet::new();
    let mut mounts = Vec::new();
    for &index in order {
        for mount in taken.iter().filter(|mount| mount.stage == index) {
            if seen.insert(&mount.id) {
                let lines = inquiry.lines(&mount.span);
                mounts.push(OutlineMount { name: mount.id.clone(), required: mount.required, lines });
            }
        }
    }
    mounts.sort_by_key(|mount| *mount.lines.start());
    mounts
}

impl Outline {
    /// The answer as BuildKit's JSON.
    pub fn json(&self) -> String {
        let args = self.args.iter().map(|arg| {
            Fields::default()
                .with("name", Json::Text(arg.name.clone()))
                .text("description", &arg.description)
                .text("value", &arg.value)
                .with("location", Json::location(&arg.lines))
                .object()
        });
        let mount = |mount: &OutlineMount| {
            Fields::default()
                .with("name", Json::Text(mount.name.clone()))
                .flag("required", mount.required)
                .with("location", Json::location(&mount.lines))
                .object()
        };
        Fields::default()
            .text("name", &self.name)
            .text("description", &self.description)
            .list("args", args.collect())
            .list("secrets", self.secrets.iter().map(mount).collect())
            .list("ssh", self.agents.iter().map(mount).collect())
            .list("sources", vec![Json::base64(self.text.as_bytes())])
            .object()
            .render()
    }

    /// The answer as BuildKit's tables.
    pub fn text(&self) -> String {
        let mut out = String::new();
        if !self.name.is_empty() || !self.description.is_empty() {
            let name = if self.name.is_empty() { "(default)" } else { &self.name };
            let mut rows = vec![vec!["TARGET:".to_owned(), name.to_owned()]];
            if !self.description.is_empty() {
                rows.push(vec!["DESCRIPTION:".to_owned(), self.description.clone()]);
            }
            out.push_str(&format!("{}\n", table(&rows, PADDING.0)));
        }
        let args =
            self.args.iter().map(|arg| vec![arg.name.clone(), arg.value.clone(), arg.description.clone()]);
        push_table(&mut out, &["BUILD ARG", "VALUE", "DESCRIPTION"], args.collect());
        let mount = |mount: &OutlineMount| {
            vec![mount.name.clone(), if mount.required { "true".to_owned() } else { String::new() }]
        };
        push_table(&mut out, &["SECRET", "REQUIRED"], self.secrets.iter().map(mount).collect());
        push_table(&mut out, &["SSH", "REQUIRED"], self.agents.iter().map(mount).collect());
        out
    }
}

/// A table below its titles and an empty line, unless it has no rows.
fn push_table(out: &mut String, titles: &[&str], rows: Vec<Vec<String>>) {
    if rows.is_empty() {
        return;
    }
    let titles = titles.iter().map(|title| (*title).to_owned()).collect();
    let rows: Vec<_> = std::iter::once(titles).chain(rows).collect();
    out.push_str(&format!("{}\n", table(&rows, PADDING.1)));
}
