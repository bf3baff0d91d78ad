//! Answers that layers make from the head of a request, before its body has come, and how they get what the layers
//! outside of them add.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cx::{Cx, Refusal};
use crate::draft::Draft;
use crate::layer::Layer;

/// A handler with all its layers, behind one virtual call.
pub(crate) trait Endpoint: Send + Sync {
    /// Answers a request.
    fn run(&self, cx: &mut Cx<'_>);

    /// Asks the layers whether they accept a request whose body has not come. Counts those that do.
    fn admit_all(&self, cx: &mut Cx<'_>, accepted: &mut usize) -> bool;
}

pub(crate) struct Layered<L, F> {
    pub(crate) layers: L,
    pub(crate) handler: F,
}

impl<L: Layer, F: Fn(&mut Cx<'_>) + Send + Sync> Endpoint for Layered<L, F> {
    #[inline]
    fn run(&self, cx: &mut Cx<'_>) {
        self.layers.run(cx, &self.handler);
    }

    fn admit_all(&self, cx: &mut Cx<'_>, accepted: &mut usize) -> bool {
        self.layers.admit_all(cx, accepted)
    }
}

/// A handler of another router, with the layers of this one around its own.
pub(crate) struct Nested<L> {
    pub(crate) layers: L,
    pub(crate) inner: Box<dyn Endpoint>,
}

impl<L: Layer> Endpoint for Nested<L> {
    fn run(&self, cx: &mut Cx<'_>) {
        self.layers.run(cx, |cx: &mut Cx<'_>| self.inner.run(cx));
    }

    fn admit_all(&self, cx: &mut Cx<'_>, accepted: &mut usize) -> bool {
        self.layers.admit_all(cx, accepted) && self.inner.admit_all(cx, accepted)
    }
}

/// Whether the layers of an endpoint accept a request whose body has not come. Where one does not, the draft has its
/// answer, with all that the layers outside of it make of that.
pub(crate) fn admit(endpoint: &dyn Endpoint, cx: &mut Cx<'_>) -> bool {
    let mut outside = 0;
    let admitted = catch_unwind(AssertUnwindSafe(|| endpoint.admit_all(cx, &mut outside)));
    if let Ok(true) = admitted {
        return true;
    }
    let mut draft = mem::replace(cx.draft, Draft::new());
    // The layers outside have charged the request already.
    mem::swap(&mut cx.draft.charged, &mut draft.charged);
    cx.refusal = Some(Box::new(Refusal { outside, answer: Some(admitted.map(|_| draft)) }));
    endpoint.run(cx);
    false
}

/// A route as it was built; or a fallback, whose pattern is its prefix.
pub(crate) struct Route {
    pub(crate) pattern: String,
    pub(crate) endpoint: Box<dyn Endpoint>,
    /// Whether it is called when the head has come.
    pub(crate) by_head: bool,
}
