//! The parts of this thread, and how callbacks on it find and use one.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use gannet::{Context, Service};

use super::{Foreign, Part};
use crate::error::CallError;
use crate::protocol::Protocol;
use crate::shared::Shared;

/// The parts of this thread: pool, reactor, part. A simulation has several reactors on a thread.
type Parts = Vec<(u64, usize, Rc<dyn Any>)>;

thread_local! {
    static PARTS: RefCell<Parts> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn register<P: Protocol>(id: u64, reactor: usize, part: &Rc<RefCell<Part<P>>>) {
    PARTS.with_borrow_mut(|parts| parts.push((id, reactor, part.clone())));
}

pub(crate) fn unregister(id: u64, reactor: usize) {
    // At the end of a thread it may be gone already.
    let _ = PARTS.try_with(|parts| {
        if let Ok(mut parts) = parts.try_borrow_mut() {
            parts.retain(|(of, at, _)| (*of, *at) != (id, reactor));
        }
    });
}

/// Finds the part of a pool on this thread.
#[inline]
pub(crate) fn here<P: Protocol>(id: u64, reactor: usize) -> Option<Rc<RefCell<Part<P>>>> {
    PARTS.with_borrow(|parts| {
        let (_, _, part) = parts.iter().find(|(of, at, _)| (*of, *at) == (id, reactor))?;
        part.clone().downcast().ok()
    })
}

/// Has the part of a callback's reactor do something, and what becomes necessary by it.
pub(crate) fn act_in<P: Protocol, S: Service, R>(
    shared: &Shared<P>,
    cx: &mut Context<'_, S>,
    act: impl FnOnce(&mut Part<P>, &mut Foreign<'_, '_, P, S>) -> Result<R, CallError>,
) -> Result<R, CallError> {
    let part = here::<P>(shared.id, cx.reactor()).ok_or(CallError::NotHere)?;
    act_on(&part, shared, cx, act)
}

/// Has a part of this reactor do something, and what becomes necessary by it.
pub(crate) fn act_on<P: Protocol, S: Service, R>(
    part: &RefCell<Part<P>>,
    shared: &Shared<P>,
    cx: &mut Context<'_, S>,
    act: impl FnOnce(&mut Part<P>, &mut Foreign<'_, '_, P, S>) -> Result<R, CallError>,
) -> Result<R, CallError> {
    let outbound = shared.outbound.get().copied().ok_or(CallError::NotHere)?;
    // In a handler of the pool itself, its context is the one to call with.
    let mut part = part.try_borrow_mut().map_err(|_| CallError::NotHere)?;
    let mut cx = Foreign { cx, outbound };
    let done = act(&mut part, &mut cx);
    part.act(&mut cx);
    part.arm(&mut cx);
    done
}
