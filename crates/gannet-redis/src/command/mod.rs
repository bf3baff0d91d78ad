//! The commands: a table with one entry for each, and what is common to them.

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
#[cfg(any(test, feature = "trial"))]
#[doc(hidden)]
pub mod trial;
mod unknown;

use std::iter;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::hash::BuildHasher as _;

use self::call::Call;
use self::error::{Error, Outcome};
use crate::service::commands::{connection, server};
use crate::service::turn::Turn;
use crate::service::{pubsub, transaction};
use crate::store::{Key, Keys, Store};

/// A command as the table knows it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// In lower case.
    pub name: &'static str,
    /// Words, the name included; negative is at least so many.
    pub arity: i16,
    /// What it does, as Redis's `COMMAND` says it.
    pub flags: Flags,
    /// Which of its words are keys.
    pub keys: KeyWords,
    /// What it does.
    pub run: Run,
    /// Its place in [`with_subcommands`].
    pub index: u16,
}

/// What a command does.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// It works on keys, with their shards locked.
    Keys(fn(&mut Call<'_, '_, '_>) -> Outcome),
    /// It works on its connection, or on the server.
    Connection(fn(&mut Turn<'_, '_, '_>) -> Outcome),
    /// Its second word is one of these, which are named `command|subcommand`.
    Subcommands(&'static [Command]),
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

/// All commands, by family.
static FAMILIES: &[&[Command]] = &[
    keys::COMMANDS,
    strings::COMMANDS,
    hashes::COMMANDS,
    bits::COMMANDS,
    connection::COMMANDS,
    server::COMMANDS,
    pubsub::COMMANDS,
    transaction::COMMANDS,
];

/// All commands, numbered.
static ALL: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let mut next = 0;
    let mut number = |command: &Command| {
        next += 1;
        Command { index: next - 1, ..*command }
    };
    let mut all = Vec::new();
    for command in FAMILIES.iter().copied().flatten() {
        let mut numbered = number(command);
        if let Run::Subcommands(subcommands) = command.run {
            // They are there as long as the process.
            numbered.run = Run::Subcommands(subcommands.iter().map(&mut number).collect::<Vec<_>>().leak());
        }
        all.push(numbered);
    }
    all
});

/// All commands.
pub fn all() -> impl Iterator<Item = &'static Command> {
    ALL.iter()
}

/// All commands, each followed by its subcommands.
pub fn with_subcommands() -> impl Iterator<Item = &'static Command> {
    all().flat_map(|command| iter::once(command).chain(command.subcommands()))
}

/// The longest name, in bytes.
const LONGEST_NAME: usize = 24;

static TABLE: LazyLock<HashTable<&'static Command>> = LazyLock::new(|| {
    let mut table = HashTable::new();
    for command in all() {
        table.insert_unique(hash(command.name.as_bytes()), command, |command| hash(command.name.as_bytes()));
    }
    table
});

fn hash(name: &[u8]) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

/// The command with a name, in whatever case.
#[must_use]
#[inline]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let mut lower = [0; LONGEST_NAME];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    TABLE.find(hash(lower), |command| command.name.as_bytes() == lower).copied()
}

/// The command that somebody asks for, with as many words as it wants: where it has subcommands, the one that is asked
/// for.
///
/// # Errors
///
/// There is none, or the number of words is another.
#[inline]
pub fn asked(args: &[&[u8]]) -> Result<&'static Command, Error> {
    let mut command = find(args[0]).ok_or_else(|| unknown::command(args))?;
    if let Run::Subcommands(subcommands) = command.run {
        match args.get(1) {
            Some(name) => {
                command = subcommand(subcommands, name).ok_or_else(|| unknown::subcommand(command, name))?;
            }
            // One that may stand alone does what its first subcommand does.
            None if command.arity == -1 => return Ok(&subcommands[0]),
            None => {}
        }
    }
    command.check(args)?;
    Ok(command)
}

/// The command that somebody asks for, whatever number of words it has.
#[must_use]
pub fn named(args: &[&[u8]]) -> Option<&'static Command> {
    let command = find(args[0])?;
    match (command.run, args.get(1)) {
        (Run::Subcommands(subcommands), Some(name)) => subcommand(subcommands, name),
        _ => Some(command),
    }
}

fn subcommand(subcommands: &'static [Command], name: &[u8]) -> Option<&'static Command> {
    subcommands.iter().find(|command| command.own_name().as_bytes().eq_ignore_ascii_case(name))
}

/// The command, or the `command|subcommand`, with a name, in whatever case.
#[must_use]
pub fn find_either(name: &[u8]) -> Option<&'static Command> {
    let Some(bar) = name.iter().position(|byte| *byte == b'|') else { return find(name) };
    match find(&name[..bar])?.run {
        Run::Subcommands(subcommands) => subcommand(subcommands, &name[bar + 1..]),
        Run::Keys(_) | Run::Connection(_) => None,
    }
}

impl Command {
    /// Those of which it has one in its second word.
    #[must_use]
    pub fn subcommands(&self) -> &'static [Self] {
        match self.run {
            Run::Subcommands(subcommands) => subcommands,
            Run::Keys(_) | Run::Connection(_) => &[],
        }
    }

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
