//! The names of requests: what the kernel gives back with a completion.

/// What a request was.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    /// Its completion means nothing.
    Nothing,
    /// A multishot receive, or the poll in its place.
    Receive,
    Send,
    Connect,
    Shutdown,
    /// A direct descriptor's number in the process, for its shutdown.
    Install,
    Close,
    Accept,
    Datagram,
    Wake,
    /// The close of a descriptor that never was a connection.
    Refuse,
    /// The cancel of a receive.
    Stop,
    /// A poll for errors.
    Watch,
    /// What does not wait, and is over when it was submitted.
    AtOnce,
}

impl Op {
    const ALL: [Self; 14] = [
        Self::Nothing,
        Self::Receive,
        Self::Send,
        Self::Connect,
        Self::Shutdown,
        Self::Install,
        Self::Close,
        Self::Accept,
        Self::Datagram,
        Self::Wake,
        Self::Refuse,
        Self::Stop,
        Self::Watch,
        Self::AtOnce,
    ];

    /// Whether a driver that goes waits for the completion: the request names memory, or brings a descriptor.
    #[inline]
    pub(super) fn is_outstanding(self) -> bool {
        matches!(self, Self::Receive | Self::Send | Self::Connect | Self::Install | Self::Accept | Self::Wake)
    }
}

const GENERATION_BITS: u32 = 28;

/// The bits of a generation that a name has room for.
pub(super) const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// A request's name: what it is, for whom, and the generation of that one.
pub(super) fn user_data(op: Op, whom: u32, generation: u32) -> u64 {
    let generation = generation & GENERATION_MASK;
    (op as u64) << (32 + GENERATION_BITS) | u64::from(generation) << 32 | u64::from(whom)
}

/// What [`user_data`] was made of.
pub(super) fn read_user_data(user_data: u64) -> (Op, u32, u32) {
    let op = Op::ALL[(user_data >> (32 + GENERATION_BITS)) as usize % Op::ALL.len()];
    (op, user_data as u32, (user_data >> 32) as u32 & GENERATION_MASK)
}
