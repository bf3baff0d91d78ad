//! Says why a request does not have what its handler reads.

/// Says why a request does not have what its handler reads.
///
/// As a response it has the [status](Self::status) that fits, and a text that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The body has another media type than the handler reads: 415.
    #[error("the body has to be sent with Content-Type: {expected}")]
    ContentType {
        /// The type that is read.
        expected: &'static str,
    },

    /// The body is larger than [`Cx::receive`](crate::Cx::receive) allows: 413.
    #[error("body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },

    /// A part of the request is not well-formed: 400.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// The part: `JSON`, `form`, `query` or `path`, for example.
        what: &'static str,
        /// What is wrong, and where.
        why: String,
    },

    /// The body is JSON that does not fit the handler's type: 422.
    #[error("{}{why} at line {line} column {column}", prefix(field))]
    Json {
        /// The path of the value that does not fit, such as `items[2].price`. Empty for the whole body.
        field: String,
        /// What is wrong with it.
        why: String,
        /// The line that it ends in, from 1.
        line: usize,
        /// The column that it ends at, from 1.
        column: usize,
    },

    /// A field of a form does not fit the handler's type, or is missing: 422.
    #[error("{}{why}", prefix(field))]
    Form {
        /// The field. If one is missing, this is empty, and `why` names it.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// A value of the query does not fit the handler's type, or is missing: 400.
    #[error("query: {}{why}", prefix(field))]
    Query {
        /// The name of the value. If one is missing, this is empty, and `why` names it.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// A parameter of the path does not fit the handler's type: 400.
    #[error("path: {}{why}", prefix(field))]
    Params {
        /// The name of the parameter, as the pattern has it.
        field: String,
        /// What is wrong with it.
        why: String,
    },

    /// No layer around the handler has [inserted](crate::Cx::insert) a value of this type: 500.
    ///
    /// This is a mistake in the program; the log says which type is missing.
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
    /// Returns the status of the response.
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
