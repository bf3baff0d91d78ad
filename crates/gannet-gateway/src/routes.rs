//! All that the gateway serves over HTTP, in one router.

use std::sync::Arc;

use gannet_http::Router;

use crate::api::Listener;
use crate::gateway::Gateway;

impl Gateway {
    /// Returns the routes of all transports, of the server API, and of both pages. To be served on the engine that the gateway is
    /// installed in.
    pub fn routes(self: &Arc<Self>) -> Router {
        crate::transport::routes(self)
            .merge(crate::api::routes(self, Listener::Shared))
            .merge(crate::page::routes(self))
            .merge(crate::admin::routes(self))
    }

    /// Returns the routes of the server API alone, for a listener that clients do not reach. To be served on the engine that the
    /// gateway is installed in. [`ApiSettings::own_listener`](crate::settings::ApiSettings::own_listener) takes the API off the
    /// others.
    pub fn api_routes(self: &Arc<Self>) -> Router {
        crate::api::routes(self, Listener::Own)
    }
}
