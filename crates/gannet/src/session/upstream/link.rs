//! The engine's service of the outbound connections of sessions: it hears of them, and wakes their owners.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::task::Waker;

use gannet_proto::Raw;

use crate::carry::Carry;
use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::context::Context;
use crate::ids::{Place, Token};
use crate::service::{HalfClose, Input, Message, Sequential, Service, Session, Shutdown};

/// What an outbound connection and its owner know of each other.
#[derive(Default)]
pub(in crate::session) struct State {
    pub(super) place: Option<Place>,
    pub(super) failed: Option<io::Error>,
    /// The peer ended its stream, and this is what its owner has not taken of it: the connection may be gone by then.
    pub(super) rest: Option<Carry>,
    /// The connection is gone, for this reason.
    pub(super) closed: Option<CloseReason>,
    /// Its owner is gone.
    pub(super) is_left: bool,
    /// Those that wait to receive (or to be connected) and to send: with halves, both at a time.
    pub(super) receives: Option<Waker>,
    pub(super) sends: Option<Waker>,
}

impl State {
    /// Where the connection is, while it is there.
    pub(super) fn open_place(&self) -> Option<Place> {
        self.place.filter(|_| self.closed.is_none())
    }
}

/// The session of an outbound connection.
pub(crate) struct Link(pub(super) Rc<RefCell<State>>);

impl Session for Link {}

impl Link {
    fn tell(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.0.borrow_mut();
        what(&mut state);
        let wakers = [state.receives.take(), state.sends.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The service of all outbound connections that sessions have asked for.
pub(crate) struct Upstreams;

impl Service for Upstreams {
    type Codec = Raw;
    type Session = Link;

    /// A session that copies between two connections has to read from one while it writes to it.
    const AUTO_PAUSE: bool = false;

    fn sequential(&mut self) -> Option<&mut dyn Sequential<Self>> {
        Some(self)
    }

    fn name(&self) -> &str {
        "gannet::session::connect"
    }

    fn message(&mut self, _: &mut Link, _: Message<'_, Self>, _: &mut Context<'_, Self>) {}

    fn connected(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) {
        let token = cx.token;
        let Some(generation) = cx.core.slab.generation(token) else { return };
        if link.0.borrow().is_left {
            return cx.close();
        }
        link.tell(|state| state.place = Some(Place { token, generation }));
    }

    fn connect_failed(&mut self, link: Link, error: &io::Error, _: &mut Context<'_, Self>) {
        // The error of the system keeps its number.
        let error = error
            .raw_os_error()
            .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
        link.tell(|state| state.failed = Some(error));
    }

    fn half_closed(&mut self, link: &mut Link, cx: &mut Context<'_, Self>) -> HalfClose {
        if link.0.borrow().rest.is_none() {
            let mut rest = Carry::default();
            if let Some(carry) = cx.core.slab.get_mut(cx.token).and_then(|connection| connection.carry.take()) {
                rest.append(&carry);
                cx.core.pools.return_carry(carry);
            }
            link.tell(|state| state.rest = Some(rest));
        }
        HalfClose::KeepOpen
    }

    fn writable(&mut self, link: &mut Link, _: &mut Context<'_, Self>) {
        link.tell(|_| ());
    }

    /// It ends with its owner.
    fn shutdown(&mut self, _: &mut Link, _: &mut Context<'_, Self>) -> Shutdown {
        Shutdown::GoOn
    }

    fn close(&mut self, link: Link, reason: CloseReason, _: &mut Context<'_, Self>) {
        link.tell(|state| state.closed = Some(reason));
    }
}

impl Sequential<Self> for Upstreams {
    fn poll(&mut self, link: &mut Link, cx: Context<'_, Self>, input: Option<&mut Input<'_>>) {
        if input.is_some_and(|input| !input.at_end)
            && let Some(connection) = cx.core.slab.get_mut(cx.token)
        {
            connection.flags.set(Flags::HELD);
            cx.core.halt = true;
            link.tell(|_| ());
        }
    }

    fn end(&mut self, _: &mut Link, _: Context<'_, Self>) {}

    fn take_woken(&mut self, _: &Context<'_, Self>, _: &mut Vec<Token>) {}
}
