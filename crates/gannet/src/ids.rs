//! Numbers of connections, services and listeners inside an engine.

/// The number of a connection in its reactor and driver: the index of its slot in the reactor's slab.
pub(crate) type Token = u32;

/// The number of a service: its index among all services of the engine, with a listener or outbound.
pub(crate) type ServiceId = u16;

/// The number of a service that has a listener.
pub(crate) type ListenerId = ServiceId;

/// Names a connection in a letter to its reactor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) token: Token,
    pub(crate) generation: u32,
}
