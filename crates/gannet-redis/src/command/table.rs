//! How an entry of a table of commands is written.

use super::call::Call;
use super::error::Outcome;
use super::{Command, Flags, KeyWords, Run};
use crate::service::turn::Turn;

/// For a command on keys.
pub(crate) const fn on_keys(
    name: &'static str,
    arity: i16,
    flags: Flags,
    keys: KeyWords,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> Command {
    Command { name, arity, flags, keys, run: Run::Keys(run), index: 0 }
}

/// For a command on the one key behind its name.
pub(crate) const fn on_key(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> Command {
    on_keys(name, arity, flags, KeyWords::Range(1, 1, 1), run)
}

/// For a command that knows no keys.
pub(crate) const fn entry(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: fn(&mut Turn<'_, '_, '_>) -> Outcome,
) -> Command {
    Command { name, arity, flags, keys: KeyWords::None, run: Run::Connection(run), index: 0 }
}

/// For a command that has subcommands.
pub(crate) const fn parent(name: &'static str, arity: i16, subcommands: &'static [Command]) -> Command {
    Command { name, arity, flags: Flags::NONE, keys: KeyWords::None, run: Run::Subcommands(subcommands), index: 0 }
}
