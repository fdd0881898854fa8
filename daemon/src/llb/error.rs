//! What is wrong with a definition.

/// Why a definition cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LlbError {
    /// The bytes are no definition.
    #[error("the definition cannot be decoded")]
    Definition {
        /// The cause.
        source: prost::DecodeError,
    },
    /// There is nothing in it.
    #[error("the definition has no operations")]
    Empty,
    /// More of something than a definition may have.
    #[error("the definition has more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The bytes of an operation are none.
    #[error("the operation {operation} cannot be decoded")]
    Operation {
        /// Its digest.
        operation: String,
        /// The cause.
        source: prost::DecodeError,
    },
    /// An operation that does nothing, or what only a newer version knows.
    #[error("the operation {operation} is of no known kind")]
    UnknownOperation {
        /// Its digest.
        operation: String,
    },
    /// The last operation does not name the result.
    #[error("the last operation of the definition does not name its result")]
    NoResult,
    /// An input that no operation of the definition has the digest of.
    #[error("the operation {operation} has an input `{digest}` that the definition does not have")]
    UnknownInput {
        /// The digest of the operation.
        operation: String,
        /// What it names.
        digest: String,
    },
    /// A number of something that there is not.
    #[error("the operation {operation} names {what} {index}, which it does not have")]
    OutOfRange {
        /// The digest of the operation.
        operation: String,
        /// What is numbered.
        what: &'static str,
        /// The number.
        index: i64,
    },
    /// A part without which it means nothing.
    #[error("the operation {operation} has no {what}")]
    Missing {
        /// The digest of the operation.
        operation: String,
        /// Which part.
        what: &'static str,
    },
    /// Something by a name that nobody here knows.
    #[error("the operation {operation} has the {what} `{name}`, which is not supported")]
    Unsupported {
        /// The digest of the operation.
        operation: String,
        /// What kind of thing.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value that cannot be.
    #[error("the operation {operation} has `{value}` as {name}, expected {expected}")]
    Value {
        /// The digest of the operation.
        operation: String,
        /// Of what.
        name: String,
        /// The value.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
}
