//! `/emulation`: the commands of sessions whose connection goes to the client only.

use std::sync::Arc;

use gannet_channels::ClientKey;
use gannet_http::Cx;
use gannet_proto::centrifuge::Format;

use crate::gateway::Gateway;
use crate::pump::Post;

/// Returns the name of a session: where it is, and a secret.
pub(crate) fn name(reactor: usize, key: ClientKey, secret: u128) -> String {
    format!("{reactor:x}.{:x}.{secret:032x}", key.to_bits())
}

fn parse(name: &str) -> Option<(usize, ClientKey, u128)> {
    let mut parts = name.split('.');
    let reactor = usize::from_str_radix(parts.next()?, 16).ok()?;
    let key = ClientKey::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?);
    let secret = u128::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some((reactor, key, secret))
}

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
    let Some((reactor, key, secret)) = parse(&request.session) else {
        return super::answer(cx, 400, "the name of the session is malformed\n");
    };
    gateway.post(reactor, Post::Commands { key, secret, frame: request.data.into_owned() });
    cx.status(204);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_name() {
        let key = ClientKey::from_bits(0x1234_0000_0007);
        assert_eq!(parse(&name(3, key, 5 << 90)), Some((3, key, 5 << 90)));
        for malformed in ["", "1.2", "1.2.3.4", "x.2.3", "1..3"] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }
}
