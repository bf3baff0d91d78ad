//! Calls into a service: with a session, with the last of one, and for no connection. A panic goes no further.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::sessions::SessionAndState;
use super::{Host as _, HostOf};
use crate::close_reason::CloseReason;
use crate::connection::{Flags, NO_SESSION};
use crate::context::Context;
use crate::core::Core;
use crate::ids::{ServiceId, Token};
use crate::panics::{Panicked, panic_message};
use crate::service::Service;
use crate::service_context::{NO_CONNECTION, ServiceContext};

impl<S: Service> HostOf<S> {
    pub(super) fn session_of(core: &Core, token: Token) -> u32 {
        core.slab.get(token).map_or(NO_SESSION, |connection| connection.session)
    }

    /// Calls the service for a connection that has a session.
    pub(crate) fn with_session<R>(
        &mut self,
        core: &mut Core,
        token: Token,
        call: impl FnOnce(&mut S, &mut S::Session, &mut Context<'_, S>) -> R,
    ) -> Option<R> {
        let entry = self.sessions.get_mut(Self::session_of(core, token))?;
        let (service, codec) = (&mut self.service, &self.codec);
        let SessionAndState { session, state } = entry;
        let called = guard(|| call(service, session, &mut Context { core, codec, state, token }));
        self.rescued(core, token, called)
    }

    /// Takes the session away and calls the service with it.
    pub(super) fn without_session(
        &mut self,
        core: &mut Core,
        token: Token,
        call: impl FnOnce(&mut S, S::Session, &mut Context<'_, S>),
    ) {
        let index = Self::session_of(core, token);
        if self.service.sequential().is_some() {
            self.with_session(core, token, |service, session, cx| {
                if let Some(sequential) = service.sequential() {
                    sequential.end(session, cx.reborrow());
                }
            });
        }
        if let Some(connection) = core.slab.get_mut(token) {
            connection.session = NO_SESSION;
        }
        let Some(SessionAndState { session, mut state }) = self.sessions.remove(index) else { return };
        let (service, codec, state) = (&mut self.service, &self.codec, &mut state);
        let called = guard(|| call(service, session, &mut Context { core, codec, state, token }));
        self.rescued(core, token, called);
    }

    /// Calls the service for no connection. A panic is logged with what was `called`, and goes no further.
    pub(super) fn without_connection(
        &mut self,
        core: &mut Core,
        service: ServiceId,
        called: &str,
        call: impl FnOnce(&mut S, &mut ServiceContext<'_, S>),
    ) {
        let (instance, codec, mut state) = (&mut self.service, &self.codec, Default::default());
        let cx = Context { core, codec, state: &mut state, token: NO_CONNECTION };
        if let Err(panic) = guard(|| call(instance, &mut ServiceContext { cx, service })) {
            let panic = panic_message(&*panic);
            tracing::error!(service = self.name(), called, panic, "a service panicked; it goes on");
        }
    }

    /// What came of a call into the service. A panic closes the connection that it happened for and goes no further.
    pub(super) fn rescued<R>(&self, core: &mut Core, token: Token, called: std::thread::Result<R>) -> Option<R> {
        called.map_err(|panic| self.panicked(core, token, &*panic)).ok()
    }

    #[cold]
    pub(super) fn panicked(&self, core: &mut Core, token: Token, panic: &(dyn Any + Send)) {
        tracing::error!(
            service = self.name(),
            peer = %core.peers.of(token),
            panic = panic_message(panic),
            "a service panicked; its connection is closed, the others go on"
        );
        core.ask_close_for(token, Flags::CLOSE, CloseReason::Panicked, Panicked::of(panic).into());
    }
}

/// Calls into a service, and catches a panic there.
pub(super) fn guard<R>(call: impl FnOnce() -> R) -> std::thread::Result<R> {
    catch_unwind(AssertUnwindSafe(call))
}
