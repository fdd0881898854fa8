//! Actions: control words with what belongs to them, and pipelines.

use super::super::TemplateError;
use super::super::ast::{Branch, Invocation, Node, Position};
use super::super::lex::{TokenKind, syntax};
use super::{Ending, Parser, Place};

impl Parser<'_> {
    /// One action: a control word with what belongs to it, or a pipeline.
    pub(super) fn action(&mut self) -> Result<Node, TemplateError> {
        if let Some(TokenKind::Word(word)) = self.peek() {
            let make = match word.as_str() {
                "if" => Node::If,
                "with" => Node::With,
                "range" => Node::Range,
                "break" => return self.jump("break", Node::Break),
                "continue" => return self.jump("continue", Node::Continue),
                "template" => return self.template(),
                "block" => return self.block(),
                _ => return self.plain_action(),
            };
            let word = word.clone();
            self.next += 1;
            return Ok(make(self.control(&word)?));
        }
        self.plain_action()
    }

    /// `break` or `continue`.
    fn jump(&mut self, word: &str, node: Node) -> Result<Node, TemplateError> {
        self.next += 1;
        self.close(&format!("{{{{{word}}}}}"))?;
        if self.ranges == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    /// The rest of `template`.
    fn template(&mut self) -> Result<Node, TemplateError> {
        const CONTEXT: &str = "template clause";
        self.next += 1;
        let (name, position) = self.name(CONTEXT)?;
        self.skip_space();
        let dot = match self.peek() {
            Some(TokenKind::Close) => None,
            _ => Some(self.pipeline(CONTEXT)?),
        };
        let text = self.source[position..self.position()].trim_end().to_owned();
        self.close(CONTEXT)?;
        Ok(Node::Template(Invocation { name, dot, position, text }))
    }

    /// The rest of `block`, up to and with its `end`: a definition, and its use.
    fn block(&mut self) -> Result<Node, TemplateError> {
        const CONTEXT: &str = "block clause";
        self.next += 1;
        let (name, position) = self.name(CONTEXT)?;
        let dot = Some(self.pipeline(CONTEXT)?);
        let text = self.source[position..self.position()].trim_end().to_owned();
        self.close(CONTEXT)?;
        self.body(name.clone(), CONTEXT)?;
        Ok(Node::Template(Invocation { name, dot, position, text }))
    }

    /// The rest of `define`, up to and with its `end`.
    pub(super) fn definition(&mut self) -> Result<(), TemplateError> {
        const CONTEXT: &str = "define clause";
        let (name, _) = self.name(CONTEXT)?;
        self.close(CONTEXT)?;
        self.body(name, CONTEXT)
    }

    /// A name in quotes, and where it stands.
    fn name(&mut self, context: &str) -> Result<(String, Position), TemplateError> {
        self.skip_space();
        let position = self.position();
        let Some(TokenKind::Quoted(name)) = self.peek().cloned() else { return self.unexpected(context) };
        self.next += 1;
        Ok((name, position))
    }

    /// What is between a definition and its `end`. It sees no variable but `$`, and no `range` around it.
    fn body(&mut self, name: String, context: &str) -> Result<(), TemplateError> {
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let nodes = match self.nodes(Place::Inside)? {
            (nodes, Ending::End(_)) => nodes,
            (_, Ending::Source) => return self.error("unexpected EOF"),
            (_, Ending::Else(at)) => {
                return Err(syntax(self.source, at, format!("unexpected {{{{else}}}} in {context}")));
            }
        };
        (self.variables, self.ranges) = (variables, ranges);
        let is_empty = |nodes: &[Node]| {
            nodes.iter().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
        };
        match self.named.get(&name) {
            // A definition that shows nothing gives way to one that does.
            Some(earlier) if !is_empty(earlier) && !is_empty(&nodes) => {
                self.error(format!("template: multiple definition of template {name:?}"))
            }
            Some(earlier) if !is_empty(earlier) => Ok(()),
            _ => {
                self.named.insert(name, nodes);
                Ok(())
            }
        }
    }

    fn plain_action(&mut self) -> Result<Node, TemplateError> {
        let pipeline = self.pipeline("command")?;
        self.close("command")?;
        Ok(Node::Action(pipeline))
    }

    /// The rest of `if`, `with` or `range`, up to and with its `end`.
    fn control(&mut self, word: &str) -> Result<Branch, TemplateError> {
        let scope = self.variables.len();
        let condition = self.pipeline(word)?;
        self.close(word)?;
        self.ranges += usize::from(word == "range");
        let (then, ending) = self.nodes(Place::Inside)?;
        self.ranges -= usize::from(word == "range");
        let otherwise = match ending {
            Ending::Source => return self.error("unexpected EOF"),
            Ending::End(_) => Vec::new(),
            Ending::Else(_) => self.otherwise(word)?,
        };
        self.variables.truncate(scope);
        Ok(Branch { condition, then, otherwise })
    }

    /// What follows `{{else`: its own list, or another `if` (`with`) that shares the one `end`.
    fn otherwise(&mut self, word: &str) -> Result<Vec<Node>, TemplateError> {
        self.skip_space();
        if word != "range" && self.peek() == Some(&TokenKind::Word(word.to_owned())) {
            let make = if word == "if" { Node::If } else { Node::With };
            self.next += 1;
            return Ok(vec![make(self.nested(|parser| parser.control(word))?)]);
        }
        self.close("else")?;
        match self.nodes(Place::Inside)? {
            (nodes, Ending::End(_)) => Ok(nodes),
            (_, Ending::Source) => self.error("unexpected EOF"),
            (_, Ending::Else(at)) => Err(syntax(self.source, at, "expected end; found {{else}}")),
        }
    }
}
