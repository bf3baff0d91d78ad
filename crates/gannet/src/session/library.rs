//! How a library acts on the reactor of the session that is polled, as a callback of its service could: a pool of
//! connections places a call there, without a mailbox.

use gannet_proto::Raw;

use crate::context::Context;
use crate::service::{Message, Service};

use super::raw;

/// Stands for the service of the session that is polled, whatever its codec is.
#[doc(hidden)]
pub struct Polled(());

impl Service for Polled {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: Message<'_, Self>, _: &mut Context<'_, Self>) {}
}

/// Calls `act` with a context on the reactor of the session that is polled on this thread; `None` if there is none.
///
/// The context is that of the session's connection. What it sends to that connection goes past the session's codec.
#[doc(hidden)]
pub fn on_reactor<R>(act: impl for<'a> FnOnce(&mut Context<'a, Polled>) -> R) -> Option<R> {
    raw::with(|scope| {
        let (codec, mut state) = (Raw, ());
        act(&mut Context { core: scope.core, codec: &codec, state: &mut state, token: scope.place.token })
    })
}
