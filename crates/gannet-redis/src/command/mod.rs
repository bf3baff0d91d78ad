//! The commands on keys, and what is common to all commands.

mod bits;
pub mod call;
pub mod error;
mod hashes;
#[cfg(test)]
mod hostile;
mod keys;
pub mod long_double;
pub mod number;
pub mod parts;
mod strings;
pub(crate) mod table;
pub(crate) mod unknown;

use smallvec::SmallVec;

use self::call::Call;
use self::error::{Error, Outcome};
use crate::store::{Key, Keys, Store};

/// How a command is asked for, and what it does to keys.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// In lower case.
    pub name: &'static str,
    /// Words, the name included; negative is at least so many.
    pub arity: i16,
    /// What it does, as Redis's `COMMAND` says it.
    pub flags: Flags,
    /// Which of its words are keys.
    pub keys: KeyWords,
    /// Its place among all commands, each followed by its subcommands.
    pub index: u16,
}

/// A command that works on keys, with their shards locked.
#[derive(Clone, Copy, Debug)]
pub struct KeyCommand {
    /// How it is asked for.
    pub signature: Signature,
    /// What it does.
    pub run: KeyRun,
}

/// What a command on keys does.
#[derive(Clone, Copy, Debug)]
pub enum KeyRun {
    /// It runs on the store.
    Itself(fn(&mut Call<'_, '_, '_>) -> Outcome),
    /// Its second word is one of these, which are named `command|subcommand`.
    Subcommands(&'static [KeyCommand]),
}

/// Which words of a command are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyWords {
    /// None, and it looks at none.
    None,
    /// From one word to another, which counts from the end where it is negative, with a step.
    Range(u8, i8, u8),
    /// None, but it looks at all there are.
    All,
}

/// What a command does, as Redis's `COMMAND` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u16);

impl Flags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// It changes keys.
    pub const WRITE: Self = Self(1);
    /// It reads keys.
    pub const READ: Self = Self(1 << 1);
    /// It may need memory, and is refused when there is none.
    pub const DENY_OOM: Self = Self(1 << 2);
    /// It is for the operator.
    pub const ADMIN: Self = Self(1 << 3);
    /// It publishes or subscribes.
    pub const PUBSUB: Self = Self(1 << 4);
    /// It takes the same short time whatever there is.
    pub const FAST: Self = Self(1 << 5);
    /// It may be sent before AUTH.
    pub const NO_AUTH: Self = Self(1 << 6);
    /// It is not queued by MULTI.
    pub const NO_MULTI: Self = Self(1 << 7);
    /// It looks at all keys, but needs no more than one shard at a time: see [`Keys::walk_to`].
    pub const WALK: Self = Self(1 << 8);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it has all of the other's.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The commands on keys, by family.
pub(crate) static FAMILIES: &[&[KeyCommand]] = &[keys::COMMANDS, strings::COMMANDS, hashes::COMMANDS, bits::COMMANDS];

impl Signature {
    /// Its name, without that of the command that it is a subcommand of.
    #[must_use]
    pub fn own_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, name)| name)
    }

    /// Checks the number of words.
    ///
    /// # Errors
    ///
    /// Redis's, with the command's name.
    #[inline]
    pub fn check(&self, args: &[&[u8]]) -> Outcome {
        let (words, arity) = (args.len(), usize::from(self.arity.unsigned_abs()));
        let fits = if self.arity < 0 { words >= arity } else { words == arity };
        if fits { Ok(()) } else { Err(Error::arity(self.name)) }
    }

    /// The positions of its keys among so many words.
    pub fn positions(&self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let (first, last, step) = match self.keys {
            KeyWords::Range(first, last, step) if last >= 0 => (first.into(), last as usize + 1, step.into()),
            KeyWords::Range(first, last, step) => {
                (first.into(), (words + 1).saturating_sub(usize::from(last.unsigned_abs())), step.into())
            }
            KeyWords::None | KeyWords::All => (0, 0, 1),
        };
        (first..last.min(words)).step_by(step)
    }

    /// Its keys, where not all there are. A command with subcommands may have fewer words than the one that has a key.
    pub fn keys_of<'a>(&self, args: &[&'a [u8]]) -> SmallVec<[Key<'a>; 8]> {
        match self.keys {
            KeyWords::Range(first, last, _) if i16::from(first) == i16::from(last) => {
                smallvec::smallvec![Key::new(args.get(usize::from(first)).copied().unwrap_or_default())]
            }
            _ => self.positions(args.len()).map(|at| Key::new(args[at])).collect(),
        }
    }

    /// Locks what it needs of the store.
    #[inline]
    pub fn lock<'s>(&self, store: &'s Store, args: &[&[u8]]) -> Keys<'s> {
        match self.keys {
            KeyWords::Range(first, last, _) if i16::from(first) == i16::from(last) => {
                // A command with subcommands may have fewer words than the one that has a key.
                store.lock_one(Key::new(args.get(usize::from(first)).copied().unwrap_or_default()))
            }
            KeyWords::All if self.flags.has(Flags::WALK) => store.walk(),
            KeyWords::All => store.lock_all(),
            KeyWords::None | KeyWords::Range(..) => {
                let keys: SmallVec<[Key<'_>; 8]> = self.positions(args.len()).map(|at| Key::new(args[at])).collect();
                store.lock_some(keys.into_iter())
            }
        }
    }
}
