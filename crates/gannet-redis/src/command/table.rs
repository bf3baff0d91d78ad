//! How an entry of a table of commands on keys is written.

use super::call::Call;
use super::error::Outcome;
use super::{Flags, KeyCommand, KeyRun, KeyWords, Signature};

/// For a command on keys.
pub(crate) const fn on_keys(
    name: &'static str,
    arity: i16,
    flags: Flags,
    keys: KeyWords,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> KeyCommand {
    KeyCommand { signature: Signature { name, arity, flags, keys, index: 0 }, run: KeyRun::Itself(run) }
}

/// For a command on the one key behind its name.
pub(crate) const fn on_key(
    name: &'static str,
    arity: i16,
    flags: Flags,
    run: fn(&mut Call<'_, '_, '_>) -> Outcome,
) -> KeyCommand {
    on_keys(name, arity, flags, KeyWords::Range(1, 1, 1), run)
}

/// For a command on keys that has subcommands.
pub(crate) const fn parent(name: &'static str, arity: i16, subcommands: &'static [KeyCommand]) -> KeyCommand {
    let signature = Signature { name, arity, flags: Flags::NONE, keys: KeyWords::None, index: 0 };
    KeyCommand { signature, run: KeyRun::Subcommands(subcommands) }
}
