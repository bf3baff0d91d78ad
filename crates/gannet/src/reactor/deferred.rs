//! What callbacks wanted done for other connections: broadcasts, writes, notices, closes, dials.

use std::mem;

use bytes::Bytes;

use crate::close_reason::CloseReason;
use crate::core::Deferred;
use crate::driver::Driver;
use crate::ids::Token;
use crate::outbox::TOGETHER_BYTES;

use super::Reactor;

impl<D: Driver> Reactor<D> {
    /// Does what callbacks wanted done for others, until they want nothing more. Where what is done leads to more and more,
    /// as with a service that dials again whenever it failed, the rest waits for the next turn.
    pub(super) fn run_deferred(&mut self) {
        while !self.core.deferred.is_empty() {
            let batch = mem::take(&mut self.core.deferred);
            let is_one = batch.len() == 1;
            for deferred in batch {
                match deferred {
                    Deferred::Broadcast { group, payload, except } => {
                        let members = self.core.groups.members(group).to_vec();
                        for token in members {
                            if Some(token) != except {
                                self.pass_on(token, payload.clone(), is_one);
                            }
                        }
                    }
                    Deferred::Write { place, payload } => match self.core.at(place) {
                        Some(connection) if connection.takes_output() => {
                            self.core.fulfil(place.token, payload.len());
                            self.pass_on(place.token, payload, is_one);
                        }
                        _ => self.core.counters.stale.add(1),
                    },
                    Deferred::Notice { place, errand } => {
                        self.core.notices -= 1;
                        if let Some(connection) = self.core.at(place) {
                            let service = connection.service;
                            let (host, core) = self.host(service);
                            errand.run(host, core, place.token);
                            self.settle_one(place.token);
                        } else {
                            self.core.counters.stale.add(1);
                        }
                    }
                    Deferred::Close { place, mode } => {
                        if self.core.at(place).is_some() {
                            let how = mode.flags();
                            self.core.ask_close(place.token, how, CloseReason::Service);
                            self.settle_one(place.token);
                        } else {
                            self.core.counters.stale.add(1);
                        }
                    }
                    Deferred::ShutWrite { place } => {
                        if self.core.at(place).is_none() {
                            self.core.counters.stale.add(1);
                        } else if self.core.shut_write(place.token) {
                            self.settle_one(place.token);
                        }
                    }
                    Deferred::Dial { service, route, timeout_ms, session } => {
                        self.dial(service, route, timeout_ms, session);
                    }
                }
            }
            if self.deferred_rounds == 0 {
                break;
            }
            self.deferred_rounds -= 1;
        }
        self.core.counters.groups.set(self.core.groups.len() as u64);
    }

    /// Queues what somebody else sends to a connection. Where it is all that is to be sent it leaves at once, while the
    /// connection is in the cache; where more is to come it leaves at the end of the turn, with that, or before its outbox
    /// gets long.
    fn pass_on(&mut self, token: Token, payload: Bytes, at_once: bool) {
        if at_once {
            self.core.append_shared(token, payload);
        } else {
            self.core.append_encoded(token, &payload);
        }
        let queued = self.core.slab.get(token).map_or(0, |connection| connection.outbox_len());
        if at_once || queued >= TOGETHER_BYTES {
            self.settle_one(token);
        } else {
            self.core.mark(token);
        }
    }
}
