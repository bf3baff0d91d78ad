//! HTTP requests, all of them the same: they are put into bytes once for a run, and these are written for each request. An
//! answer is judged by its status.

mod request;

use std::sync::Arc;

use gannet::proto::http::{Reply, Responses, ResponsesState};
use gannet::{Context, Service};

pub use self::request::{Header, Method, Path, Request, RequestError, Statuses};
use super::{Aside, Expected, Scenario, Wrong};
use crate::letters::Letters;

/// The largest response that is accepted, head included: over it the connection ends.
const LARGEST_BODY_BYTES: usize = 64 << 20;

/// Against the service `http`, and against any server of HTTP/1.1.
#[derive(Clone, Debug)]
pub struct Http {
    request: Arc<[u8]>,
    accepted: Statuses,
    is_head: bool,
    is_idempotent: bool,
    keep_alive: bool,
}

impl Http {
    /// This request, again and again.
    #[must_use]
    pub fn new(request: &Request) -> Self {
        Self {
            request: request.encode().into(),
            accepted: request.accepted.clone(),
            is_head: request.method.is_head(),
            is_idempotent: request.method.is_idempotent(),
            keep_alive: request.keep_alive,
        }
    }
}

/// Holds the state of a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// It has answered, so that it may end without anybody wondering.
    has_answered: bool,
    /// No further request is answered on it.
    is_spent: bool,
}

impl Scenario for Http {
    type Codec = Responses;
    type Progress = Progress;

    fn codec(&self) -> Responses {
        let responses = Responses::new().max_head(64 << 10).max_body(LARGEST_BODY_BYTES);
        if self.is_head { responses.to_head() } else { responses }
    }

    fn largest_message(&self) -> usize {
        self.codec().largest()
    }

    fn request<S: Service<Codec = Responses>>(&self, payload: &[u8], cx: &mut Context<'_, S>) {
        cx.write(payload);
    }

    fn ask<S: Service<Codec = Responses>>(&self, _: &Letters, _: u32, _: u64, cx: &mut Context<'_, S>) {
        cx.write(&self.request);
    }

    fn answers_alike(&self) -> bool {
        true
    }

    fn takes_one_request(&self) -> bool {
        !self.keep_alive
    }

    /// Interim responses mean nothing here (RFC 9110 §15.2); a protocol that nobody asked to switch to is another matter.
    fn aside<S: Service<Codec = Responses>>(&self, reply: &Reply<'_>, _: u32, _: &mut Context<'_, S>) -> Option<Aside> {
        (reply.status < 200 && reply.status != 101).then_some(Aside::Handled)
    }

    fn status(&self, progress: &mut Progress, reply: &Reply<'_>) -> Option<u16> {
        *progress = Progress { has_answered: true, is_spent: !self.keep_alive || !reply.keep_alive() };
        Some(reply.status)
    }

    fn refusal<'m>(&self, reply: &'m Reply<'_>) -> Option<&'m [u8]> {
        (reply.status != 101 && !self.accepted.has(reply.status)).then_some(b"status")
    }

    fn is_spent(&self, progress: &Progress) -> bool {
        progress.is_spent
    }

    fn may_end(&self, progress: &Progress, state: &ResponsesState) -> bool {
        progress.has_answered && state.is_between_responses()
    }

    /// As clients do by themselves (RFC 9110 §9.2.2).
    fn may_repeat(&self) -> bool {
        self.is_idempotent
    }

    fn answer(&self, _: &mut Progress, reply: Reply<'_>, expected: Expected<'_>) -> Result<u64, Wrong> {
        if expected.outstanding == 0 || reply.status == 101 { Err(Wrong) } else { Ok(1) }
    }

    fn login_answer(&self, _: &mut Progress, _: Reply<'_>, _: &[u8]) -> Result<bool, Wrong> {
        Err(Wrong)
    }
}
