//! Close reasons in two bytes, which is what a connection's slot has for them; and the names that services give their own.

use std::io;
use std::sync::OnceLock;

use crate::close_reason::CloseReason;

/// Names of their own that the services of a process may have.
pub(crate) const MOST_OWN: usize = 16;

/// All names so far, in the order in which they came. They are few and stay: a name is part of the program.
static OWN: [OnceLock<&'static str>; MOST_OWN] = [const { OnceLock::new() }; MOST_OWN];

/// Names so far.
pub(crate) fn own_names() -> impl Iterator<Item = &'static str> {
    OWN.iter().map_while(|place| place.get().copied())
}

/// The place of a name among those so far.
pub(crate) fn place_of(name: &str) -> Option<usize> {
    own_names().position(|own| own == name)
}

/// The place of a name, which it gets if it has none; `None` if it is the engine's, or there are too many.
fn place_for(name: &'static str) -> Option<usize> {
    if CloseReason::NAMES.contains(&name) {
        return None;
    }
    OWN.iter().position(|place| *place.get_or_init(|| name) == name)
}

/// A [`CloseReason`] as a connection keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compact {
    /// One without data, by [`CloseReason::index`].
    Plain(u8),
    ConnectFailed(io::ErrorKind),
    Io(io::ErrorKind),
    /// One of a service's own, by its place.
    Own(u8),
}

impl From<CloseReason> for Compact {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::ConnectFailed(kind) => Self::ConnectFailed(kind),
            CloseReason::Io(kind) => Self::Io(kind),
            CloseReason::Other(name) => match place_for(name) {
                Some(place) => Self::Own(place as u8),
                None => Self::from(CloseReason::Service),
            },
            plain => Self::Plain(plain.index().unwrap_or_default() as u8),
        }
    }
}

impl From<Compact> for CloseReason {
    fn from(compact: Compact) -> Self {
        match compact {
            Compact::ConnectFailed(kind) => Self::ConnectFailed(kind),
            Compact::Io(kind) => Self::Io(kind),
            Compact::Own(place) => OWN[usize::from(place)].get().map_or(Self::Service, |name| Self::Other(name)),
            Compact::Plain(index) => {
                Self::PLAIN.into_iter().find(|plain| plain.index() == Some(usize::from(index))).unwrap_or(Self::Service)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_comes_out_of_two_bytes_as_it_went_in() {
        assert_eq!(size_of::<Compact>(), 2);
        let with_data = [
            CloseReason::ConnectFailed(io::ErrorKind::TimedOut),
            CloseReason::Io(io::ErrorKind::ConnectionReset),
            CloseReason::Other("over quota"),
            CloseReason::Other("kicked"),
        ];
        for reason in CloseReason::PLAIN.into_iter().chain(with_data) {
            assert_eq!(CloseReason::from(Compact::from(reason)), reason);
        }
        let counted: std::collections::BTreeSet<_> = CloseReason::PLAIN.iter().filter_map(|one| one.index()).collect();
        assert_eq!(counted.len(), CloseReason::COUNT - 2, "all but the two with an error's kind are in the list");
    }

    #[test]
    fn a_name_that_the_engine_has_itself_counts_as_the_services() {
        assert_eq!(CloseReason::from(Compact::from(CloseReason::Other("idle"))), CloseReason::Service);
    }
}
