//! What operators ask of an engine that runs: who is connected, who was, and the traffic of one connection; and their order
//! to close some.
//!
//! An order goes to every reactor, past the mailbox. A reactor walks its slots, a bounded number in each turn, and the last
//! one calls back with what all have found.

mod closed;
mod order;
mod page;
mod query;
mod trace;

pub use self::closed::ClosedConnection;
pub use self::page::{ConnectionInfo, ConnectionState, Cursor, Kicked, Page};
pub use self::query::{Network, Query, Selection, Sort};
pub use self::trace::{Direction, Trace, TraceEvent, TraceOptions, TraceRefusal};

pub(crate) use self::closed::{Closed, ClosedQuery};
pub(crate) use self::order::{Order, Orders, Part};
pub(crate) use self::page::{Best, Found, Rank};
pub(crate) use self::trace::{MOST_TRACES, Tracing};

/// Slots that a reactor looks at for an order in one turn.
pub(crate) const SLOTS_A_TURN: u32 = 1_024;

/// Connections that a reactor closes for an order in one turn.
pub(crate) const KICKS_A_TURN: u32 = 256;

/// Says why an order of an operator was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The engine has not started, or has ended.
    #[error("the engine is not running")]
    NotRunning,
    /// A reactor has as many orders waiting as it takes.
    #[error("too many orders wait already")]
    Busy,
    /// There is no such connection.
    #[error("there is no such connection")]
    Gone,
}
