//! Publications, and what became of them.

/// What was counted of publications, where clients subscribe to channels. Each counts once for each subscriber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deliveries {
    /// Subscriptions that clients have.
    pub subscriptions: u64,
    /// Publications of the run that the server has accepted, for each client that has the channel.
    pub expected: u64,
    /// Those that have come, of any time.
    pub received: u64,
    /// Those of them that were due in the measured time.
    pub measured: u64,
    /// Those of them that came by recovery.
    pub recovered: u64,
    /// Publications of others, of any time.
    pub others: u64,
    /// Publications that later ones have overtaken.
    pub gaps: u64,
    /// Publications that came again.
    pub duplicates: u64,
    /// New publications with an offset that is not new.
    pub misplaced: u64,
    /// Publications that had not come when the run ended.
    pub missing: u64,
    /// Subscriptions that were recovered.
    pub recoveries: u64,
    /// Subscriptions that were made anew because the server could not recover them.
    pub not_recovered: u64,
    /// Connections that clients have cut by themselves.
    pub cuts: u64,
}

impl Deliveries {
    /// Returns how many publications may still come.
    #[must_use]
    pub fn awaited(&self) -> u64 {
        self.expected.saturating_sub(self.received + self.gaps)
    }

    /// Returns how many publications have never come.
    #[must_use]
    pub fn never_came(&self) -> u64 {
        self.gaps + self.missing
    }

    /// Adds another reactor's.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.subscriptions += other.subscriptions;
        self.expected += other.expected;
        self.received += other.received;
        self.measured += other.measured;
        self.recovered += other.recovered;
        self.others += other.others;
        self.gaps += other.gaps;
        self.duplicates += other.duplicates;
        self.misplaced += other.misplaced;
        self.missing += other.missing;
        self.recoveries += other.recoveries;
        self.not_recovered += other.not_recovered;
        self.cuts += other.cuts;
    }
}
