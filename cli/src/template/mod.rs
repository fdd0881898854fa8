//! Go templates, as far as `--format` of Docker's commands needs them.
//!
//! Behaviour follows the documentation of Go's `text/template` with the functions that Docker adds
//! (`json`, `join`, `split`, `lower`, `upper`, `title`, `pad`, `truncate`). Absent are `call` and the functions
//! that escape for HTML, JavaScript and URLs.

mod ast;
mod compare;
mod eval;
mod functions;
mod lex;
mod parse;
mod print;
mod printf;
mod value;

#[cfg(test)]
mod tests;

pub(crate) use functions::Functions;
pub(crate) use value::Value;

/// A parsed template.
#[derive(Debug)]
pub(crate) struct Template {
    definitions: ast::Definitions,
    source: String,
}

/// Why a template cannot be used, in the words of Go's package.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum TemplateError {
    /// The text is not a template.
    #[error("template: :{line}: {message}")]
    Syntax {
        /// Line in the template, from 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// The template asks for something that the data or a function refuses.
    #[error("template: :{line}:{column}: executing {template:?} at <{node}>: {message}")]
    Execution {
        /// The name of the definition; empty for the template itself.
        template: String,
        /// Line in the template, from 1.
        line: usize,
        /// Byte in that line, from 0.
        column: usize,
        /// The expression that was refused.
        node: String,
        /// Why.
        message: String,
    },
}

impl Template {
    /// Reads a template.
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        Ok(Self { definitions: parse::parse(source)?, source: source.to_owned() })
    }

    /// The text that the template makes of `data`.
    pub(crate) fn render(&self, data: &Value, functions: Functions) -> Result<String, TemplateError> {
        eval::render(&self.definitions, &self.source, data, functions)
    }
}
