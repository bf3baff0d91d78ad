//! How the admin socket answers: JSON always, errors as `{"error":{"code":…,"message":…}}`.

use gannet_http::{Cx, Json, Layer, Reply, Respond};
use serde::Serialize;

use crate::control::{Outcome, Refused};

/// The body of an error.
#[derive(Serialize)]
struct Problem<'a> {
    error: Said<'a>,
}

#[derive(Serialize)]
struct Said<'a> {
    code: &'a str,
    message: &'a str,
}

/// The header field of every answer by which a client knows that it is from an admin socket.
pub(super) const SIGNATURE: &str = "Gannet-Admin";

/// Turns the errors of the router and of requests that cannot be read into JSON, and signs each answer.
#[derive(Clone)]
pub(super) struct JsonErrors;

impl Layer for JsonErrors {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        cx.finally(as_ours);
    }
}

fn as_ours(reply: &mut Reply<'_>) {
    as_json(reply);
    reply.header(SIGNATURE, "1");
}

fn as_json(reply: &mut Reply<'_>) {
    let status = reply.response_status();
    if status < 400 || reply.response_header("content-type").is_some_and(|kind| kind == b"application/json") {
        return;
    }
    let text = String::from_utf8_lossy(reply.response_body()).trim().to_owned();
    let code = match status {
        401 => "unauthorized",
        404 => "not_found",
        405 => "method_not_allowed",
        413 => "too_large",
        503 => "unavailable",
        500.. => "internal",
        _ => "malformed",
    };
    reply.header("Content-Type", "application/json");
    // A value is written in place of the text.
    (status, Json(Problem { error: Said { code, message: &text } })).respond(reply);
}

/// An order's outcome as a response.
pub(super) fn outcome(outcome: Outcome, reply: &mut Reply<'_>) {
    match outcome {
        Ok(report) => Json(report).respond(reply),
        Err(refused) => refuse(&refused, reply),
    }
}

/// An error as a response.
pub(super) fn refuse(refused: &Refused, reply: &mut Reply<'_>) {
    #[derive(Serialize)]
    struct Body<'a> {
        error: &'a Refused,
    }
    (refused.status, Json(Body { error: refused })).respond(reply);
}
