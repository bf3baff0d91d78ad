//! The slab: where a reactor keeps its connections, and what makes a handle safe to keep.
//!
//! Used by the reactor on its own thread. A connection has an index for as long as it lives, and a generation
//! that tells it from every other that had the index before or will have it after.
//!
//! Slots sit in chunks of 512 that never move: a million connections are never copied to grow, and a chunk
//! whose last connection went is given back to the allocator. The search for a vacant slot prefers the lowest
//! chunk that is in use, so that after a peak the high chunks empty. One empty chunk is kept, so that a single
//! connection that comes and goes at the edge of a chunk does not allocate every time.
#![forbid(unsafe_code)]

#[cfg(test)]
mod tests;

/// Slots of a chunk. With slots of 200 bytes a chunk is 100 KiB: some 2,000 chunks for a million connections,
/// whose directory stays in the cache, and little enough to come free in practice.
const SLOTS_PER_CHUNK: usize = 512;

/// The end of a chunk's list of vacant slots.
const NO_SLOT: u16 = u16::MAX;

/// Values with an index and a generation, at addresses that do not change while they live.
pub(crate) struct Slab<T> {
    /// The chunk at each position; `None` where it was given back. On the way of every message, so it holds
    /// the pointers alone.
    directory: Vec<Option<Box<[Slot<T>; SLOTS_PER_CHUNK]>>>,
    /// What is remembered about each position, with or without a chunk.
    positions: Vec<Position>,
    /// One bit for each position: its chunk has both values and vacant slots.
    roomy: Vec<u64>,
    /// No word of `roomy` before this one has a bit set.
    roomy_from: usize,
    /// The position of the one chunk that is kept though it is empty.
    spare: Option<usize>,
    /// How many positions have no chunk and may have one again.
    holes: usize,
    resident: usize,
    len: u32,
    limit: u32,
}

/// One slot. The generation is inside both variants, and not beside the enum, because there it shares the
/// padding of the tag: 8 bytes over `T` and not 16.
enum Slot<T> {
    Vacant {
        /// For the next value.
        generation: u32,
        /// The next vacant slot of the chunk.
        next: u16,
    },
    Occupied {
        generation: u32,
        value: T,
    },
}

const _: () = assert!(size_of::<Slot<[u64; 24]>>() == size_of::<[u64; 24]>() + 8);

struct Position {
    /// The highest generation that was ever given out here. A new chunk begins above it, so that handles to
    /// the values of an earlier chunk stay stale.
    newest: u32,
    /// The first vacant slot of the chunk.
    vacant: u16,
    live: u16,
}

impl Position {
    /// Whether no generation is left here that was not given out before.
    fn is_worn_out(&self) -> bool {
        self.newest == u32::MAX
    }
}

impl<T> Slab<T> {
    /// The most slots there can be. Indexes are below it, and so fit in 24 bits.
    pub(crate) const MAX_SLOTS: u32 = 1 << 24;

    const MAX_CHUNKS: usize = Self::MAX_SLOTS as usize / SLOTS_PER_CHUNK;

    /// An empty slab for up to [`Slab::MAX_SLOTS`] values. Allocates nothing yet.
    pub(crate) fn new() -> Self {
        Self::with_limit(Self::MAX_SLOTS)
    }

    /// An empty slab that holds no more than `max` values at a time. Allocates nothing yet.
    pub(crate) fn with_limit(max: u32) -> Self {
        Self {
            directory: Vec::new(),
            positions: Vec::new(),
            roomy: Vec::new(),
            roomy_from: 0,
            spare: None,
            holes: 0,
            resident: 0,
            len: 0,
            limit: max,
        }
    }

    /// Puts a value into a vacant slot and gives its index and its generation, which is never 0.
    ///
    /// `None` if the limit is reached or there is no memory for another chunk; the value is dropped then.
    pub(crate) fn insert(&mut self, value: T) -> Option<(u32, u32)> {
        if self.len >= self.limit {
            return None;
        }
        let chunk = self.chunk_with_room()?;
        let position = &mut self.positions[chunk];
        let slot = position.vacant;
        let entry = &mut self.directory[chunk].as_mut()?[usize::from(slot)];
        let Slot::Vacant { generation, next } = *entry else {
            unreachable!("a list of vacant slots leads to vacant slots")
        };
        *entry = Slot::Occupied { generation, value };
        position.vacant = next;
        position.live += 1;
        position.newest = position.newest.max(generation);
        if next == NO_SLOT {
            self.set_roomy(chunk, false);
        }
        self.len += 1;
        Some((index_of(chunk, slot.into()), generation))
    }

    /// The value at `index`.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> Option<&T> {
        match self.slot(index)? {
            Slot::Occupied { value, .. } => Some(value),
            Slot::Vacant { .. } => None,
        }
    }

    /// The value at `index`, to change it.
    #[inline]
    pub(crate) fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (chunk, slot) = split(index);
        match &mut self.directory.get_mut(chunk)?.as_mut()?[slot] {
            Slot::Occupied { value, .. } => Some(value),
            Slot::Vacant { .. } => None,
        }
    }

    /// Whether the value that was given this index and generation is still there.
    #[inline]
    pub(crate) fn check(&self, index: u32, generation: u32) -> bool {
        self.generation(index) == Some(generation)
    }

    /// The generation of the value at `index`.
    #[inline]
    pub(crate) fn generation(&self, index: u32) -> Option<u32> {
        match *self.slot(index)? {
            Slot::Occupied { generation, .. } => Some(generation),
            Slot::Vacant { .. } => None,
        }
    }

    /// Takes the value at `index` out. Its generation never comes back.
    pub(crate) fn remove(&mut self, index: u32) -> Option<T> {
        let (chunk, slot) = split(index);
        let entry = &mut self.directory.get_mut(chunk)?.as_mut()?[slot];
        let Slot::Occupied { generation, .. } = *entry else {
            return None;
        };
        let position = &mut self.positions[chunk];
        let vacant = match generation.checked_add(1) {
            Some(generation) => {
                let next = std::mem::replace(&mut position.vacant, slot as u16);
                Slot::Vacant { generation, next }
            }
            // After four billion values the slot is used up: it stays off the list, because a wrapped
            // generation would make an old handle good again.
            None => Slot::Vacant { generation, next: NO_SLOT },
        };
        let Slot::Occupied { value, .. } = std::mem::replace(entry, vacant) else {
            unreachable!("it was occupied a few lines ago")
        };
        position.live -= 1;
        self.len -= 1;
        if position.live == 0 {
            self.retire(chunk);
        } else if position.vacant != NO_SLOT {
            self.set_roomy(chunk, true);
        }
        Some(value)
    }

    /// How many fit in.
    pub(crate) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many more fit in.
    pub(crate) fn room(&self) -> u32 {
        self.limit - self.len
    }

    /// How many values there are.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether there is no value.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The indexes of all values, in rising order. Walks every slot of every chunk.
    pub(crate) fn iter_indices(&self) -> impl Iterator<Item = u32> + '_ {
        let chunks = self.directory.iter().enumerate();
        let chunks = chunks.filter_map(|(chunk, slots)| Some((chunk, slots.as_deref()?)));
        chunks.flat_map(|(chunk, slots)| {
            let slots = slots.iter().enumerate();
            let occupied = slots.filter(|(_, slot)| matches!(slot, Slot::Occupied { .. }));
            occupied.map(move |(slot, _)| index_of(chunk, slot))
        })
    }

    /// An index above those of all values there are.
    pub(crate) fn end(&self) -> u32 {
        index_of(self.directory.len(), 0)
    }

    /// How many chunks are in memory.
    #[cfg(test)]
    pub(crate) fn resident_chunks(&self) -> usize {
        self.resident
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let (chunk, slot) = split(index);
        Some(&self.directory.get(chunk)?.as_ref()?[slot])
    }

    /// The lowest chunk in use that has a vacant slot, or else the spare one, or else a new one.
    fn chunk_with_room(&mut self) -> Option<usize> {
        while let Some(word) = self.roomy.get(self.roomy_from) {
            if *word != 0 {
                return Some(self.roomy_from * 64 + word.trailing_zeros() as usize);
            }
            self.roomy_from += 1;
        }
        let chunk = match self.spare.take() {
            Some(chunk) => chunk,
            None => self.make_chunk()?,
        };
        self.set_roomy(chunk, true);
        Some(chunk)
    }

    /// Makes a chunk at the lowest position without one.
    fn make_chunk(&mut self) -> Option<usize> {
        let chunk = self.hole().unwrap_or(self.directory.len());
        if chunk >= Self::MAX_CHUNKS {
            return None;
        }
        let newest = self.positions.get(chunk).map_or(0, |known| known.newest);
        // Memory that cannot be had refuses one connection and not the whole process, so all of it is asked for
        // before anything changes.
        let mut slots = Vec::new();
        slots.try_reserve_exact(SLOTS_PER_CHUNK).ok()?;
        self.directory.try_reserve(1).ok()?;
        self.positions.try_reserve(1).ok()?;
        self.roomy.try_reserve(1).ok()?;

        slots.extend((1..=SLOTS_PER_CHUNK).map(|next| Slot::Vacant {
            generation: newest + 1,
            next: if next < SLOTS_PER_CHUNK { next as u16 } else { NO_SLOT },
        }));
        let slots = <Box<[_; SLOTS_PER_CHUNK]>>::try_from(slots).ok()?;
        let position = Position { newest, vacant: 0, live: 0 };
        if chunk == self.directory.len() {
            self.directory.push(Some(slots));
            self.positions.push(position);
            self.roomy.resize(chunk / 64 + 1, 0);
        } else {
            self.directory[chunk] = Some(slots);
            self.positions[chunk] = position;
            self.holes -= 1;
        }
        self.resident += 1;
        Some(chunk)
    }

    /// The lowest position whose chunk was given back and that has generations left.
    fn hole(&self) -> Option<usize> {
        if self.holes == 0 {
            return None;
        }
        let mut positions = self.directory.iter().zip(&self.positions);
        positions.position(|(slots, position)| slots.is_none() && !position.is_worn_out())
    }

    /// Keeps a chunk that became empty as the spare one, or gives memory back.
    fn retire(&mut self, chunk: usize) {
        self.set_roomy(chunk, false);
        if self.positions[chunk].is_worn_out() {
            // No chunk can be made here again. At one position lost for each four billion connections, the
            // indexes outlast the machine.
            self.free(chunk);
            return;
        }
        let Some(spare) = self.spare else {
            self.spare = Some(chunk);
            return;
        };
        self.spare = Some(spare.min(chunk));
        self.free(spare.max(chunk));
        self.holes += 1;
    }

    fn free(&mut self, chunk: usize) {
        self.directory[chunk] = None;
        self.resident -= 1;
    }

    fn set_roomy(&mut self, chunk: usize, roomy: bool) {
        let (word, bit) = (chunk / 64, 1 << (chunk % 64));
        if roomy {
            self.roomy[word] |= bit;
            self.roomy_from = self.roomy_from.min(word);
        } else {
            self.roomy[word] &= !bit;
        }
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The chunk and the slot in it that an index names.
#[inline]
fn split(index: u32) -> (usize, usize) {
    let index = index as usize;
    (index / SLOTS_PER_CHUNK, index % SLOTS_PER_CHUNK)
}

/// The index of a slot; chunks are limited so that it fits.
fn index_of(chunk: usize, slot: usize) -> u32 {
    (chunk * SLOTS_PER_CHUNK + slot) as u32
}
