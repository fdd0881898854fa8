//! Splits a template into text and the words of its actions.

use super::TemplateError;
use super::ast::Position;

/// A word with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) position: Position,
}

/// What a word is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    /// Text between actions, already trimmed.
    Text(String),
    /// `{{`
    Open,
    /// `}}`
    Close,
    /// White space inside an action; it separates arguments.
    Space,
    /// A name: a keyword or a function.
    Word(String),
    /// `.Name`
    Field(String),
    /// `.`
    Dot,
    /// `$name`, without the dollar.
    Variable(String),
    /// `"text"`, `` `text` `` with escapes resolved.
    Quoted(String),
    /// `'c'`
    Char(char),
    /// Digits with all that may belong to a number.
    Number(String),
    /// `|`, `(`, `)`, `,`, `=`
    Sign(char),
    /// `:=`
    Declare,
}

/// The words of `source`.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, TemplateError> {
    let mut lexer = Lexer { source, at: 0, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

/// The line of a place in the text, from 1.
pub(super) fn line_of(source: &str, position: Position) -> usize {
    1 + source.as_bytes().iter().take(position).filter(|byte| **byte == b'\n').count()
}

/// A syntax error at a place.
pub(super) fn syntax(source: &str, position: Position, message: impl Into<String>) -> TemplateError {
    TemplateError::Syntax { line: line_of(source, position), message: message.into() }
}

struct Lexer<'a> {
    source: &'a str,
    at: Position,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: TokenKind, position: Position) {
        self.tokens.push(Token { kind, position });
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, TemplateError> {
        Err(syntax(self.source, self.at, message))
    }

    fn run(&mut self) -> Result<(), TemplateError> {
        let mut trim_start = false;
        loop {
            let rest = self.rest();
            let Some(length) = rest.find("{{") else {
                self.text(rest, trim_start, false);
                return Ok(());
            };
            let trim_end = rest[length + 2..].starts_with('-')
                && rest[length + 3..].starts_with(|next: char| next.is_ascii_whitespace());
            self.text(&rest[..length], trim_start, trim_end);
            self.at += length;
            let open = self.at;
            self.at += if trim_end { 3 } else { 2 };
            trim_start = if self.rest().trim_start().starts_with("/*") && self.comment_follows(trim_end) {
                self.comment()?
            } else {
                self.push(TokenKind::Open, open);
                self.action()?
            };
        }
    }

    fn text(&mut self, text: &str, trim_start: bool, trim_end: bool) {
        let white = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let text = if trim_start { text.trim_start_matches(white) } else { text };
        let text = if trim_end { text.trim_end_matches(white) } else { text };
        if !text.is_empty() {
            let position = self.at;
            self.push(TokenKind::Text(text.to_owned()), position);
        }
    }

    /// A comment begins right after the delimiter, or after the space that a trim marker needs.
    fn comment_follows(&self, trimmed: bool) -> bool {
        self.rest().starts_with("/*") || (trimmed && self.rest()[1..].starts_with("/*"))
    }

    /// Skips a comment; says whether the text after it loses its leading white space.
    fn comment(&mut self) -> Result<bool, TemplateError> {
        let Some(end) = self.rest().find("*/") else { return self.error("unclosed comment") };
        self.at += end + 2;
        match self.close() {
            Some((length, trim)) => {
                self.at += length;
                Ok(trim)
            }
            None => self.error("comment ends before closing delimiter"),
        }
    }

    /// The closing delimiter here: its length, and whether it trims what follows.
    fn close(&self) -> Option<(usize, bool)> {
        let rest = self.rest();
        if rest.starts_with("}}") {
            return Some((2, false));
        }
        let trimmed = rest.strip_prefix(|c: char| c.is_ascii_whitespace())?;
        trimmed.starts_with("-}}").then_some((4, true))
    }

    /// Reads the words up to `}}`; says whether the text after it loses its leading white space.
    fn action(&mut self) -> Result<bool, TemplateError> {
        loop {
            if let Some((length, trim)) = self.close() {
                let position = self.at;
                self.push(TokenKind::Close, position);
                self.at += length;
                return Ok(trim);
            }
            self.word()?;
        }
    }

    fn word(&mut self) -> Result<(), TemplateError> {
        let position = self.at;
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return self.error("unclosed action") };
        let second = rest.chars().nth(1);
        let kind = match first {
            ' ' | '\t' | '\r' | '\n' => {
                self.at += self.space_length();
                TokenKind::Space
            }
            '"' => self.quoted()?,
            '`' => self.raw()?,
            '\'' => self.character()?,
            ':' if second == Some('=') => {
                self.at += 2;
                TokenKind::Declare
            }
            '|' | '(' | ')' | ',' | '=' => {
                self.at += 1;
                TokenKind::Sign(first)
            }
            '$' => {
                self.at += 1;
                let name = self.name().to_owned();
                self.terminated(TokenKind::Variable(name))?
            }
            '.' if second.is_some_and(|c| c.is_ascii_digit()) => self.number(),
            '.' => {
                self.at += 1;
                let name = self.name().to_owned();
                let kind = if name.is_empty() { TokenKind::Dot } else { TokenKind::Field(name) };
                self.terminated(kind)?
            }
            '+' | '-' | '0'..='9' => self.number(),
            c if is_name(c) => {
                let name = self.name().to_owned();
                self.terminated(TokenKind::Word(name))?
            }
            c => return self.error(format!("unrecognized character in action: {}", code_point(c))),
        };
        self.push(kind, position);
        Ok(())
    }

    /// White space up to the next word; the space of a closing ` -}}` is left alone.
    fn space_length(&self) -> usize {
        let rest = self.rest();
        let length = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
        if length > 1 && rest[length..].starts_with("-}}") { length - 1 } else { length }
    }

    fn name(&mut self) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A name must be followed by something that cannot belong to it.
    fn terminated(&self, kind: TokenKind) -> Result<TokenKind, TemplateError> {
        match self.rest().chars().next() {
            None => Ok(kind),
            Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '(' | '=' | '}') => Ok(kind),
            Some(c) => self.error(format!("bad character {}", code_point(c))),
        }
    }

    fn number(&mut self) -> TokenKind {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['+', '-']));
        let belongs = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let mut length = sign;
        for c in rest[sign..].chars() {
            let exponent_sign = matches!(c, '+' | '-') && rest[..length].ends_with(['e', 'E']);
            if !belongs(c) && !exponent_sign {
                break;
            }
            length += c.len_utf8();
        }
        self.at += length;
        TokenKind::Number(rest[..length].to_owned())
    }

    fn raw(&mut self) -> Result<TokenKind, TemplateError> {
        let rest = &self.rest()[1..];
        let Some(end) = rest.find('`') else { return self.error("unterminated raw quoted string") };
        self.at += end + 2;
        Ok(TokenKind::Quoted(rest[..end].replace('\r', "")))
    }

    fn quoted(&mut self) -> Result<TokenKind, TemplateError> {
        let start = self.at;
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.rest().chars().next() {
                None | Some('\n') => return Err(syntax(self.source, start, "unterminated quoted string")),
                Some('"') => {
                    self.at += 1;
                    return Ok(TokenKind::Quoted(text));
                }
                Some(_) => text.push(self.possibly_escaped()?),
            }
        }
    }

    fn character(&mut self) -> Result<TokenKind, TemplateError> {
        let start = self.at;
        let unterminated = || syntax(self.source, start, "unterminated character constant");
        self.at += 1;
        if self.rest().starts_with(['\'', '\n']) || self.rest().is_empty() {
            return Err(unterminated());
        }
        let c = self.possibly_escaped()?;
        if !self.rest().starts_with('\'') {
            return Err(syntax(self.source, start, "unterminated character constant"));
        }
        self.at += 1;
        Ok(TokenKind::Char(c))
    }

    /// One character of a quoted text, with the escapes of Go's strings.
    fn possibly_escaped(&mut self) -> Result<char, TemplateError> {
        let mut chars = self.rest().chars();
        let first = chars.next().expect("the caller saw a character");
        if first != '\\' {
            self.at += first.len_utf8();
            return Ok(first);
        }
        let Some(escape) = chars.next() else { return self.error("unterminated quoted string") };
        let digits = match escape {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ => 0,
        };
        if digits > 0 {
            let code = self.rest().get(2..2 + digits).and_then(|hex| u32::from_str_radix(hex, 16).ok());
            let Some(c) = code.and_then(char::from_u32) else { return self.error("invalid syntax") };
            self.at += 2 + digits;
            return Ok(c);
        }
        let c = match escape {
            'a' => '\x07',
            'b' => '\x08',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            '\\' | '"' | '\'' => escape,
            _ => return self.error("invalid syntax"),
        };
        self.at += 2;
        Ok(c)
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// `U+0025 '%'`, as Go shows a character.
fn code_point(c: char) -> String {
    let code = u32::from(c);
    if c.is_control() { format!("U+{code:04X}") } else { format!("U+{code:04X} '{c}'") }
}
