//! What happens on the connections of a part: they open, receive and end.

use std::time::Duration;

use gannet::Handle;

use super::{Caller, Part, Reach, Slot};
use crate::error::Loss;
use crate::lease::Pushes;
use crate::pool::{ConnectionId, Replied};
use crate::protocol::{Handshake, Incoming, Message, Protocol};
use crate::service::Link;

/// What is to be done with a message.
pub(crate) enum Delivery<P: Protocol, R> {
    /// The caller's reply.
    To(Caller<P>, R),
    /// A push, for the handler.
    Push(R),
    Nobody,
}

impl<P: Protocol> Part<P> {
    pub(super) fn dial<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId, endpoint: usize) {
        let index = connection.slot as usize;
        let fresh =
            || Slot { generation: connection.generation, handle: None, state: P::State::default(), greeted: false };
        while self.slots.len() <= index {
            self.slots.push(fresh());
        }
        self.slots[index] = fresh();
        let outbound = self.shared.outbound.get().copied();
        let route = self.endpoints.get(endpoint).and_then(Option::as_ref);
        let dialled = match (outbound, route) {
            (Some(outbound), Some((_, connect))) => cx.connect(outbound, connect, Link { connection }),
            _ => Err(gannet::Error::Setting("the endpoint was taken off the list".to_owned())),
        };
        if let Err(error) = dialled {
            self.shared.note_failure(&error.to_string());
            self.pool.closed(cx.now(), connection, Loss::Connect);
        }
    }

    /// A connection is open: its handshake begins. Returns false where nobody wants it any more.
    pub(crate) fn connected<X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        connection: ConnectionId,
        handle: Handle,
    ) -> bool {
        if !self.pool.connected(cx.now(), connection) {
            return false;
        }
        let protocol = self.protocol.clone();
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        let Some(slot) = self.slot(connection) else { return false };
        slot.handle = Some(handle);
        let handshake = protocol.connected(&mut slot.state, &mut scratch);
        self.scratch = scratch;
        self.write(cx, connection);
        self.shake(cx, connection, handshake);
        true
    }

    fn shake<X: Reach<P> + ?Sized>(&mut self, cx: &mut X, connection: ConnectionId, handshake: Handshake) {
        match handshake {
            Handshake::Wait => {}
            Handshake::Done => {
                if let Some(slot) = self.slot(connection) {
                    slot.greeted = true;
                }
                self.pool.ready(cx.now(), connection);
                let ready = self.pool.ready_connections();
                if !self.warmed && ready > 0 && ready >= self.pool.settings().min_idle {
                    self.warmed = true;
                    self.shared.note_warm();
                }
            }
            Handshake::Failed(why) => {
                tracing::warn!(pool = %self.shared.name, why, "the handshake failed");
                self.shared.note_failure(&why);
                self.pool.fail(cx.now(), connection, Loss::Handshake);
            }
        }
    }

    /// A message has come.
    #[inline]
    pub(crate) fn message<'m, X: Reach<P> + ?Sized>(
        &mut self,
        cx: &mut X,
        connection: ConnectionId,
        message: Message<'m, P>,
    ) -> Delivery<P, P::Reply<'m>> {
        let now = cx.now();
        let protocol = &*self.protocol;
        let Some(slot) = self.slots.get_mut(connection.slot as usize) else { return Delivery::Nobody };
        if slot.generation != connection.generation {
            return Delivery::Nobody;
        }
        if !slot.greeted {
            let protocol = self.protocol.clone();
            let mut scratch = std::mem::take(&mut self.scratch);
            scratch.clear();
            let handshake = protocol.greeted(&mut slot.state, message, &mut scratch);
            self.scratch = scratch;
            self.write(cx, connection);
            self.shake(cx, connection, handshake);
            return Delivery::Nobody;
        }
        let (key, reply, last) = match protocol.receive(&mut slot.state, message) {
            Incoming::Reply(reply) => (None, reply, false),
            Incoming::Keyed(key, reply) => (Some(key), reply, false),
            Incoming::Last(reply) => (None, reply, true),
            Incoming::Push(reply) => return self.pushed(now, connection, reply),
            Incoming::Ignore => return Delivery::Nobody,
            Incoming::Broken(why) => {
                tracing::warn!(pool = %self.shared.name, why, "a connection breaks the protocol");
                self.pool.fail(now, connection, Loss::Protocol);
                return Delivery::Nobody;
            }
        };
        if last {
            self.pool.retire_soon(now, connection);
        }
        match self.pool.replied(now, connection, key) {
            Replied::To(caller) => Delivery::To(caller, reply),
            Replied::Nobody | Replied::Unexpected => Delivery::Nobody,
        }
    }

    /// A message has come that answers nothing: for who has the connection alone, or for the handler.
    fn pushed<'m>(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        message: P::Reply<'m>,
    ) -> Delivery<P, P::Reply<'m>> {
        let Some(pushes) = self.pushes(connection) else { return Delivery::Push(message) };
        if !Pushes::push(&pushes, self.protocol.copied(message)) {
            tracing::warn!(pool = %self.shared.name, "closes a lease whose holder takes no messages");
            self.pool.fail(now, connection, Loss::Lease);
        }
        Delivery::Nobody
    }

    /// A connection has ended.
    pub(crate) fn closed(&mut self, now: Duration, connection: ConnectionId, loss: Loss) {
        self.close_pushes(connection);
        let loss = match self.slot(connection) {
            Some(slot) if slot.handle.is_some() && !slot.greeted && loss == Loss::Peer => Loss::Handshake,
            _ => loss,
        };
        self.pool.closed(now, connection, loss);
    }

    pub(super) fn close_pushes(&self, connection: ConnectionId) {
        if let Some(pushes) = self.pushes(connection) {
            Pushes::close(&pushes);
        }
    }
}
