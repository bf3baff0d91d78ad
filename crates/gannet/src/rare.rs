//! What is true of few connections, beside their slots: it takes memory only where a connection has had any of it.
//! Used on the reactor's thread.
#![forbid(unsafe_code)]

use crate::ids::Token;
use crate::table::Table;

/// What is true of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rare {
    /// Offloaded jobs whose end this reactor has not heard of yet. Exact: one that would not be counted is refused.
    pub(crate) offloads: u16,
    /// An operator wants it closed, and its service may take a moment for that.
    pub(crate) is_kicked: bool,
    /// Its service knows that the peer sends nothing more: the end of its stream need not be waited for.
    pub(crate) expects_nothing: bool,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Rares(Table<Rare>);

impl Rares {
    /// A connection begins, of which nothing is true.
    pub(crate) fn begin(&mut self, token: Token) {
        if let Some(rare) = self.0.get_mut(token) {
            *rare = Rare::default();
        }
    }

    /// What is true of a connection.
    #[inline]
    pub(crate) fn of(&self, token: Token) -> Rare {
        self.0.get(token).copied().unwrap_or_default()
    }

    /// What is true of a connection that lives, to change.
    pub(crate) fn of_mut(&mut self, token: Token) -> &mut Rare {
        self.0.entry(token)
    }

    /// Notes that a job of a connection that lives has ended.
    pub(crate) fn offload_ended(&mut self, token: Token) {
        self.of_mut(token).offloads -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_the_connection_that_had_a_slot_before() {
        let mut rares = Rares::default();
        rares.begin(5);
        assert_eq!(rares.of(5), Rare::default());
        *rares.of_mut(5) = Rare { offloads: 2, is_kicked: true, expects_nothing: true };
        rares.offload_ended(5);
        assert_eq!(rares.of(5), Rare { offloads: 1, is_kicked: true, expects_nothing: true });
        rares.begin(6);
        assert_eq!(rares.of(5).offloads, 1, "that of another stays");
        rares.begin(5);
        assert_eq!(rares.of(5), Rare::default());
    }
}
