//! Where a value comes from.

use std::fmt::{self, Debug, Display, Formatter};
use std::ops::Range;
use std::sync::Arc;

use crate::source::Source;

/// Says where a value was given.
#[derive(Clone)]
pub enum Place {
    /// Nowhere: it is the default.
    Default,
    /// In a file, at these bytes.
    File(Arc<Source>, Range<usize>),
    /// In this variable of the environment.
    Variable(String),
    /// By this flag, which is written with its dashes.
    Flag(String),
}

impl Place {
    /// Tells whether it is the command line.
    #[must_use]
    pub fn is_flag(&self) -> bool {
        matches!(self, Self::Flag(_))
    }

    /// Tells whether it is the environment.
    #[must_use]
    pub fn is_variable(&self) -> bool {
        matches!(self, Self::Variable(_))
    }

    /// Tells whether it is a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self, Self::File(..))
    }
}

/// `file:line`, the name of a variable, the flag, or `default`.
impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(source, span) => write!(f, "{}:{}", source.path().display(), source.line(span.start) + 1),
            Self::Variable(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Debug for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Place({self})")
    }
}
