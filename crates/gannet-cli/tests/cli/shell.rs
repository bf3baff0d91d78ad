//! Man pages and completions: nothing of the help is missing in them.

use std::collections::BTreeMap;
use std::process::Command;

use crate::server::{Folder, gannet};

fn printed(arguments: &[&str]) -> String {
    let output = gannet(arguments).env_clear().output().expect("it runs");
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The commands in a help, by the lines under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let (_, rest) = help.split_once("Commands:\n").expect("a list");
    let rows = rest.lines().take_while(|line| line.starts_with("  "));
    let names = rows.filter(|line| !line.starts_with("    ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The long options in a help, each at the begin of its row.
fn options(help: &str) -> Vec<String> {
    let rows = help.lines().map(str::trim_start);
    let rows = rows.map(|row| row.strip_prefix("-h, ").or(row.strip_prefix("-V, ")).unwrap_or(row));
    let word = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    rows.filter_map(|row| row.strip_prefix("--"))
        .map(|row| row.chars().take_while(|character| word(*character)).collect::<String>())
        .filter(|name| !name.is_empty() && name != "help" && name != "version")
        .collect()
}

/// The options of all commands without commands of their own.
fn all() -> BTreeMap<String, Vec<String>> {
    let own = commands(&printed(&["--help"]));
    assert!(["serve", "load", "doctor", "completions"].iter().all(|name| own.iter().any(|own| own == name)), "{own:?}");
    let of = |name: String| {
        let help = printed(&[&name, "--help"]);
        (!help.contains("Commands:\n")).then(|| (name, options(&help)))
    };
    own.into_iter().filter_map(of).collect()
}

#[test]
fn man_pages_have_every_command_and_every_option_of_the_help() {
    let folder = Folder::new("man");
    let path = folder.path("man1");
    printed(&["man", path.to_str().expect("text")]);
    let read = |name: &str| std::fs::read_to_string(path.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let first = read("gannet.1");
    for (command, options) in all() {
        // roff writes hyphens with a backslash.
        let page = read(&format!("gannet-{command}.1")).replace("\\-", "-");
        assert!(first.contains(&command), "{command} is missing: {first}");
        assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
        for option in &options {
            assert!(page.contains(&format!("--{option}")), "{command} --{option} is missing: {page}");
        }
        assert!(command != "serve" || options.len() > 40, "{options:?}");
    }
    assert!(!path.join("gannet-man.1").exists(), "it is hidden");
}

#[test]
fn completions_have_every_command_and_every_option_of_the_help() {
    for shell in ["bash", "zsh", "fish"] {
        let script = printed(&["completions", shell]);
        for (command, options) in all() {
            assert!(script.contains(&command), "{shell}: {command}");
            for option in options {
                let written = if shell == "fish" { format!("-l {option}") } else { format!("--{option}") };
                assert!(script.contains(&written), "{shell}: {command} --{option}");
            }
        }
    }
}

#[test]
fn bash_completes_the_name_of_a_command() {
    let folder = Folder::new("completions");
    let path = folder.path("gannet.bash");
    std::fs::write(&path, printed(&["completions", "bash"])).expect("written");
    let ask =
        "source \"$0\"; COMP_WORDS=(gannet doc); COMP_CWORD=1; _gannet gannet doc gannet; echo \"${COMPREPLY[@]}\"";
    // Without a bash there is nobody to ask.
    if let Ok(output) = Command::new("bash").args(["-c", ask]).arg(&path).output() {
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "doctor", "{output:?}");
    }
}
