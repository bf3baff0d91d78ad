//! Names of connections and listeners, as the parts of an engine call them between them.

/// A connection, as reactor and driver call it between them: the index of its slot in the reactor's slab.
pub(crate) type Token = u32;

/// A listener, as reactor and driver call it between them: its index among the engine's services.
pub(crate) type ListenerId = u16;

/// A connection in a message to its reactor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) token: Token,
    pub(crate) generation: u32,
}
