//! Words to a tree.

mod action;
mod number;

use std::collections::BTreeMap;

use super::ast::{Command, Definitions, Expression, Kind, Node, Pipeline, Position};
use super::lex::{Token, TokenKind, lex, syntax};
use super::{TemplateError, Value, functions};
use number::number;

/// Actions and parentheses within one another; far more than anyone writes, far less than the stack holds.
const NESTING_MAX: usize = 100;

/// Reads a template.
pub(super) fn parse(source: &str) -> Result<Definitions, TemplateError> {
    let tokens = lex(source)?;
    let mut parser = Parser {
        source,
        tokens,
        next: 0,
        variables: vec![String::new()],
        depth: 0,
        ranges: 0,
        named: BTreeMap::new(),
    };
    match parser.nodes(Place::Top)? {
        (main, Ending::Source) => Ok(Definitions { main, named: parser.named }),
        (_, Ending::End(at)) => Err(syntax(source, at, "unexpected {{end}}")),
        (_, Ending::Else(at)) => Err(syntax(source, at, "unexpected {{else}}")),
    }
}

/// Where a list of nodes stands: only at the top can there be a `define`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Inside,
}

/// What ended a list of nodes. After `Else` the words of its action are still unread.
enum Ending {
    Source,
    End(Position),
    Else(Position),
}

struct Parser<'a> {
    source: &'a str,
    tokens: Vec<Token>,
    next: usize,
    /// Names in scope, the innermost last; the first is `$` itself.
    variables: Vec<String>,
    depth: usize,
    /// How many `range` the parser is in.
    ranges: usize,
    /// What was defined so far.
    named: BTreeMap<String, Vec<Node>>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&TokenKind> {
        self.tokens.get(self.next).map(|token| &token.kind)
    }

    fn position(&self) -> Position {
        self.tokens.get(self.next).map_or(self.source.len(), |token| token.position)
    }

    fn take(&mut self) -> Option<TokenKind> {
        let kind = self.peek().cloned();
        self.next += 1;
        kind
    }

    fn skip_space(&mut self) {
        while self.peek() == Some(&TokenKind::Space) {
            self.next += 1;
        }
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(syntax(self.source, self.position(), message))
    }

    fn unexpected<T>(&self, context: &str) -> Result<T, TemplateError> {
        let what = match self.tokens.get(self.next) {
            None => return self.error("unexpected EOF"),
            Some(token) => match &token.kind {
                TokenKind::Close => "\"}}\"".to_owned(),
                TokenKind::Word(word) => format!("<{word}>"),
                TokenKind::Field(name) => format!("<.{name}>"),
                TokenKind::Dot => "<.>".to_owned(),
                TokenKind::Variable(name) => format!("<${name}>"),
                TokenKind::Quoted(text) => format!("{text:?}"),
                TokenKind::Char(c) => format!("\"{c:?}\""),
                TokenKind::Number(digits) => format!("{digits:?}"),
                TokenKind::Sign(sign) => format!("\"{sign}\""),
                TokenKind::Declare => "\":=\"".to_owned(),
                TokenKind::Space => "\" \"".to_owned(),
                TokenKind::Text(_) | TokenKind::Open => "\"{{\"".to_owned(),
            },
        };
        self.error(format!("unexpected {what} in {context}"))
    }

    fn nested<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, TemplateError>,
    ) -> Result<T, TemplateError> {
        if self.depth == NESTING_MAX {
            return self.error("nested too deeply");
        }
        self.depth += 1;
        let result = parse(self);
        self.depth -= 1;
        result
    }

    fn nodes(&mut self, place: Place) -> Result<(Vec<Node>, Ending), TemplateError> {
        let mut nodes = Vec::new();
        loop {
            let position = self.position();
            match self.take() {
                None => return Ok((nodes, Ending::Source)),
                Some(TokenKind::Text(text)) => nodes.push(Node::Text(text)),
                Some(_) => {
                    self.skip_space();
                    match self.peek() {
                        Some(TokenKind::Word(word)) if word == "end" => {
                            self.next += 1;
                            self.close("end")?;
                            return Ok((nodes, Ending::End(position)));
                        }
                        Some(TokenKind::Word(word)) if word == "else" => {
                            self.next += 1;
                            return Ok((nodes, Ending::Else(position)));
                        }
                        Some(TokenKind::Word(word)) if word == "define" && place == Place::Top => {
                            self.next += 1;
                            self.nested(Self::definition)?;
                        }
                        _ => nodes.push(self.nested(Self::action)?),
                    }
                }
            }
        }
    }

    fn close(&mut self, context: &str) -> Result<(), TemplateError> {
        self.skip_space();
        if self.peek() != Some(&TokenKind::Close) {
            return self.unexpected(context);
        }
        self.next += 1;
        Ok(())
    }

    fn pipeline(&mut self, context: &str) -> Result<Pipeline, TemplateError> {
        self.skip_space();
        let (variables, declares) = self.declaration(context)?;
        let mut commands = vec![self.command(context)?];
        while self.peek() == Some(&TokenKind::Sign('|')) {
            self.next += 1;
            commands.push(self.command(context)?);
            self.check_stage(&commands)?;
        }
        if declares {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { variables, declares, commands })
    }

    /// Only a function or a field can take the result of the stage before it.
    fn check_stage(&self, commands: &[Command]) -> Result<(), TemplateError> {
        let last = commands.last().expect("a stage was just added");
        match last.words[0].kind {
            Kind::Dot | Kind::Nil | Kind::Literal(_) => Err(syntax(
                self.source,
                last.position,
                format!("non executable command in pipeline stage {}", commands.len()),
            )),
            _ => Ok(()),
        }
    }

    /// `$x :=`, `$x =` or `$i, $x :=` at the beginning of a pipeline.
    fn declaration(&mut self, context: &str) -> Result<(Vec<String>, bool), TemplateError> {
        let start = self.next;
        let mut names = Vec::new();
        while let Some(TokenKind::Variable(name)) = self.peek().cloned() {
            self.next += 1;
            self.skip_space();
            names.push(name);
            match self.peek() {
                Some(TokenKind::Declare) => {
                    self.next += 1;
                    return Ok((names, true));
                }
                Some(TokenKind::Sign('=')) => {
                    self.next += 1;
                    if let Some(name) = names.iter().find(|name| !self.variables.contains(name)) {
                        return self.error(format!("undefined variable \"${name}\""));
                    }
                    return Ok((names, false));
                }
                Some(TokenKind::Sign(',')) if context == "range" && names.len() < 2 => {
                    self.next += 1;
                    self.skip_space();
                }
                Some(TokenKind::Sign(',')) => {
                    return self.error(format!("too many declarations in {context}"));
                }
                _ => break,
            }
        }
        self.next = start;
        Ok((Vec::new(), false))
    }

    fn command(&mut self, context: &str) -> Result<Command, TemplateError> {
        self.skip_space();
        let position = self.position();
        let mut words = Vec::new();
        let mut end = position;
        loop {
            match self.peek() {
                None | Some(TokenKind::Close | TokenKind::Sign('|' | ')')) => break,
                _ => {}
            }
            let (word, word_end) = self.operand()?;
            words.push(word);
            end = word_end;
            match self.peek() {
                Some(TokenKind::Space) => self.skip_space(),
                None | Some(TokenKind::Close | TokenKind::Sign('|' | ')')) => {}
                _ => return self.unexpected("operand"),
            }
        }
        if words.is_empty() {
            return match self.peek() {
                Some(TokenKind::Close | TokenKind::Sign(_)) => {
                    self.error(format!("missing value for {context}"))
                }
                _ => self.unexpected(context),
            };
        }
        Ok(Command { words, position, text: self.source[position..end].to_owned() })
    }

    /// One word, with the fields chained to it; and where it ends.
    fn operand(&mut self) -> Result<(Expression, Position), TemplateError> {
        let start = self.position();
        // As in Go, a chain is blamed at its first link.
        let mut position = start;
        let kind = match self.peek().cloned() {
            Some(TokenKind::Field(name)) => {
                self.next += 1;
                position = self.chain_position(start);
                let mut names = vec![name];
                names.extend(self.fields());
                Kind::Field(names)
            }
            Some(TokenKind::Variable(name)) => {
                if !self.variables.contains(&name) {
                    return self.error(format!("undefined variable \"${name}\""));
                }
                self.next += 1;
                position = self.chain_position(start);
                Kind::Variable(name, self.fields())
            }
            Some(TokenKind::Sign('(')) => {
                self.next += 1;
                let pipeline = self.nested(|parser| parser.pipeline("parenthesized pipeline"))?;
                if self.peek() != Some(&TokenKind::Sign(')')) {
                    return self.error("unclosed left paren");
                }
                self.next += 1;
                position = self.chain_position(start);
                Kind::Group(Box::new(pipeline), self.fields())
            }
            _ => self.atom()?,
        };
        if matches!(self.peek(), Some(TokenKind::Field(_))) {
            return self.unexpected("operand");
        }
        let end = self.position();
        Ok((Expression { kind, position, text: self.source[start..end].to_owned() }, end))
    }

    fn chain_position(&self, start: Position) -> Position {
        if matches!(self.peek(), Some(TokenKind::Field(_))) { self.position() } else { start }
    }

    fn fields(&mut self) -> Vec<String> {
        let mut names = Vec::new();
        while let Some(TokenKind::Field(name)) = self.peek().cloned() {
            self.next += 1;
            names.push(name);
        }
        names
    }

    fn atom(&mut self) -> Result<Kind, TemplateError> {
        let kind = match self.peek() {
            Some(TokenKind::Dot) => Kind::Dot,
            Some(TokenKind::Quoted(text)) => Kind::Literal(Value::from(text.as_str())),
            Some(TokenKind::Char(c)) => Kind::Literal(Value::Int(i64::from(u32::from(*c)))),
            Some(TokenKind::Number(digits)) => match number(digits) {
                Some(value) => Kind::Literal(value),
                None => return self.error(format!("bad number syntax: {digits:?}")),
            },
            Some(TokenKind::Word(word)) => match word.as_str() {
                "true" => Kind::Literal(Value::Bool(true)),
                "false" => Kind::Literal(Value::Bool(false)),
                "nil" => Kind::Nil,
                "if" | "with" | "range" | "else" | "end" | "define" => return self.unexpected("command"),
                name if functions::is_known(name) => Kind::Function(name.to_owned()),
                name => return self.error(format!("function {name:?} not defined")),
            },
            _ => return self.unexpected("operand"),
        };
        self.next += 1;
        Ok(kind)
    }
}
