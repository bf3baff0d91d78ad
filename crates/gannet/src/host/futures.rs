//! Sessions that are futures: they decode what they wait for, and are polled when they are woken.

use super::HostOf;
use super::calls::guard;
use super::decoding::Progress;
use super::sessions::SessionAndState;
use crate::context::Context;
use crate::core::Core;
use crate::ids::{ServiceId, Token};
use crate::service::{Input, Service};
use crate::service_context::NO_CONNECTION;

impl<S: Service> HostOf<S> {
    /// Has a session that is a future decode what it wants of `input`; that counts `most_work` at most.
    #[inline]
    pub(super) fn pull(
        &mut self,
        core: &mut Core,
        token: Token,
        session: u32,
        input: &mut Input<'_>,
        most_work: usize,
    ) -> Progress {
        let all = Progress { consumed: input.bytes.len(), need: 0 };
        let Some(SessionAndState { session, state }) = self.sessions.get_mut(session) else { return all };
        let Some(sequential) = self.service.sequential() else { return all };
        core.halt = false;
        let cx = Context { core, codec: &self.codec, state, token };
        let polled = guard(|| sequential.poll(session, cx, Some(input)));
        core.count_decoded(token, input.messages, input.work.min(most_work));
        match polled {
            Ok(()) => Progress { consumed: input.consumed, need: input.need },
            Err(panic) => {
                self.panicked(core, token, &*panic);
                all
            }
        }
    }

    /// Polls a session that is a future.
    pub(super) fn poll(&mut self, core: &mut Core, token: Token) {
        self.with_session(core, token, |service, session, cx| {
            if let Some(sequential) = service.sequential() {
                sequential.poll(session, cx.reborrow(), None);
            }
        });
    }

    /// Polls the sessions that were woken.
    #[cold]
    pub(super) fn poll_woken(&mut self, core: &mut Core, service: ServiceId) {
        let mut woken = Vec::new();
        let mut state = Default::default();
        if let Some(sequential) = self.service.sequential() {
            let cx = Context { core, codec: &self.codec, state: &mut state, token: NO_CONNECTION };
            sequential.take_woken(&cx, &mut woken);
        }
        for token in woken {
            // Its slot may be another's by now: that one is polled once for nothing.
            if core.slab.get(token).is_some_and(|connection| connection.service == service) {
                self.poll(core, token);
                core.mark(token);
            }
        }
    }

    /// Has a session decode what the peer ended its stream with; says whether there was a message.
    #[cold]
    pub(super) fn pull_last(&mut self, core: &mut Core, token: Token) -> bool {
        let Some(connection) = core.slab.get_mut(token) else { return false };
        let session = connection.session;
        let Some(mut carry) = connection.carry.take() else { return false };
        let mut input = Input::new(&mut carry, usize::MAX, true);
        let Progress { consumed, .. } = self.pull(core, token, session, &mut input, usize::MAX);
        let messages = input.messages;
        carry.consume(consumed);
        if carry.is_empty() {
            core.pools.return_carry(carry);
        } else {
            carry.need = 0;
            core.put_carry(token, carry);
        }
        messages > 0
    }
}
