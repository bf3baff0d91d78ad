//! The calls of one connection: those that were sent, by their identifiers, and those that wait for their turn.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use gannet_proto::multiplexed::{Frame, Kind};

use super::super::error::Error;
use super::super::message::Message;

/// Says why a request has no reply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other side could not answer; it says why.
    #[error("the request failed: {}", String::from_utf8_lossy(.0))]
    Failed(Message),
    /// The other side gave the request up, because it took too long there.
    #[error("the request took too long on the other side")]
    TimedOut,
    /// The other side gave the request up, because it was cancelled.
    #[error("the request was cancelled")]
    Cancelled,
    /// The request is larger than a frame can be; nothing was sent.
    #[error("the request is too large")]
    TooLarge,
    /// The connection is gone. Whether the other side has seen the request is not known.
    #[error("the connection is gone")]
    Closed,
}

impl From<CallError> for Error {
    fn from(error: CallError) -> Self {
        Self::other(error)
    }
}

/// A request that was sent.
pub(super) enum Entry {
    /// Its caller waits.
    Waits(Waker),
    /// Its caller is gone. It keeps its place until it was answered.
    Left,
    /// Its caller has not looked yet.
    Answered(Result<Message, CallError>),
}

pub(super) struct Calls {
    /// Requests in flight at most.
    pub(super) most: usize,
    /// Those that were sent and not answered.
    pub(super) in_flight: usize,
    last_id: u32,
    pub(super) sent: HashMap<u32, Entry>,
    /// Callers that wait for their turn, first come first served.
    pub(super) waiting: VecDeque<(u64, Waker)>,
    pub(super) last_ticket: u64,
    pub(super) strays: u64,
    pub(super) is_over: bool,
}

impl Calls {
    pub(super) fn new(in_flight: usize) -> Self {
        Self {
            most: in_flight.max(1),
            in_flight: 0,
            last_id: 0,
            sent: HashMap::new(),
            waiting: VecDeque::new(),
            last_ticket: 0,
            strays: 0,
            is_over: false,
        }
    }

    pub(super) fn is_turn_of(&self, ticket: Option<u64>) -> bool {
        self.in_flight < self.most && self.waiting.front().is_none_or(|(first, _)| Some(*first) == ticket)
    }

    pub(super) fn leave_line(&mut self, ticket: u64) {
        self.waiting.retain(|(waits, _)| *waits != ticket);
    }

    /// Whose turn it is, if there is room.
    pub(super) fn next_in_line(&self) -> Option<Waker> {
        let is_turn = self.is_over || self.in_flight < self.most;
        self.waiting.front().filter(|_| is_turn).map(|(_, waker)| waker.clone())
    }

    /// An identifier that no request in flight has.
    pub(super) fn new_id(&mut self) -> u32 {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            if !self.sent.contains_key(&self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Takes an answer in; gives out who waits for it.
    pub(super) fn answer(&mut self, frame: &Frame<'_>) -> Option<Waker> {
        let Some(entry) = self.sent.get_mut(&frame.id).filter(|entry| !matches!(entry, Entry::Answered(_))) else {
            self.strays += 1;
            return None;
        };
        let answer = match frame.kind {
            Kind::Reply => Ok(Message::copy(frame.body)),
            Kind::Failed => Err(CallError::Failed(Message::copy(frame.body))),
            Kind::TimedOut => Err(CallError::TimedOut),
            Kind::Cancelled => Err(CallError::Cancelled),
            Kind::Request | Kind::Cancel => {
                self.strays += 1;
                return None;
            }
        };
        self.in_flight -= 1;
        if let Entry::Waits(waker) = std::mem::replace(entry, Entry::Answered(answer)) {
            return Some(waker);
        }
        self.sent.remove(&frame.id);
        None
    }

    /// No more answers come; gives out all who wait.
    pub(super) fn end(&mut self) -> Vec<Waker> {
        self.is_over = true;
        let line = self.waiting.drain(..).map(|(_, waker)| waker);
        let sent = self.sent.values_mut().filter_map(|entry| match entry {
            Entry::Waits(waker) => Some(waker.clone()),
            Entry::Left | Entry::Answered(_) => None,
        });
        line.chain(sent).collect()
    }
}
