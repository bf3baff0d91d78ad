//! Where an outbound connection goes: what a program asked for, as reactor and driver read it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::Target;
use crate::filter::FilterFactory;

/// Where an outbound connection goes and comes from.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) to: Target,
    /// What else may be tried; not the driver's concern.
    pub(crate) others: Vec<SocketAddr>,
    pub(crate) from: Option<SocketAddr>,
    /// Silence after which the kernel asks its peer whether it is there; the engine's own where none is given.
    pub(crate) keepalive: Option<Option<Duration>>,
    /// What makes its filter; not the driver's concern.
    pub(crate) through: Option<Arc<dyn FilterFactory>>,
}
