//! The sessions of a host, each with the state of its codec.

use std::mem;

use gannet_proto::Codec;

use crate::connection::NO_SESSION;
use crate::service::Service;
use crate::slab::Slab;

pub(super) struct SessionAndState<S: Service> {
    pub(super) session: S::Session,
    pub(super) state: <S::Codec as Codec>::State,
}

/// The sessions of a host. Where neither session nor codec state has a size, they have no places of their own.
pub(super) struct Sessions<S: Service> {
    slab: Slab<SessionAndState<S>>,
    /// Entries without a size: all are alike, and the last one stands for each. They take no memory.
    alike: Vec<SessionAndState<S>>,
}

impl<S: Service> Sessions<S> {
    const ALIKE: bool = size_of::<SessionAndState<S>>() == 0 && !mem::needs_drop::<SessionAndState<S>>();

    pub(super) fn new() -> Self {
        Self { slab: Slab::new(), alike: Vec::new() }
    }

    pub(super) fn insert(&mut self, entry: SessionAndState<S>) -> u32 {
        if Self::ALIKE {
            self.alike.push(entry);
            return 0;
        }
        self.slab.insert(entry).map_or(NO_SESSION, |(index, _)| index)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut SessionAndState<S>> {
        if Self::ALIKE {
            if index == NO_SESSION { None } else { self.alike.last_mut() }
        } else {
            self.slab.get_mut(index)
        }
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<SessionAndState<S>> {
        if index == NO_SESSION {
            return None;
        }
        if Self::ALIKE {
            return self.alike.pop();
        }
        self.slab.remove(index)
    }

    #[cfg(any(test, feature = "sim"))]
    pub(super) fn len(&self) -> usize {
        self.slab.len() as usize + self.alike.len()
    }
}
