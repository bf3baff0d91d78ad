//! `gannet completions` and `gannet man`: what shells and `man` want to know of the command line, made from the help itself.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::failure::Failure;
use crate::output;

/// Prints completions for a shell.
///
/// gannet completions bash > /usr/share/bash-completion/completions/gannet
#[derive(Args, Clone, Debug)]
pub(crate) struct CompletionsOptions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Writes a man page for each command.
#[derive(Args, Clone, Debug)]
pub(crate) struct ManOptions {
    /// Folder to write to
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints them.
///
/// # Errors
///
/// They cannot be printed.
pub(crate) fn completions(options: &CompletionsOptions, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut command, "gannet", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

/// Writes `gannet.1`, and `gannet-NAME.1` for each command.
///
/// # Errors
///
/// A file cannot be written.
pub(crate) fn man(options: &ManOptions, mut command: Command) -> Result<(), Failure> {
    command.build();
    let failed = |path: &Path, error| Failure::Output(format!("{} cannot be written: {error}", path.display()));
    fs::create_dir_all(&options.folder).map_err(|error| failed(&options.folder, error))?;
    for (name, command) in pages("gannet".to_owned(), command) {
        let path = options.folder.join(format!("{name}.1"));
        let mut page = Vec::new();
        // It lives as long as the process, as the command does. The name that it is called by in the shell has blanks, that of a page hyphens.
        let written = Man::new(command.name(&*name.clone().leak())).title(name.to_uppercase()).render(&mut page);
        written.and_then(|()| fs::write(&path, page)).map_err(|error| failed(&path, error))?;
    }
    Ok(())
}

/// The command and all below it that are shown, with the names of their pages.
fn pages(name: String, command: Command) -> Vec<(String, Command)> {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let below: Vec<_> =
        shown.cloned().flat_map(|command| pages(format!("{name}-{}", command.get_name()), command)).collect();
    [(name, command)].into_iter().chain(below).collect()
}
