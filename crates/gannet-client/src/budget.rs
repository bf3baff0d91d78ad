//! How often calls may be tried again, so that retries never multiply the load of a server in trouble.

/// Retries that may be saved up: as many as a hundred calls earn at 100 %.
const MOST: u32 = 100 * 100;

/// Earns a part of a retry with each call, and spends whole ones.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// In hundredths of a retry.
    saved: u32,
    percent: u32,
}

impl Budget {
    pub(crate) fn new(percent: u32) -> Self {
        // The first failures come before the first calls have earned anything.
        Self { saved: (percent * 10).min(MOST), percent: percent.min(100) }
    }

    /// Notes a call.
    #[inline]
    pub(crate) fn earn(&mut self) {
        self.saved = (self.saved + self.percent).min(MOST);
    }

    /// Takes a retry, if one was earned.
    pub(crate) fn spend(&mut self) -> bool {
        let enough = self.saved >= 100;
        if enough {
            self.saved -= 100;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_calls_earn_twenty_retries() {
        let mut budget = Budget::new(20);
        while budget.spend() {}
        (0..100).for_each(|_| budget.earn());
        assert_eq!((0..100).filter(|_| budget.spend()).count(), 20);
    }

    #[test]
    fn a_long_quiet_time_saves_up_a_hundred_retries_at_most() {
        let mut budget = Budget::new(20);
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!((0..1_000).filter(|_| budget.spend()).count(), 100);
    }

    #[test]
    fn without_a_percentage_nothing_is_tried_again() {
        let mut budget = Budget::new(0);
        (0..1_000).for_each(|_| budget.earn());
        assert!(!budget.spend());
    }
}
