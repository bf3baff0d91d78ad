//! What a host asks of a service whose sessions are futures: the seam to the module `session`, and not public.

use crate::context::Context;
use crate::ids::Token;
use crate::service::Service;

/// A service whose sessions are futures. Its host polls them, and they decode what was received when they want a message.
///
/// The host calls this on the reactor's thread. A session stays where it is from its first poll until
/// [`end`](Self::end): the slab's chunks never move, and the host takes a session out only after `end`.
pub trait Sequential<S: Service> {
    /// Polls a session, where its connection is open. `input` is what was received, and how much of it the session took.
    fn poll(&mut self, session: &mut S::Session, cx: Context<'_, S>, input: Option<&mut Input<'_>>);

    /// Drops the future of a session in its place, before the session is taken out.
    fn end(&mut self, session: &mut S::Session, cx: Context<'_, S>);

    /// Adds connections whose sessions were woken to `woken`.
    fn take_woken(&mut self, cx: &Context<'_, S>, woken: &mut Vec<Token>);
}

/// Received bytes that a session may decode while it is polled.
#[derive(Debug)]
pub struct Input<'a> {
    pub(crate) bytes: &'a mut [u8],
    /// So many of them were decoded.
    pub(crate) consumed: usize,
    /// How many of those that are left make another look worth while; 0 where that is now.
    pub(crate) need: usize,
    pub(crate) messages: u64,
    /// What the messages count in the share of their connection.
    pub(crate) work: usize,
    /// The work after which the turn of the connection is over.
    pub(crate) most: usize,
    /// Nothing comes behind these bytes.
    pub(crate) at_end: bool,
    /// The session asked for a message.
    pub(crate) is_wanted: bool,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a mut [u8], most: usize, at_end: bool) -> Self {
        Self { bytes, consumed: 0, need: 0, messages: 0, work: 0, most, at_end, is_wanted: false }
    }

    /// The same for a shorter time; [`give_back`](Self::give_back) brings home what became of it.
    pub(crate) fn lend(&mut self) -> Input<'_> {
        Input { bytes: &mut *self.bytes, ..*self }
    }

    /// What became of a lent one.
    pub(crate) fn outcome(&self) -> Input<'static> {
        Input { bytes: &mut [], ..*self }
    }

    /// Takes over what became of a lent one.
    pub(crate) fn give_back(&mut self, outcome: &Input<'static>) {
        let Input { bytes: _, consumed, need, messages, work, most: _, at_end: _, is_wanted } = *outcome;
        (self.consumed, self.need, self.messages) = (consumed, need, messages);
        (self.work, self.is_wanted) = (work, is_wanted);
    }

    /// Whether no further message may be taken in this turn.
    #[inline]
    pub(crate) fn is_spent(&self) -> bool {
        self.work > 0 && self.work >= self.most
    }
}
