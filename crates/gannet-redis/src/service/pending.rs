//! Replies that are larger than an outbox may be: they leave piece by piece, as the client takes them.
//!
//! Until all of a reply has left, nothing more is taken from its client. So one client makes the server hold little beside
//! what the store has anyway, and none keeps a reactor from the others for long.

use std::collections::VecDeque;

use gannet::{Context, SendStatus};

use super::{Redis, Session};
use crate::command::parts::{Part, Parts};
use crate::store::garbage::Garbage;

/// Bytes of a reply that are written ahead for a subscriber, whose messages must not come in the middle of one. Over it the
/// connection is closed: Redis's limit on the output of a subscriber.
const MOST_AHEAD_BYTES: usize = 32 << 20;

/// What has not left yet of the replies to a client, in order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    parts: VecDeque<Part>,
    /// Nothing more is taken from the client.
    is_paused: bool,
}

/// Puts a reply behind what has not left yet, and sends what there is room for.
pub(super) fn send(
    service: &mut Redis,
    session: &mut Session,
    text: Vec<u8>,
    parts: &mut Parts,
    cx: &mut Context<'_, Redis>,
) {
    session.pending.get_or_insert_default().parts.extend(parts.drain(text));
    go_on(service, session, cx);
}

/// Sends more of a reply, as much as there is room for.
pub(super) fn go_on(service: &mut Redis, session: &mut Session, cx: &mut Context<'_, Redis>) {
    let Some(mut pending) = session.pending.take() else { return };
    let is_subscriber = session.subscriptions.is_some();
    let mut written = 0;
    while let Some(part) = pending.parts.front_mut() {
        let status = match part {
            Part::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                pending.parts.pop_front();
                cx.answer_shared(bytes)
            }
            Part::Fields(fields) => {
                let piece = fields.write(session.version, Vec::new());
                written += piece.len();
                if fields.left() == 0 {
                    service
                        .server
                        .disposal
                        .drop_later(pending.parts.pop_front().into_iter().filter_map(hash_of).collect());
                }
                cx.answer_shared(piece.into())
            }
        };
        match status {
            SendStatus::Closed => return,
            SendStatus::OverHigh if !is_subscriber && !pending.parts.is_empty() => {
                service.server.memory.count_piece();
                pending.is_paused = true;
                session.pending = Some(pending);
                return cx.pause();
            }
            _ if is_subscriber && written > MOST_AHEAD_BYTES => return cx.close(),
            _ => {}
        }
    }
    if pending.is_paused && !session.is_held() {
        cx.resume();
    }
}

/// What takes long to drop of a part.
fn hash_of(part: Part) -> Option<Garbage> {
    match part {
        Part::Fields(fields) => Some(Garbage::Leased(fields.into_hash())),
        Part::Bytes(_) => None,
    }
}

/// The client is gone: what it has not taken is dropped where that holds nobody up.
pub(super) fn forget(service: &Redis, pending: Pending) {
    let garbage: Vec<Garbage> = pending.parts.into_iter().filter_map(hash_of).collect();
    if !garbage.is_empty() {
        service.server.disposal.drop_later(garbage);
    }
}

/// There is room again for more of a reply.
pub(super) fn writable(service: &mut Redis, session: &mut Session, cx: &mut Context<'_, Redis>) {
    if session.pending.is_none() {
        return;
    }
    go_on(service, session, cx);
    if session.pending.is_none() && (session.ending || cx.is_draining()) {
        cx.close_flushed();
    }
}
