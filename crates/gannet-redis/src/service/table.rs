//! The table of all commands: those on keys, those on a connection, and those on the server.

use std::hash::BuildHasher as _;
use std::iter;
use std::ops::Deref;
use std::sync::LazyLock;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::commands::{connection, server};
use super::turn::Turn;
use super::{pubsub, transaction};
use crate::command::call::Call;
use crate::command::error::{Error, Outcome};
use crate::command::{self, Flags, KeyCommand, KeyRun, KeyWords, Signature, unknown};

/// A command as the table knows it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// How it is asked for.
    pub signature: Signature,
    /// What it does.
    pub run: Run,
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

impl Command {
    /// Those of which it has one in its second word.
    #[must_use]
    pub fn subcommands(&self) -> &'static [Self] {
        match self.run {
            Run::Subcommands(subcommands) => subcommands,
            Run::Keys(_) | Run::Connection(_) => &[],
        }
    }
}

impl Deref for Command {
    type Target = Signature;

    #[inline]
    fn deref(&self) -> &Signature {
        &self.signature
    }
}

impl From<&KeyCommand> for Command {
    fn from(command: &KeyCommand) -> Self {
        let run = match command.run {
            KeyRun::Itself(run) => Run::Keys(run),
            // They are there as long as the process.
            KeyRun::Subcommands(all) => Run::Subcommands(all.iter().map(Self::from).collect::<Vec<_>>().leak()),
        };
        Self { signature: command.signature, run }
    }
}

/// For a command that knows no keys.
pub(crate) const fn entry(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: fn(&mut Turn<'_, '_, '_>) -> Outcome,
) -> Command {
    let signature = Signature { name, arity, flags, keys: KeyWords::None, index: 0 };
    Command { signature, run: Run::Connection(run) }
}

/// For a command that names keys which it does not look at.
pub(crate) const fn naming_keys(command: Command, keys: KeyWords) -> Command {
    let Signature { name, arity, flags, index, .. } = command.signature;
    Command { signature: Signature { name, arity, flags, keys, index }, run: command.run }
}

/// For a command that has subcommands.
pub(crate) const fn parent(name: &'static str, arity: i16, subcommands: &'static [Command]) -> Command {
    let signature = Signature { name, arity, flags: Flags::NONE, keys: KeyWords::None, index: 0 };
    Command { signature, run: Run::Subcommands(subcommands) }
}

/// The commands on a connection or on the server, by family.
static FAMILIES: &[&[Command]] = &[connection::COMMANDS, server::COMMANDS, pubsub::COMMANDS, transaction::COMMANDS];

/// All commands, numbered.
static ALL: LazyLock<Vec<Command>> = LazyLock::new(|| {
    let mut next = 0;
    let mut number = |command: Command| {
        next += 1;
        Command { signature: Signature { index: next - 1, ..command.signature }, ..command }
    };
    let on_keys = command::FAMILIES.iter().copied().flatten().map(Command::from);
    let mut all = Vec::new();
    for command in on_keys.chain(FAMILIES.iter().copied().flatten().copied()) {
        let mut numbered = number(command);
        if let Run::Subcommands(subcommands) = command.run {
            // They are there as long as the process.
            numbered.run = Run::Subcommands(subcommands.iter().copied().map(&mut number).collect::<Vec<_>>().leak());
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
