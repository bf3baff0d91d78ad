//! Answers that layers make from the head of a request, before its body has come, and how they get what the layers
//! outside of them add.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::cx::Cx;
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

/// What a layer has made of a request by its head.
pub(crate) struct Refusal {
    /// The layers outside of that one which were not called yet.
    outside: usize,
    /// The response, or the panic of the layer. That is continued where the layer is, so that the layers outside can
    /// catch it.
    answer: Option<thread::Result<Draft>>,
}

impl Cx<'_> {
    /// Whether the next layer is to be called. Where it is the one that has refused the request, the draft gets its
    /// answer instead.
    #[inline]
    pub(crate) fn reaches_layer(&mut self) -> bool {
        match &mut self.refusal {
            None => true,
            Some(refusal) => match refusal.outside.checked_sub(1) {
                Some(outside) => {
                    refusal.outside = outside;
                    true
                }
                None => {
                    // A layer outside may come here again.
                    match refusal.answer.take() {
                        Some(Ok(answer)) => self.draft.put(answer),
                        Some(Err(panic)) => resume_unwind(panic),
                        None => {}
                    }
                    false
                }
            },
        }
    }
}
