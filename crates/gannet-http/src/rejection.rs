//! Why a request does not have what its handler asks for.

use crate::draft::FAILED;
use crate::respond::Respond;
use crate::response::Reply;

/// A request does not have what its handler asks for. As a response it has a status that says whose fault that is, and a
/// text that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The body has another type than the handler reads: 415.
    #[error("the body has to be sent with Content-Type: {expected}")]
    ContentType {
        /// The type that is read.
        expected: &'static str,
    },

    /// The body is larger than its receiver takes: 413.
    #[error("body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// Something is not even well-formed: 400.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// What it was to be.
        what: &'static str,
        /// What is wrong, and where.
        why: String,
    },

    /// The body is JSON, but not of the handler's type: 422.
    #[error("{}{why} at line {line} column {column}", prefix(field))]
    Json {
        /// The path of the value that does not fit, `items[2].price` for one. Empty for the whole body.
        field: String,
        /// What is wrong with it.
        why: String,
        /// The line that it ends in, from 1.
        line: usize,
        /// The column that it ends at, from 1.
        column: usize,
    },

    /// A field of a form is not of the handler's type, or missing: 422.
    #[error("{}{why}", prefix(field))]
    Form {
        /// The field. Empty where one is missing, which `why` names.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// A value of the query is not of the handler's type, or missing: 400.
    #[error("query: {}{why}", prefix(field))]
    Query {
        /// The name of the value. Empty where one is missing, which `why` names.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// A parameter of the path is not of the handler's type: 400.
    #[error("path: {}{why}", prefix(field))]
    Params {
        /// The name of the parameter, as the pattern has it.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// No layer around the handler has [inserted](crate::Cx::insert) a value of this type. A fault of the program: 500,
    /// and the log says which type is missing.
    #[error("no layer has inserted a {of}")]
    Missing {
        /// The name of the type.
        of: &'static str,
    },
}

fn prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

impl Rejection {
    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::ContentType { .. } => 415,
            Self::TooLarge { .. } => 413,
            Self::Malformed { .. } | Self::Query { .. } | Self::Params { .. } => 400,
            Self::Json { .. } | Self::Form { .. } => 422,
            Self::Missing { .. } => 500,
        }
    }
}

/// The status with a text that says what is wrong.
impl Respond for Rejection {
    fn respond(self, reply: &mut Reply<'_>) {
        reply.refuse(self.status(), "");
        if let Self::Missing { .. } = self {
            tracing::error!(error = %self, "a handler asks for what is not there; answered with 500");
            reply.text(FAILED);
        } else {
            writeln!(reply, "{self}");
        }
    }
}
