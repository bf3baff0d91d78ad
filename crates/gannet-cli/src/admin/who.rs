//! Who gives an order.

use gannet_http::{Cx, Layer};

use crate::audit::{Audit, Who};

/// Who gives an order, as the client says it: only the server's own user, root, and who has the token can say anything.
pub(super) fn operator(cx: &Cx<'_>) -> String {
    let said = cx.request_header("gannet-operator").unwrap_or(b"unknown");
    String::from_utf8_lossy(&said[..said.len().min(64)]).replace(|character: char| character.is_control(), " ")
}

/// The same for the audit log, with what proves that they may: the mode of the socket, or the token.
pub(super) fn who(cx: &Cx<'_>) -> Who {
    let (by, peer) = match cx.peer().ip() {
        None => ("unix", "unix".to_owned()),
        Some(_) => ("token", cx.peer().to_string()),
    };
    let operator = cx.request_header("gannet-operator").map(|_| operator(cx));
    Who { by, peer: Some(peer), operator }
}

/// Records requests without the token.
#[derive(Clone)]
pub(super) struct Strangers(pub(super) Audit);

impl Layer for Strangers {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        if cx.response_status() == 401 {
            let who = Who { operator: None, ..who(cx) };
            self.0.stranger("authenticate", &who, serde_json::json!({ "path": cx.path() }));
        }
    }
}
