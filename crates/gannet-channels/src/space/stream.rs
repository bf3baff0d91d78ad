//! The history of one channel: the newest publications of its stream, without a gap between them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::publication::Publication;
use crate::settings::Options;
use crate::time::Time;

/// The newest publications of a stream: their offsets follow each other, and the last is the top.
///
/// One without publications takes a pointer: many channels never have any.
#[derive(Debug, Default)]
pub(crate) struct Stream(Option<Box<Newest>>);

#[derive(Debug, Default)]
struct Newest {
    publications: VecDeque<Arc<Publication>>,
    bytes: usize,
}

/// What adding to a stream did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Publications that went although size and time would have kept them.
    pub(crate) evicted: u64,
    /// The publication found no room.
    pub(crate) refused: bool,
}

/// How much a stream keeps.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) publications: usize,
    pub(crate) bytes: usize,
}

impl Stream {
    /// Drops what is too old.
    pub(crate) fn expire(&mut self, options: &Options, now: Time) {
        let Some(newest) = &mut self.0 else { return };
        while newest.publications.front().is_some_and(|first| first.time + options.history_ttl <= now) {
            newest.pop();
        }
        self.trim();
    }

    /// Keeps no more than so many publications.
    pub(crate) fn shorten(&mut self, size: usize) {
        let Some(newest) = &mut self.0 else { return };
        while newest.publications.len() > size {
            newest.pop();
        }
        self.trim();
    }

    /// Adds the newest publication. `room` is how many bytes this stream may have in all.
    pub(crate) fn push(&mut self, publication: Arc<Publication>, size: usize, room: usize) -> Kept {
        let newest = self.0.get_or_insert_default();
        while newest.publications.len() >= size {
            newest.pop();
        }
        let mut kept = Kept::default();
        let cost = publication.cost();
        while newest.bytes + cost > room && newest.pop() {
            kept.evicted += 1;
        }
        if newest.bytes + cost > room {
            kept.refused = true;
            self.trim();
        } else {
            newest.bytes += cost;
            newest.publications.push_back(publication);
        }
        kept
    }

    /// Drops all. The top stays what it was.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    /// Gives back the memory of publications that are all gone.
    fn trim(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// Publications behind an offset, if none of them is missing: `top` is the stream's.
    pub(crate) fn after(&self, offset: u64, top: u64) -> Option<impl ExactSizeIterator<Item = &Arc<Publication>>> {
        let missed = usize::try_from(top.checked_sub(offset)?).ok()?;
        let skipped = self.len().checked_sub(missed)?;
        Some(self.0.as_ref().map(|newest| newest.publications.range(skipped..)).unwrap_or_default())
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Arc<Publication>> {
        self.0.iter().flat_map(|newest| &newest.publications)
    }

    pub(crate) fn newest(&self) -> Option<&Arc<Publication>> {
        self.0.as_ref()?.publications.back()
    }

    /// When the oldest publication is too old.
    pub(crate) fn expiry(&self, options: &Options) -> Option<Time> {
        self.0.as_ref()?.publications.front().map(|first| first.time + options.history_ttl)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |newest| newest.publications.len())
    }

    pub(crate) fn size(&self) -> Size {
        Size { publications: self.len(), bytes: self.0.as_ref().map_or(0, |newest| newest.bytes) }
    }
}

impl Newest {
    fn pop(&mut self) -> bool {
        let first = self.publications.pop_front();
        self.bytes -= first.as_ref().map_or(0, |first| first.cost());
        first.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn publication(offset: u64, time: u64) -> Arc<Publication> {
        Arc::new(Publication { data: bytes::Bytes::new(), offset, info: None, tags: Vec::new(), time: Time(time) })
    }

    fn offsets(stream: &Stream, after: u64, top: u64) -> Option<Vec<u64>> {
        stream.after(after, top).map(|found| found.map(|publication| publication.offset).collect())
    }

    #[test]
    fn what_follows_an_offset_is_complete_or_refused() {
        let mut stream = Stream::default();
        for offset in 1..=5 {
            stream.push(publication(offset, 0), 3, usize::MAX);
        }
        assert_eq!(offsets(&stream, 2, 5), Some(vec![3, 4, 5]));
        assert_eq!(offsets(&stream, 5, 5), Some(vec![]));
        assert_eq!(offsets(&stream, 1, 5), None, "publication 2 is not there any more");
        assert_eq!(offsets(&stream, 6, 5), None, "the client is ahead of the stream");
    }

    #[test]
    fn publications_go_when_their_time_is_over() {
        let options = Options { history_size: 9, history_ttl: Duration::from_millis(10), ..Options::default() };
        let mut stream = Stream::default();
        stream.push(publication(1, 100), 9, usize::MAX);
        stream.push(publication(2, 105), 9, usize::MAX);
        assert_eq!(stream.expiry(&options), Some(Time(110)));
        stream.expire(&options, Time(109));
        assert_eq!(stream.size().publications, 2);
        stream.expire(&options, Time(110));
        assert_eq!(offsets(&stream, 1, 2), Some(vec![2]));
        stream.expire(&options, Time(115));
        assert!(stream.is_empty());
        assert_eq!(
            (stream.size(), offsets(&stream, 2, 2), offsets(&stream, 1, 2)),
            (Size::default(), Some(vec![]), None)
        );
    }

    #[test]
    fn a_publication_that_finds_no_room_leaves_no_hole_behind() {
        let mut stream = Stream::default();
        let cost = publication(1, 0).cost();
        assert_eq!(stream.push(publication(1, 0), 9, cost), Kept::default());
        assert_eq!(stream.push(publication(2, 0), 9, cost), Kept { evicted: 1, refused: false });
        assert_eq!(stream.push(publication(3, 0), 9, cost - 1), Kept { evicted: 1, refused: true });
        assert_eq!((offsets(&stream, 2, 3), offsets(&stream, 3, 3)), (None, Some(vec![])));
        assert_eq!(stream.push(publication(4, 0), 9, cost), Kept::default());
        assert_eq!((offsets(&stream, 3, 4), offsets(&stream, 2, 4)), (Some(vec![4]), None));
    }
}
