//! `/emulation`: the commands of sessions whose connection goes to the client only.

use std::sync::Arc;

use gannet_http::{Cx, Trace};
use gannet_proto::centrifuge::Format;

use crate::gateway::Gateway;
use crate::pump::Post;
use crate::session::name;

/// Passes commands on to their session.
pub(crate) fn pass_on(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    if !super::admit(cx, gateway) {
        return;
    }
    let format = if super::is_protobuf(cx) { Format::Protobuf } else { Format::Json };
    let Ok(request) = format.emulation_request(cx.request_body()) else {
        return super::answer(cx, 400, "the body is no request to /emulation\n");
    };
    if request.node != gateway.node() {
        return super::answer(cx, 404, "there is no such node\n");
    }
    let Some((reactor, key, secret)) = name::parse(&request.session) else {
        return super::answer(cx, 400, "the name of the session is malformed\n");
    };
    let trace = gateway.tracer().and_then(|_| cx.extension::<Trace>().ok().copied());
    gateway.post(reactor, Post::Commands { key, secret, frame: request.data.into_owned(), trace });
    cx.status(204);
}
