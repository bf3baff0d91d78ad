//! What a connection still has to send: small messages appended to pooled blocks, shared payloads by reference.
//!
//! Nothing that was handed to the driver moves: blocks and payloads stay where they are, and new bytes go behind them.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use gannet_proto::Sink;

use crate::buffer::{BLOCK_BYTES, Block, Blocks, Lent};
use crate::wheel::Tick;

/// Messages from this size on get a segment of their own instead of a chain of blocks.
pub(crate) const LARGE_BYTES: usize = 4 * BLOCK_BYTES;

/// Bytes in an outbox from which it does not wait for what else a turn brings.
pub(crate) const TOGETHER_BYTES: usize = 16 << 10;

/// Slices of one gathered send.
pub(crate) const SLICES: usize = 16;

/// Segments whose room an empty outbox keeps; a burst beyond it is given back.
const KEPT_SEGMENTS: usize = 32;

#[derive(Debug)]
enum Segment {
    Block(Block),
    Shared(Bytes),
    /// As `Shared`, but never dropped.
    Kept(Bytes),
    /// Of the chunk that is being handled; as `Kept`, and a copy before that goes.
    Lent(Lent),
}

impl Segment {
    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Block(block) => block.bytes(),
            Self::Shared(bytes) | Self::Kept(bytes) => bytes,
            Self::Lent(lent) => lent.bytes(),
        }
    }
}

/// The bytes that a connection accepted and the kernel did not, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// The block in front of the segments, for what is appended while there are none. A small message goes no other way, and
    /// an outbox that waits in its pool keeps the block for the next one.
    first: Option<Block>,
    segments: VecDeque<Segment>,
    bytes: usize,
    /// Pieces at the front that the driver may be reading from (`Sent::Later`), the first block among them; 0 where nothing is
    /// in flight.
    in_flight: u8,
    /// Whether a part of the front segment has left: then it must leave whole.
    front_begun: bool,
    /// When the send began that its connection waits for, if it does.
    pub(crate) stuck_since: Option<Tick>,
    /// Bytes that will be appended before the turn is over, because another connection sends them.
    pub(crate) promised: usize,
    /// Bytes of answers in it, which their service bounds and not the hard limit. What leaves counts as an answer, as long as
    /// there is any: so they may be fewer than there are, never more.
    pub(crate) answers: usize,
}

impl Outbox {
    /// Bytes in it that the hard limit bounds: those of answers do not count.
    pub(crate) fn bounded_len(&self) -> usize {
        self.bytes.saturating_sub(self.answers)
    }

    /// Bytes in it, those in flight included.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is left to send.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether a send is under way that the driver will report.
    #[inline]
    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight != 0
    }

    /// Notes that the driver has begun to read from the front, or has ended.
    #[inline]
    pub(crate) fn set_in_flight(&mut self, in_flight: bool) {
        self.in_flight = if in_flight { self.pieces().min(SLICES) as u8 } else { 0 };
    }

    /// The first contiguous bytes.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        match &self.first {
            Some(first) if !first.is_empty() => first.bytes(),
            _ => self.segments.front().map_or(&[], Segment::bytes),
        }
    }

    /// Whether the first block has bytes.
    #[inline]
    fn has_first(&self) -> bool {
        self.first.as_ref().is_some_and(|first| !first.is_empty())
    }

    /// Contiguous pieces that its bytes are in.
    #[inline]
    fn pieces(&self) -> usize {
        usize::from(self.has_first()) + self.segments.len()
    }

    /// The pieces, from the front.
    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let first = self.first.as_ref().filter(|first| !first.is_empty());
        first.map(Block::bytes).into_iter().chain(self.segments.iter().map(Segment::bytes))
    }

    /// Whether [`Outbox::front`] is all there is.
    #[inline]
    pub(crate) fn is_contiguous(&self) -> bool {
        self.pieces() <= 1
    }

    /// Fills `slices` from the front and says how many there are.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(self.iter()) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        count
    }

    /// Bytes from `start` on: of one segment where that is long, of several joined in `joined`, up to `most`, where they
    /// are short. Empty at the end only.
    pub(crate) fn piece<'a>(&'a self, start: usize, most: usize, joined: &'a mut Vec<u8>) -> &'a [u8] {
        let (mut segments, mut skip) = (self.iter(), start);
        let first = loop {
            let Some(segment) = segments.next() else { return &[] };
            if skip < segment.len() {
                break &segment[skip..];
            }
            skip -= segment.len();
        };
        if first.len() >= most || start + first.len() == self.bytes {
            return first;
        }
        joined.clear();
        joined.extend_from_slice(first);
        for segment in segments {
            let taken = segment.len().min(most - joined.len());
            joined.extend_from_slice(&segment[..taken]);
            if joined.len() == most {
                break;
            }
        }
        joined
    }

    /// Appends bytes by copying them.
    #[inline]
    pub(crate) fn append(&mut self, bytes: &[u8], blocks: &mut Blocks) {
        if self.segments.is_empty() && bytes.len() <= BLOCK_BYTES {
            let first = self.first.get_or_insert_with(|| blocks.block());
            if bytes.len() <= first.room() {
                first.append(bytes);
                self.bytes += bytes.len();
                return;
            }
        }
        self.append_behind(bytes, blocks);
    }

    /// Appends bytes for which the first block has no room.
    #[inline(never)]
    fn append_behind(&mut self, mut bytes: &[u8], blocks: &mut Blocks) {
        self.bytes += bytes.len();
        let back = match self.segments.back_mut() {
            Some(Segment::Block(block)) => Some(block),
            Some(_) => None,
            // What is large stays in one piece.
            None => self.first.as_mut().filter(|first| !first.is_empty() || bytes.len() < LARGE_BYTES),
        };
        if let Some(block) = back {
            bytes = &bytes[block.append(bytes)..];
        }
        if bytes.len() >= LARGE_BYTES {
            let segment = match blocks.borrow(bytes) {
                Some(lent) => Segment::Lent(lent),
                None => Segment::Kept(Bytes::copy_from_slice(bytes)),
            };
            self.segments.push_back(segment);
            return;
        }
        while !bytes.is_empty() {
            let mut block = blocks.block();
            bytes = &bytes[block.append(bytes)..];
            self.segments.push_back(Segment::Block(block));
        }
    }

    /// Appends a payload by reference.
    #[inline]
    pub(crate) fn append_shared(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.bytes += payload.len();
            self.segments.push_back(Segment::Shared(payload));
        }
    }

    /// Appends a payload by reference that is never dropped.
    pub(crate) fn append_kept(&mut self, payload: Bytes) {
        if !payload.is_empty() {
            self.bytes += payload.len();
            self.segments.push_back(Segment::Kept(payload));
        }
    }

    /// Copies what is lent: the chunk that it is of goes.
    pub(crate) fn own(&mut self) {
        for segment in &mut self.segments {
            if let Segment::Lent(lent) = segment {
                *segment = Segment::Kept(Bytes::copy_from_slice(lent.bytes()));
            }
        }
    }

    /// Forgets the first `count` bytes: they have left.
    #[inline]
    pub(crate) fn consume(&mut self, mut count: usize, blocks: &mut Blocks) {
        debug_assert!(count <= self.bytes, "more left than there was");
        self.bytes -= count;
        self.answers = self.answers.saturating_sub(count);
        if let Some(first) = self.first.as_mut().filter(|first| !first.is_empty()) {
            let length = first.bytes().len();
            if count < length {
                self.front_begun |= count > 0;
                return first.consume(count);
            }
            count -= length;
            self.front_begun = false;
            first.clear();
        }
        while let Some(front) = self.segments.front_mut() {
            let length = front.bytes().len();
            if count < length {
                self.front_begun |= count > 0;
                match front {
                    Segment::Block(block) => block.consume(count),
                    Segment::Shared(bytes) | Segment::Kept(bytes) => bytes.advance(count),
                    Segment::Lent(lent) => lent.consume(count),
                }
                return;
            }
            count -= length;
            self.front_begun = false;
            if let Some(Segment::Block(block)) = self.segments.pop_front() {
                blocks.return_block(block);
            }
        }
    }

    /// Drops whole messages, oldest first, until at most `keep` bytes are left or nothing more may go; says how many
    /// messages and bytes went. A message is what was given to [`Outbox::append_shared`]; one of which a part has left, or
    /// may be leaving, stays, and so do the `newest` last segments and all that was appended in another way.
    pub(crate) fn drop_oldest(&mut self, keep: usize, newest: usize) -> (usize, usize) {
        let spared = self.in_flight.max(u8::from(self.front_begun));
        let mut at = usize::from(spared.saturating_sub(u8::from(self.has_first())));
        let (mut messages, mut bytes) = (0, 0);
        while self.bytes > keep && self.segments.len() > at + newest {
            match self.segments.get(at) {
                Some(Segment::Shared(message)) => {
                    bytes += message.len();
                    messages += 1;
                    self.bytes -= message.len();
                    self.segments.remove(at);
                }
                _ => at += 1,
            }
        }
        (messages, bytes)
    }

    /// Empties it, whatever was in it. It keeps its first block.
    #[inline]
    pub(crate) fn empty(&mut self, blocks: &mut Blocks) {
        if let Some(first) = &mut self.first {
            first.clear();
        }
        if !self.segments.is_empty() || self.segments.capacity() > KEPT_SEGMENTS {
            self.clear_segments(blocks);
        }
        (self.bytes, self.in_flight, self.front_begun, self.promised, self.answers) = (0, 0, false, 0, 0);
        self.stuck_since = None;
    }

    /// Empties it, and gives its first block back too.
    pub(crate) fn clear(&mut self, blocks: &mut Blocks) {
        self.empty(blocks);
        self.return_first(blocks);
    }

    /// Gives the first block back where nothing is in it: for what is appended by reference.
    #[inline]
    pub(crate) fn return_first(&mut self, blocks: &mut Blocks) {
        if let Some(first) = self.first.take_if(|first| first.is_empty()) {
            blocks.return_block(first);
        }
    }

    /// Whether it has a first block.
    #[cfg(test)]
    pub(crate) fn keeps_block(&self) -> bool {
        self.first.is_some()
    }

    fn clear_segments(&mut self, blocks: &mut Blocks) {
        while let Some(segment) = self.segments.pop_front() {
            if let Segment::Block(block) = segment {
                blocks.return_block(block);
            }
        }
        if self.segments.capacity() > KEPT_SEGMENTS {
            self.segments.shrink_to(KEPT_SEGMENTS);
        }
    }
}

/// Lets a codec write into an outbox.
pub(crate) struct OutboxSink<'a> {
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) blocks: &'a mut Blocks,
}

impl Sink for OutboxSink<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.outbox.append(bytes, self.blocks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content(outbox: &Outbox) -> Vec<u8> {
        outbox.iter().flatten().copied().collect()
    }

    proptest! {
        #[test]
        fn bytes_leave_in_the_order_they_came(steps in prop::collection::vec((0u8..3, 0usize..12_000), 1..60)) {
            let (mut outbox, mut blocks, mut model, mut next) = (Outbox::default(), Blocks::default(), Vec::new(), 0u8);
            for (kind, amount) in steps {
                if kind == 2 {
                    let count = amount.min(outbox.len());
                    outbox.consume(count, &mut blocks);
                    model.drain(..count);
                } else {
                    let bytes: Vec<u8> = (0..amount).map(|_| { next = next.wrapping_add(1); next }).collect();
                    model.extend_from_slice(&bytes);
                    if kind == 0 { outbox.append(&bytes, &mut blocks) } else { outbox.append_shared(bytes.into()) }
                }
                prop_assert_eq!(outbox.len(), model.len());
                prop_assert!(model.starts_with(outbox.front()));
                prop_assert!(!outbox.front().is_empty() || model.is_empty());
            }
            prop_assert_eq!(content(&outbox), model);
            outbox.clear(&mut blocks);
            prop_assert_eq!(blocks.out(), 0);
        }
    }

    #[test]
    fn what_is_in_flight_does_not_move_when_more_is_appended() {
        let (mut outbox, mut blocks) = (Outbox::default(), Blocks::default());
        outbox.append(b"first", &mut blocks);
        let before = outbox.front().as_ptr();
        outbox.set_in_flight(true);
        for _ in 0..1_000 {
            outbox.append(&[1; 100], &mut blocks);
        }
        assert_eq!(outbox.front().as_ptr(), before);
    }

    #[test]
    fn a_message_by_reference_comes_between_small_ones_in_their_order() {
        let (mut outbox, mut blocks) = (Outbox::default(), Blocks::default());
        outbox.append(b"first", &mut blocks);
        outbox.append_shared(Bytes::from_static(b" second"));
        outbox.append(b" third", &mut blocks);
        assert!(!outbox.is_contiguous());
        assert_eq!(content(&outbox), b"first second third");
        outbox.consume(5, &mut blocks);
        assert_eq!(outbox.front(), b" second");
        // The first block is empty, and what comes now goes behind the others.
        outbox.append(b" fourth", &mut blocks);
        assert_eq!(content(&outbox), b" second third fourth");
        outbox.consume(outbox.len(), &mut blocks);
        outbox.append(b"again", &mut blocks);
        assert!(outbox.is_contiguous() && outbox.front() == b"again");
        outbox.clear(&mut blocks);
        assert_eq!(blocks.out(), 0);
    }

    #[test]
    fn dropping_all_but_the_newest_keeps_it_behind_one_that_has_begun_to_leave() {
        let (mut outbox, mut blocks) = (Outbox::default(), Blocks::default());
        for message in ["aaaa", "bbbb", "cccc"] {
            outbox.append_shared(Bytes::from_static(message.as_bytes()));
        }
        outbox.consume(1, &mut blocks);
        assert_eq!(outbox.drop_oldest(0, 1), (1, 4));
        assert_eq!(content(&outbox), b"aaacccc");
    }

    #[test]
    fn dropping_the_oldest_spares_answers_that_are_small_or_large() {
        let (mut outbox, mut blocks) = (Outbox::default(), Blocks::default());
        outbox.append(b"small", &mut blocks);
        outbox.append_shared(Bytes::from_static(b"aaaa"));
        outbox.append_kept(Bytes::from_static(b"large"));
        outbox.append_shared(Bytes::from_static(b"bbbb"));
        outbox.append_shared(Bytes::from_static(b"cccc"));
        assert_eq!(outbox.drop_oldest(0, 1), (2, 8));
        assert_eq!(content(&outbox), b"smalllargecccc");
    }

    #[test]
    fn dropping_the_oldest_spares_a_message_that_has_begun_to_leave() {
        let (mut outbox, mut blocks) = (Outbox::default(), Blocks::default());
        for message in ["aaaa", "bbbb", "cccc"] {
            outbox.append_shared(Bytes::from_static(message.as_bytes()));
        }
        outbox.consume(1, &mut blocks);
        assert_eq!(outbox.drop_oldest(7, 0), (1, 4));
        assert_eq!(content(&outbox), b"aaacccc");
        outbox.set_in_flight(true);
        assert_eq!(outbox.drop_oldest(0, 0), (0, 0), "nothing that the driver may be reading goes");
    }
}
