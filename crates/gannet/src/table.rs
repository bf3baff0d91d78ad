//! What is kept about connections beside their slots, by token: grows in fixed pieces, never copies what it holds.
//!
//! For what only some connections have, or what would make every slot larger. Used by drivers and reactors, on their thread.
#![forbid(unsafe_code)]

use crate::ids::Token;

const PIECE: usize = 512;

/// Values by token. Reading a token that was never set gives the default.
#[derive(Debug)]
pub(crate) struct Table<T> {
    pieces: Vec<Option<Box<[T; PIECE]>>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T: Default> Table<T> {
    /// The state of `token`, or `None` where nothing was ever stored near it.
    pub(crate) fn get(&self, token: Token) -> Option<&T> {
        let index = token as usize;
        self.pieces.get(index / PIECE)?.as_deref().map(|piece| &piece[index % PIECE])
    }

    /// The state of `token`, to change, or `None` where nothing was ever stored near it.
    #[inline]
    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let index = token as usize;
        let piece = self.pieces.get_mut(index / PIECE)?.as_deref_mut()?;
        Some(&mut piece[index % PIECE])
    }

    /// The state of `token`, to change; the default where nothing was stored.
    pub(crate) fn entry(&mut self, token: Token) -> &mut T {
        let index = token as usize;
        if index / PIECE >= self.pieces.len() {
            self.pieces.resize_with(index / PIECE + 1, || None);
        }
        let piece = self.pieces[index / PIECE].get_or_insert_with(|| Box::new(std::array::from_fn(|_| T::default())));
        &mut piece[index % PIECE]
    }

    /// Stores the state of `token`.
    pub(crate) fn set(&mut self, token: Token, value: T) {
        *self.entry(token) = value;
    }
}
