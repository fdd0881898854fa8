//! Runs a template over data.

use std::ops::ControlFlow;

use super::ast::{Branch, Command, Definitions, Expression, Invocation, Kind, Node, Pipeline, Position};
use super::functions::Refusal;
use super::lex::line_of;
use super::print::print;
use super::{Functions, TemplateError, Value};

/// Longest text a template may produce: guards against nested `range` and `printf` widths.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Highest number that `range` counts to.
const RANGE_MAX: i64 = 1 << 16;

/// Lists of nodes within one another, templates that use one another included; what is written without them stays below
/// half of it.
const DEPTH_MAX: usize = 250;

/// The text that a template makes of `data`.
pub(super) fn render(
    definitions: &Definitions,
    source: &str,
    data: &Value,
    functions: Functions,
) -> Result<String, TemplateError> {
    let variables = vec![(String::new(), data.clone())];
    let mut state =
        State { source, functions, definitions, variables, output: String::new(), template: "", depth: 0 };
    // The parser lets nothing out of a `range` that is not in one.
    let _ = state.walk(&definitions.main, data)?;
    Ok(state.output)
}

/// How the innermost `range` goes on after a list of nodes.
type Flow = ControlFlow<Jump>;

/// What leaves a list of nodes early.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Jump {
    Break,
    Continue,
}

struct State<'a> {
    source: &'a str,
    functions: Functions,
    /// The innermost last; the first is `$` itself.
    variables: Vec<(String, Value)>,
    output: String,
    definitions: &'a Definitions,
    /// The definition that is shown.
    template: &'a str,
    depth: usize,
}

/// What a message points at.
struct At<'a> {
    position: Position,
    text: &'a str,
}

impl At<'_> {
    fn of(expression: &Expression) -> At<'_> {
        At { position: expression.position, text: &expression.text }
    }
}

impl<'a> State<'a> {
    fn error<T>(&self, at: &At<'_>, message: impl Into<String>) -> Result<T, TemplateError> {
        let before = &self.source.as_bytes()[..at.position];
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count();
        let (line, node, message) = (line_of(self.source, at.position), at.text.to_owned(), message.into());
        Err(TemplateError::Execution { template: self.template.to_owned(), line, column, node, message })
    }

    fn walk(&mut self, nodes: &'a [Node], dot: &Value) -> Result<Flow, TemplateError> {
        if self.depth == DEPTH_MAX {
            let message = format!("exceeded maximum template depth ({DEPTH_MAX})");
            return self.error(&At { position: 0, text: self.template }, message);
        }
        self.depth += 1;
        let flow = self.each(nodes, dot)?;
        self.depth -= 1;
        Ok(flow)
    }

    fn each(&mut self, nodes: &'a [Node], dot: &Value) -> Result<Flow, TemplateError> {
        for node in nodes {
            let flow = match node {
                Node::Text(text) => {
                    self.output.push_str(text);
                    Flow::Continue(())
                }
                Node::Action(pipeline) => {
                    let value = self.pipeline(pipeline, dot)?;
                    if pipeline.variables.is_empty() {
                        self.output.push_str(&print(&value));
                    }
                    Flow::Continue(())
                }
                Node::If(branch) => self.branch(branch, dot, Sets::Nothing)?,
                Node::With(branch) => self.branch(branch, dot, Sets::Dot)?,
                Node::Range(branch) => self.range(branch, dot)?,
                Node::Break => Flow::Break(Jump::Break),
                Node::Continue => Flow::Break(Jump::Continue),
                Node::Template(invocation) => self.invoke(invocation, dot)?,
            };
            if self.output.len() > OUTPUT_BYTES_MAX {
                return self.error(&At { position: 0, text: "output" }, "output too long");
            }
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(Flow::Continue(()))
    }

    /// Shows a definition: it sees its dot, and no variable of those who use it.
    fn invoke(&mut self, invocation: &'a Invocation, dot: &Value) -> Result<Flow, TemplateError> {
        let Invocation { name, dot: pipeline, position, text } = invocation;
        let Some((name, nodes)) = self.definitions.named.get_key_value(name) else {
            let text = format!("{{{{template {text}}}}}");
            let message = format!("template {name:?} not defined");
            return self.error(&At { position: *position, text: &text }, message);
        };
        let dot = match pipeline {
            Some(pipeline) => self.pipeline(pipeline, dot)?,
            None => Value::Absent,
        };
        let variables = std::mem::replace(&mut self.variables, vec![(String::new(), dot.clone())]);
        let template = std::mem::replace(&mut self.template, name);
        let flow = self.walk(nodes, &dot)?;
        (self.variables, self.template) = (variables, template);
        Ok(flow)
    }

    fn branch(&mut self, branch: &'a Branch, dot: &Value, sets: Sets) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let condition = self.pipeline(&branch.condition, dot)?;
        let result = match (condition.is_true(), sets) {
            (true, Sets::Dot) => self.walk(&branch.then, &condition),
            (true, Sets::Nothing) => self.walk(&branch.then, dot),
            (false, _) => self.walk(&branch.otherwise, dot),
        };
        self.variables.truncate(scope);
        result
    }

    fn range(&mut self, branch: &'a Branch, dot: &Value) -> Result<Flow, TemplateError> {
        let scope = self.variables.len();
        let over = self.pipeline(&branch.condition, dot)?;
        let elements = match over {
            Value::List(items) => items.into_iter().enumerate().map(|(at, item)| (index(at), item)).collect(),
            Value::Map(entries) => {
                entries.into_iter().map(|(name, item)| (Value::Text(name), item)).collect()
            }
            Value::Int(count) if count <= RANGE_MAX => {
                (0..count).map(|at| (Value::Int(at), Value::Int(at))).collect()
            }
            Value::NilList | Value::NilMap | Value::Nil | Value::Absent => Vec::new(),
            other => {
                let command = branch.condition.commands.last().expect("a pipeline has a command");
                let at = At { position: command.position, text: &command.text };
                return self.error(&at, format!("range can't iterate over {}", print(&other)));
            }
        };
        if elements.is_empty() {
            self.variables.truncate(scope);
            return self.walk(&branch.otherwise, dot);
        }
        for (key, element) in elements {
            self.bind_element(&branch.condition, scope, key, &element);
            if self.walk(&branch.then, &element)? == Flow::Break(Jump::Break) {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::Continue(()))
    }

    /// Sets `$x` of `range $x :=`, or both of `range $i, $x :=`.
    fn bind_element(&mut self, pipeline: &Pipeline, scope: usize, key: Value, element: &Value) {
        let values = match pipeline.variables.as_slice() {
            [] => return,
            [name] => vec![(name, element.clone())],
            [first, second, ..] => vec![(first, key), (second, element.clone())],
        };
        if pipeline.declares {
            self.variables.truncate(scope);
        }
        for (name, value) in values {
            self.bind(name, value, pipeline.declares);
        }
    }

    fn bind(&mut self, name: &str, value: Value, declares: bool) {
        match self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, slot)) if !declares => *slot = value,
            _ => self.variables.push((name.to_owned(), value)),
        }
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, TemplateError> {
        let mut piped = None;
        for command in &pipeline.commands {
            piped = Some(self.command(command, piped, dot)?);
        }
        let value = piped.expect("a pipeline has a command");
        for name in &pipeline.variables {
            self.bind(name, value.clone(), pipeline.declares);
        }
        Ok(value)
    }

    /// Runs one stage; `piped` is the result of the stage before.
    fn command(
        &mut self,
        command: &Command,
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let (first, arguments) = command.words.split_first().expect("a command has a word");
        if let Kind::Function(name) = &first.kind {
            return self.call(name, command, arguments, piped, dot);
        }
        if matches!(first.kind, Kind::Nil) {
            return self.error(&At::of(first), "nil is not a command");
        }
        if !arguments.is_empty() || piped.is_some() {
            let message = match &first.kind {
                Kind::Field(names) => {
                    format!("{} has arguments but cannot be invoked as function", names.join("."))
                }
                _ => format!("can't give argument to non-function {}", first.text),
            };
            return self.error(&At::of(first), message);
        }
        self.expression(first, dot)
    }

    fn call(
        &mut self,
        name: &str,
        command: &Command,
        arguments: &[Expression],
        piped: Option<Value>,
        dot: &Value,
    ) -> Result<Value, TemplateError> {
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            let value = self.expression(argument, dot)?;
            // `and` and `or` stop at the value that decides.
            if (name == "and" && !value.is_true()) || (name == "or" && value.is_true()) {
                return Ok(value);
            }
            values.push(value);
        }
        values.extend(piped);
        let position = command.words[0].position;
        self.functions.call(name, values).or_else(|refusal| match &refusal {
            Refusal::Failed(message) => {
                self.error(&At { position, text: &command.text }, format!("error calling {name}: {message}"))
            }
            Refusal::WrongType { argument, .. } if *argument < arguments.len() => {
                self.error(&At::of(&arguments[*argument]), refusal.into_message())
            }
            _ => self.error(&At { position, text: name }, refusal.into_message()),
        })
    }

    fn expression(&mut self, expression: &Expression, dot: &Value) -> Result<Value, TemplateError> {
        match &expression.kind {
            Kind::Dot => Ok(dot.clone()),
            Kind::Nil => Ok(Value::Absent),
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Field(names) => self.fields(dot.clone(), names, expression),
            Kind::Variable(name, names) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                let value = known.map(|(_, value)| value.clone()).expect("the parser knows every variable");
                self.fields(value, names, expression)
            }
            Kind::Group(pipeline, names) => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(value, names, expression)
            }
            Kind::Function(name) => {
                let at = At::of(expression);
                self.functions
                    .call(name, Vec::new())
                    .or_else(|refusal| self.error(&at, refusal.into_message()))
            }
        }
    }

    fn fields(&self, mut value: Value, names: &[String], at: &Expression) -> Result<Value, TemplateError> {
        for name in names {
            value = match value {
                Value::Map(mut entries) => entries.remove(name).unwrap_or(Value::Absent),
                Value::NilMap | Value::Absent => Value::Absent,
                Value::Nil => {
                    return self.error(&At::of(at), format!("nil pointer evaluating interface {{}}.{name}"));
                }
                Value::Record(fields) => match fields.into_iter().find(|(known, _)| known == name) {
                    Some((_, value)) => value,
                    None => return self.error(&At::of(at), format!("map has no entry for key {name:?}")),
                },
                _ => {
                    let message = format!("can't evaluate field {name} in type interface {{}}");
                    return self.error(&At::of(at), message);
                }
            };
        }
        Ok(value)
    }
}

/// What a control action changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sets {
    Nothing,
    Dot,
}

fn index(at: usize) -> Value {
    Value::Int(i64::try_from(at).unwrap_or(i64::MAX))
}
