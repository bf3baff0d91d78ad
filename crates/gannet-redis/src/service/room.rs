//! Clients that write while the store takes more than it may: each waits behind its command until enough keys have gone.
//!
//! So none of them gets ahead of the eviction by more than one command, however much that brings and however little each
//! key gives back.

use std::time::Duration;

use gannet::Context;

use super::{Redis, Session};

/// How long a client waits until it is looked again whether there is room.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Takes nothing more from a client until there is room.
#[cold]
pub(super) fn hold(service: &Redis, session: &mut Session, cx: &mut Context<'_, Redis>) {
    if session.asleep {
        // Its timer is that of its sleep.
        return;
    }
    service.server.memory.count_wait();
    session.waits_for_room = true;
    cx.pause();
    cx.set_timer(LOOK_AGAIN);
}

/// The timer of a client that waits has fired.
pub(super) fn held(service: &mut Redis, session: &mut Session, cx: &mut Context<'_, Redis>) {
    // One client makes room in each turn, whoever waits: the others are not to hold up the reactor together.
    let is_crowded = if service.made_room_at == cx.now() {
        service.server.memory.is_over(&service.server.store)
    } else {
        service.made_room_at = cx.now();
        // Where nothing can go, the next command is told.
        service.make_room().is_ok() && std::mem::take(&mut service.crowded)
    };
    if is_crowded {
        cx.set_timer(LOOK_AGAIN);
        return;
    }
    session.waits_for_room = false;
    if !session.is_held() {
        cx.resume();
    }
}
