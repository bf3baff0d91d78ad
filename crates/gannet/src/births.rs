//! When the connections of a reactor began, to the second: four bytes for each slot that was ever taken, beside the slots,
//! where they would cost eight. Written when a connection begins. Used on the reactor's thread.
#![forbid(unsafe_code)]

use std::time::Duration;

use crate::ids::Token;
use crate::table::Table;

/// See the module.
#[derive(Default)]
pub(crate) struct Births(Table<u32>);

impl Births {
    /// Notes that a connection begins when the reactor's clock shows `clock`.
    pub(crate) fn set(&mut self, token: Token, clock: Duration) {
        self.0.set(token, clock.as_secs() as u32);
    }

    /// When a connection began, in seconds of the reactor's clock.
    pub(crate) fn second(&self, token: Token) -> u32 {
        self.0.get(token).copied().unwrap_or_default()
    }

    /// How old a connection is, in seconds.
    pub(crate) fn age_seconds(&self, token: Token, clock: Duration) -> u32 {
        (clock.as_secs() as u32).saturating_sub(self.second(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_the_age_of_its_last_connection() {
        let mut births = Births::default();
        births.set(600, Duration::from_millis(5_900));
        births.set(3, Duration::from_secs(7));
        assert_eq!(births.age_seconds(600, Duration::from_secs(9)), 4);
        births.set(600, Duration::from_secs(9));
        assert_eq!(births.age_seconds(600, Duration::from_secs(9)), 0);
        assert_eq!(births.age_seconds(3, Duration::from_secs(9)), 2);
        assert_eq!(births.second(7_000), 0, "where nothing began");
    }
}
