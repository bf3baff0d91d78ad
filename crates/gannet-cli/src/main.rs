//! The `gannet` command.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gannet_cli::main()
}
