//! The page at `/`: two tabs that show it talk to each other.

use std::sync::Arc;

use gannet_http::{Cx, Router};

use crate::gateway::Gateway;

/// What a browser may do for this page: nothing that is not from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Returns the routes of the page and of what it loads.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Router {
    let gateway = gateway.clone();
    Router::new()
        .get("/", move |cx| page(cx, &gateway))
        .get("/push.js", |cx| asset(cx, "text/javascript; charset=utf-8", include_str!("push.js")))
        .get("/push.css", |cx| asset(cx, "text/css; charset=utf-8", include_str!("push.css")))
}

fn asset(cx: &mut Cx<'_>, kind: &str, text: &str) {
    cx.header("Content-Type", kind);
    cx.header("X-Content-Type-Options", "nosniff");
    cx.header("Cache-Control", "no-cache");
    cx.text(text);
}

/// Writes the page. The script fills in where the server was reached.
fn page(cx: &mut Cx<'_>, gateway: &Gateway) {
    cx.header("Content-Type", "text/html; charset=utf-8");
    cx.header("Content-Security-Policy", POLICY);
    cx.header("Referrer-Policy", "no-referrer");
    cx.header("X-Content-Type-Options", "nosniff");
    let page = include_str!("page.html");
    let redis = gateway.redis_address().map_or(String::new(), |address| {
        let (host, port) = (address.ip(), address.port());
        format!("<h3>Publish by Redis</h3>\n<pre id=\"redis\">redis-cli -h {host} -p {port} publish demo:chat '{{\"text\":\"hello from redis-cli\"}}'</pre>\n")
    });
    cx.text(&page.replace("<!-- redis -->", &redis).replace("<!-- version -->", env!("CARGO_PKG_VERSION")));
}
