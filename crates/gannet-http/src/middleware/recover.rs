//! A panic of a handler becomes an answer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use gannet::panic_message;

use crate::cx::Cx;
use crate::draft::FAILED;
use crate::layer::Layer;

/// Answers with 500 where a handler, or a layer inside, panics. The connection stays. Without it the engine closes the
/// connection without an answer; others notice nothing either way.
///
/// What the handler had changed half is as it was left. A program built with `panic = "abort"` ends all the same.
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
