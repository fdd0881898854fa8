//! What a template consists of.

use std::collections::BTreeMap;

use super::Value;

/// A place in the template's text, in bytes.
pub(super) type Position = usize;

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Node {
    /// Copied as it is.
    Text(String),
    /// `{{pipeline}}`, shown unless it declares or assigns.
    Action(Pipeline),
    /// `{{if}}`.
    If(Branch),
    /// `{{with}}`: as `if`, with the dot set.
    With(Branch),
    /// `{{range}}`: once for each element.
    Range(Branch),
    /// `{{break}}`: the end of the innermost `range`.
    Break,
    /// `{{continue}}`: the next element of the innermost `range`.
    Continue,
    /// `{{template "name" pipeline}}`, and what a `{{block}}` leaves where it stands.
    Template(Invocation),
}

/// A template by its name, with what is its dot.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) name: String,
    /// None: the dot is absent.
    pub(super) dot: Option<Pipeline>,
    /// Where the name stands.
    pub(super) position: Position,
    /// Its own text from there on, for messages.
    pub(super) text: String,
}

/// A template with those that it defines.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// What is shown.
    pub(super) main: Vec<Node>,
    /// `{{define}}` and `{{block}}`, by name.
    pub(super) named: BTreeMap<String, Vec<Node>>,
}

/// A condition and what follows from it.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) condition: Pipeline,
    pub(super) then: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

/// Commands whose results feed one another.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    /// `:=` rather than `=`.
    pub(super) declares: bool,
    pub(super) commands: Vec<Command>,
}

/// An operand, or a function with its arguments.
#[derive(Debug)]
pub(super) struct Command {
    /// Never empty.
    pub(super) words: Vec<Expression>,
    pub(super) position: Position,
    /// The command's own text, for messages.
    pub(super) text: String,
}

/// One word of a command.
#[derive(Debug)]
pub(super) struct Expression {
    pub(super) kind: Kind,
    pub(super) position: Position,
    /// The expression's own text, for messages.
    pub(super) text: String,
}

/// What a word is.
#[derive(Debug)]
pub(super) enum Kind {
    /// `.`
    Dot,
    /// `nil`
    Nil,
    /// A number, a string, `true`, `false`.
    Literal(Value),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable(String, Vec<String>),
    /// `lower`
    Function(String),
    /// `(pipeline).A.B`
    Group(Box<Pipeline>, Vec<String>),
}
