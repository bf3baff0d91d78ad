//! What is found: connections in their order, page by page.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::address::Peer;
use crate::connection::State;
use crate::description::Description;
use crate::handle::Handle;
use crate::ids::Place;

/// A page of connections, from all reactors.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Page {
    /// The connections, in the order that was asked for.
    pub connections: Vec<ConnectionInfo>,
    /// Where the next page begins; `None` at the end.
    ///
    /// Connections come, go and change between two pages, so one of them may be on both, or on none.
    pub next: Option<Cursor>,
    /// How many connections were selected, on all pages.
    pub selected: u64,
}

/// Describes one connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Refers to it.
    pub handle: Handle,
    /// The place of its service in [`ReactorStats::services`](crate::ReactorStats).
    pub service: usize,
    /// The address of its peer.
    pub peer: Peer,
    /// Where it is in its life.
    pub state: ConnectionState,
    /// How long ago it was accepted, or asked for, to the second.
    pub age: Duration,
    /// How long ago something was received or sent last.
    pub idle: Duration,
    /// Bytes that wait to be sent, encrypted ones included.
    pub pending: usize,
    /// Whether nothing is read from it, because its service or its outbox says so.
    pub is_paused: bool,
    /// What its service and its filter say of it.
    pub description: Description,
    pub(crate) rank: Rank,
}

/// Says where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// It was asked for here, and is not established yet.
    Connecting,
    /// Its filter (TLS) is not ready yet.
    Handshaking,
    /// Messages go both ways.
    Open,
    /// It closes when everything was sent.
    Draining,
}

impl ConnectionState {
    /// A closed one is none that anybody asks for.
    pub(crate) fn of(state: State) -> Option<Self> {
        Some(match state {
            State::Connecting => Self::Connecting,
            State::Handshaking => Self::Handshaking,
            State::Open => Self::Open,
            State::Draining => Self::Draining,
            State::Closed => return None,
        })
    }

    /// Returns the name in logs and reports, such as `open`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Handshaking => "handshaking",
            Self::Open => "open",
            Self::Draining => "draining",
        }
    }
}

/// The place of a connection in the order of a page: greater keys come first, then lower reactors and slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    key: Reverse<u64>,
    reactor: u16,
    token: u32,
}

impl Rank {
    pub(crate) fn new(key: u64, reactor: u16, token: u32) -> Self {
        Self { key: Reverse(key), reactor, token }
    }
}

/// Marks the end of a page. Write it down with `Display`, and read it with `FromStr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub(crate) Rank);

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rank { key: Reverse(key), reactor, token } = self.0;
        write!(f, "{key}.{reactor}.{token}")
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('.');
        let read = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(key), Some(reactor), Some(token), None) => {
                key.parse().ok().zip(reactor.parse().ok()).zip(token.parse().ok())
            }
            _ => None,
        };
        let ((key, reactor), token) = read.ok_or_else(|| "not a cursor: take it from the page before".to_owned())?;
        Ok(Self(Rank::new(key, reactor, token)))
    }
}

/// The first few of many, as one reactor comes by them.
pub(crate) struct Best {
    limit: usize,
    after: Option<Rank>,
    /// The last of them is on top.
    heap: BinaryHeap<(Rank, u32)>,
    /// Whether there are more than these.
    has_more: bool,
}

impl Best {
    pub(crate) fn new(limit: usize, after: Option<Rank>) -> Self {
        Self { limit, after, heap: BinaryHeap::new(), has_more: false }
    }

    /// One more; `generation` goes with it.
    pub(crate) fn offer(&mut self, rank: Rank, generation: u32) {
        if self.after.is_some_and(|after| rank <= after) {
            return;
        }
        if self.heap.len() == self.limit {
            self.has_more = true;
            if self.heap.peek().is_some_and(|(last, _)| rank >= *last) {
                return;
            }
            self.heap.pop();
        }
        self.heap.push((rank, generation));
    }

    /// The first few in their order, and whether there are more.
    pub(crate) fn into_sorted(self) -> (Vec<(Rank, Place)>, bool) {
        let sorted = self.heap.into_sorted_vec().into_iter();
        let place = |(rank, generation): (Rank, u32)| (rank, Place { token: rank.token, generation });
        (sorted.map(place).collect(), self.has_more)
    }
}

/// What reactors have found so far.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) connections: Vec<ConnectionInfo>,
    pub(crate) selected: u64,
    pub(crate) has_more: bool,
}

impl Found {
    /// The page, when all reactors have added theirs.
    pub(crate) fn into_page(mut self, limit: usize) -> Page {
        self.connections.sort_unstable_by_key(|connection| connection.rank);
        let has_more = self.has_more || self.connections.len() > limit;
        self.connections.truncate(limit);
        let last = self.connections.last().map(|connection| Cursor(connection.rank));
        Page { connections: self.connections, next: last.filter(|_| has_more), selected: self.selected }
    }
}

/// Says what came of an order to close connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kicked {
    /// Connections that were selected, and are closing now.
    pub connections: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_are_kept_in_their_order_page_by_page() {
        let keys = [5, 9, 1, 9, 7, 3];
        let (mut after, mut pages) = (None, Vec::new());
        loop {
            let mut best = Best::new(2, after);
            for (token, key) in keys.into_iter().enumerate() {
                best.offer(Rank::new(key, 0, token as u32), 1);
            }
            let (page, has_more) = best.into_sorted();
            pages.push(page.iter().map(|(_, place)| place.token).collect::<Vec<_>>());
            after = page.last().map(|(rank, _)| *rank);
            if !has_more {
                break;
            }
        }
        assert_eq!(pages, [vec![1, 3], vec![4, 0], vec![5, 2]]);
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let cursor = Cursor(Rank::new(u64::MAX, 3, 77));
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "1.2", "1.2.3.4", "1.70000.3", "a.b.c", "-1.0.0"] {
            text.parse::<Cursor>().expect_err(text);
        }
    }
}
