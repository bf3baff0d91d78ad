//! Answers on their way to sessions of the same reactor.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use gannet::{Context, Handle, Service};

use crate::error::CallError;
use crate::protocol::Protocol;

/// Holds the outcome of a call that a session made.
#[non_exhaustive]
pub struct Answer<P: Protocol> {
    /// The number that the session gave the call.
    pub tag: u64,
    /// The reply, or why there is none.
    pub result: Result<P::Owned, CallError>,
}

impl<P: Protocol> fmt::Debug for Answer<P>
where
    P::Owned: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("tag", &self.tag).field("result", &self.result).finish()
    }
}

/// Tells a session that a call of its own was answered: the notice of [`Pool::call_from`](crate::Pool::call_from).
///
/// Implement [`Notice<Answered<P>>`](gannet::Notice) for your service, and [`take`](Self::take) the answer there.
pub struct Answered<P>(PhantomData<fn() -> P>);

impl<P> fmt::Debug for Answered<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Answered")
    }
}

impl<P: Protocol> Answered<P> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }

    /// Takes the answer for the session of this context. There is one, unless it was taken by other means.
    #[must_use]
    pub fn take<S: Service>(self, cx: &Context<'_, S>) -> Option<Answer<P>> {
        let (inbox, handle) = (inbox::<P>(cx.reactor()), cx.handle());
        let mut inbox = inbox.borrow_mut();
        // What comes before belongs to sessions that are gone: notices arrive in the order of their answers.
        while let Some((of, answer)) = inbox.pop_front() {
            if of == handle {
                return Some(answer);
            }
        }
        None
    }
}

/// Answers in the order of their notices, which have no room for them: a notice without size takes no memory.
pub(crate) type Inbox<P> = VecDeque<(Handle, Answer<P>)>;

/// What a thread's reactors have for all pools of one protocol. A simulation has several reactors on a thread.
type Shelf = Vec<(TypeId, usize, Rc<dyn Any>)>;

thread_local! {
    static INBOXES: RefCell<Shelf> = const { RefCell::new(Vec::new()) };
}

/// The inbox of a protocol on a reactor of this thread.
pub(crate) fn inbox<P: Protocol>(reactor: usize) -> Rc<RefCell<Inbox<P>>> {
    let of = TypeId::of::<P>();
    INBOXES.with_borrow_mut(|shelf| {
        let found = shelf.iter().find(|(kind, at, _)| (*kind, *at) == (of, reactor));
        if let Some(Ok(inbox)) = found.map(|(_, _, inbox)| inbox.clone().downcast()) {
            return inbox;
        }
        let inbox = Rc::new(RefCell::new(Inbox::<P>::new()));
        shelf.push((of, reactor, inbox.clone()));
        inbox
    })
}
