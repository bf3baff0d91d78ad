//! What keeps some clients of the admin socket from delaying the others: each connection has one request, and there is a limit
//! on clients.

use gannet::RefusalReason;

/// The most clients of the admin socket at a time. Each has one order under way at most, so a reactor, which takes 256, has
/// room for those of all.
pub(super) const MOST_CLIENTS: u32 = 128;

/// The most clients of one address, where it listens on TCP: others of the network leave room for the rest.
pub(super) const MOST_OF_AN_ADDRESS: u32 = 64;

/// What a client is answered beyond these limits.
const CROWDED: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: application/json\r\n\
    Gannet-Admin: 1\r\n\
    Retry-After: 1\r\n\
    Content-Length: 126\r\n\
    Connection: close\r\n\r\n\
    {\"error\":{\"code\":\"crowded\",\"message\":\"the admin socket has as many clients as it takes; ask again when one of them has left\"}}";

/// The answer to a client that is refused for a reason.
pub(super) fn refusal(why: RefusalReason) -> &'static [u8] {
    match why {
        RefusalReason::Listener
        | RefusalReason::ListenerPeer
        | RefusalReason::Connections
        | RefusalReason::Peer
        | RefusalReason::Room => CROWDED,
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use gannet::proto::http::Responses;
    use gannet::proto::{Codec as _, Decoded};
    use serde_json::Value;

    use super::*;
    use crate::admin::answer::SIGNATURE;

    #[test]
    fn a_client_too_many_is_answered_with_a_whole_response_that_says_so() {
        let mut bytes = refusal(RefusalReason::Listener).to_vec();
        let Ok(Decoded::Message { message, .. }) = Responses::new().decode(&mut Default::default(), &mut bytes) else {
            panic!("no response")
        };
        assert!(message.status == 503 && message.header(SIGNATURE).is_some() && !message.keep_alive());
        let body: Value = serde_json::from_slice(message.body).expect("JSON");
        assert_eq!(body["error"]["code"], "crowded");
        assert!(refusal(RefusalReason::Denied).is_empty(), "a stranger is told nothing");
    }
}
