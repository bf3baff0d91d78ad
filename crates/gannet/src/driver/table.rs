//! A driver's own state of its connections, by token: grows in fixed pieces, never copies what it holds.

use crate::ids::Token;

const PIECE: usize = 512;

/// Values by token. Reading a token that was never set gives the default.
pub(super) struct Table<T> {
    pieces: Vec<Option<Box<[T; PIECE]>>>,
}

impl<T: Default> Table<T> {
    pub(super) fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    /// The state of `token`, or `None` where nothing was ever stored near it.
    #[cfg(target_os = "linux")]
    pub(super) fn get(&self, token: Token) -> Option<&T> {
        let index = token as usize;
        self.pieces.get(index / PIECE)?.as_deref().map(|piece| &piece[index % PIECE])
    }

    /// The same, to change.
    #[inline]
    pub(super) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        let index = token as usize;
        let piece = self.pieces.get_mut(index / PIECE)?.as_deref_mut()?;
        Some(&mut piece[index % PIECE])
    }

    /// Stores the state of `token`.
    pub(super) fn set(&mut self, token: Token, value: T) {
        let index = token as usize;
        if index / PIECE >= self.pieces.len() {
            self.pieces.resize_with(index / PIECE + 1, || None);
        }
        let piece = self.pieces[index / PIECE].get_or_insert_with(|| Box::new(std::array::from_fn(|_| T::default())));
        piece[index % PIECE] = value;
    }
}
