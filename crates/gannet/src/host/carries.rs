//! Messages that are not complete: what is kept of them, and how they are completed.

use super::decoding::{Look, Progress, Shared};
use super::{Host as _, HostOf};
use crate::carry::Carry;
use crate::core::Core;
use crate::ids::Token;
use crate::service::Service;

/// Bytes that a carry is topped up with at first where the codec does not know how many it needs.
const FIRST_TOP_UP: usize = 256;

/// Bytes of an incomplete message from which on its memory may be kept by the service: as much as arrives in one piece, which
/// is in a receive buffer, and no carry.
const LARGE_BYTES: usize = 64 * 1024;

impl<S: Service> HostOf<S> {
    /// Keeps the begin of a message, of which `need` bytes make another look worth while, or what decoding has left.
    #[inline]
    pub(super) fn hold_begun(core: &mut Core, token: Token, begun: &[u8], need: usize) {
        if need > 0 {
            core.spend_on_unfinished(token, begun.len());
        }
        core.hold(token, begun, need);
    }

    /// Goes on with what a carry has behind a message.
    pub(super) fn go_on(&mut self, core: &mut Core, token: Token, mut carry: Box<Carry>) {
        carry.need = 0;
        core.put_carry(token, carry);
        if !core.halt {
            self.resume(core, token);
        }
    }

    /// Decodes the message in a carry, and takes it out. Says whether it was complete.
    pub(super) fn complete(&mut self, core: &mut Core, token: Token, session: u32, carry: &mut Carry) -> bool {
        let mut progress = Progress { consumed: 0, need: 0 };
        if carry.len() >= LARGE_BYTES {
            // The service may keep its bytes, if the codec leaves them as they are.
            let (memory, start) = carry.share();
            core.large = Some(memory.clone());
            progress = self.decode(core, token, session, &mut Shared(&memory[start..]), (Look::AtOne, 0));
            core.large = None;
            carry.take_back(memory, progress.consumed);
        }
        if progress.consumed == 0 && progress.need == 0 {
            progress = self.decode(core, token, session, &mut carry[..], (Look::AtOne, 0));
            carry.consume(progress.consumed);
        }
        carry.need = progress.need;
        progress.consumed > 0
    }

    /// Completes the message in the carry from the front of `chunk`, and delivers it; says how much of the chunk is
    /// used up. Only the message that is not complete is copied.
    pub(super) fn top_up(&mut self, core: &mut Core, token: Token, session: u32, chunk: &[u8]) -> usize {
        let Some(mut carry) = core.slab.get_mut(token).and_then(|connection| connection.carry.take()) else {
            return 0;
        };
        let (mut used, mut step) = (0, FIRST_TOP_UP);
        while used < chunk.len() {
            // A codec may not know how many bytes it needs, and may need many small pieces for one message: give it more
            // than it asks for, in growing steps.
            let missing = carry.need.saturating_sub(carry.len());
            // A large message is believed once: more than it needs would be more than is reserved for it.
            let is_believed = step == FIRST_TOP_UP && missing > 0 && carry.need >= LARGE_BYTES;
            let wanted = if is_believed { missing } else { missing.max(step) };
            step = step.saturating_mul(2);
            let taken = wanted.min(chunk.len() - used);
            carry.append(&chunk[used..used + taken]);
            used += taken;
            if carry.len() < carry.need {
                break;
            }
            if self.complete(core, token, session, &mut carry) {
                if carry.len() <= taken {
                    // What is left over came from this chunk: it is decoded there.
                    used -= carry.len();
                    core.pools.return_carry(carry);
                    return used;
                }
                // The codec has asked for more than the message had.
                carry.append(&chunk[used..]);
                self.go_on(core, token, carry);
                return chunk.len();
            }
        }
        core.put_carry(token, carry);
        core.check_room(token);
        used
    }
}
