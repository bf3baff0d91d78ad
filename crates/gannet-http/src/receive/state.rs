//! A body that is received piece by piece, before it begins and while it comes.

use std::fmt;

use super::Receive;
use crate::rejection::Rejection;
use crate::response::Reply;
use crate::service::{Mode, Pending, Session};

/// What a handler wants done with the body.
pub(crate) struct Reception {
    pub(crate) receiver: Box<dyn Receive>,
    pub(crate) limit: u64,
}

/// A body that is being received.
pub(crate) struct Intake {
    pub(crate) receiver: Box<dyn Receive>,
    pub(crate) state: State,
    /// The response that was begun.
    pub(crate) pending: Box<Pending>,
}

/// Makes the response.
type Answering = Box<dyn FnOnce(&mut Reply<'_>)>;

pub(crate) struct State {
    pub(crate) serial: u64,
    /// Bytes so far.
    pub(crate) received: u64,
    pub(crate) limit: u64,
    /// Bytes when a deadline was over last.
    pub(crate) seen: u64,
    /// Work on the offload pools.
    pub(crate) jobs: u32,
    pub(crate) progress: Progress,
    /// Whether nothing is read because of work.
    pub(crate) paused: bool,
    pub(crate) answer: Option<Answering>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Coming,
    /// All has come, which the receiver has not heard yet.
    Whole,
    /// It has.
    Told,
}

impl State {
    /// Answers that there is too much to do.
    #[cold]
    pub(crate) fn refuse_for_now(&mut self) {
        self.answer.get_or_insert_with(|| {
            Box::new(|reply| {
                reply.refuse(503, "too much to do\n");
                reply.header("Retry-After", "1");
            })
        });
    }

    pub(crate) fn refuse_for_size(&mut self) {
        let limit = self.limit;
        self.answer.get_or_insert_with(|| Box::new(move |reply| reply.reject(&Rejection::TooLarge { limit })));
    }
}

impl fmt::Debug for Intake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").field("received", &self.state.received).finish_non_exhaustive()
    }
}

pub(crate) fn is_reception(session: &Session, serial: u64) -> bool {
    matches!(&session.mode, Mode::Receive(intake) if intake.state.serial == serial)
}
