//! Answers when a handler panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gannet::panic_message;

use crate::cx::Cx;
use crate::draft::FAILED;
use crate::layer::Layer;

/// Answers with 500 if a handler or an inner layer panics; the connection stays open.
///
/// Without this layer, the engine closes the connection without a response. Other connections go on in both cases.
///
/// Data that the handler had changed in part stays as it is. A program built with `panic = "abort"` ends nevertheless.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recover;

impl Layer for Recover {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| next(cx))) {
            let (route, request_id) = (cx.route().unwrap_or_default(), cx.request_id());
            tracing::error!(
                method = cx.method().as_str(),
                route,
                request_id,
                peer = %cx.peer(),
                panic = panic_message(&*panic),
                "a handler panicked; answered with 500"
            );
            cx.refuse(500, FAILED);
        }
    }
}
