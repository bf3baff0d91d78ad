//! All that the gateway serves over HTTP, in one router.

use std::sync::Arc;

use gannet_http::Router;

use crate::gateway::Gateway;

impl Gateway {
    /// Returns the routes of all transports, of the server API, and of both pages. To be served on the engine that the gateway is
    /// installed in.
    pub fn routes(self: &Arc<Self>) -> Router {
        crate::transport::routes(self)
            .merge(crate::api::routes(self))
            .merge(crate::page::routes(self))
            .merge(crate::admin::routes(self))
    }
}
