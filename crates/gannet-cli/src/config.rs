//! `gannet config`: prints configurations: the defaults, what is in effect, what differs, and the reference.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use gannet_config::{Change, Setting, nearest};
use serde_json::json;

use crate::failure::Failure;
use crate::options::SettingsOptions;
use crate::output;
use crate::settings::{Configuration, SCHEMA};

/// Prints configurations: the defaults, what is in effect, differences, the reference.
#[derive(Args, Clone, Debug)]
#[command(arg_required_else_help = false)] // An error says what is missing.
pub(crate) struct ConfigOptions {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum ConfigCommand {
    /// Prints a file with all settings, their defaults and what they do
    Default,
    /// Prints what is in effect as a file, each value with its origin; takes the options of gannet serve
    Effective(Box<SettingsOptions>),
    /// Prints the reference of all settings, or of those whose key begins with a text
    Doc {
        /// Key such as limits.frame, or a section such as limits
        key: Option<String>,
    },
    /// Prints what differs between two files, and when it comes into effect
    Diff {
        /// File before
        old: PathBuf,
        /// File after
        new: PathBuf,
        /// Print the changes as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Prints what was asked for.
///
/// # Errors
///
/// A configuration is wrong, or there is no such key.
pub(crate) fn config(options: &ConfigOptions) -> Result<(), Failure> {
    match &options.command {
        ConfigCommand::Default => output::print(&SCHEMA.defaults()),
        ConfigCommand::Effective(settings) => {
            let configuration = settings.read()?;
            let digest = configuration.digest();
            output::print(&format!("# digest: {digest}\n\n{}", configuration.values().to_toml()))
        }
        ConfigCommand::Doc { key: None } => output::print(&reference()),
        ConfigCommand::Doc { key: Some(key) } => output::print(&doc(key)?),
        ConfigCommand::Diff { old, new, json } => diff(old, new, *json),
    }
}

/// The page docs/settings.md.
fn reference() -> String {
    let head = "\
# Settings

All settings of `gannet serve`. `gannet config doc` prints this page, and `gannet config default` the same as a file.
[Configuration](configuration.md) says how files, the environment and flags go together, and how values are written.

SIGHUP and `gannet reload` have a running process read its configuration again. The column *change* says when a changed
setting takes effect: `live` at that moment, `restart` when the process starts again, or at once by `gannet upgrade`, which
puts a new process in its place without refusing a client.

";
    head.to_owned() + &SCHEMA.reference()
}

/// Those of one section, or one setting.
fn doc(key: &str) -> Result<String, Failure> {
    let plain = |setting: &Setting| setting.key.replace(".*", "");
    // As a file and messages have it: with a name.
    let shown = |setting: &Setting| setting.key.replace(".*", ".NAME");
    let is_of = |setting: &&Setting| {
        let own = plain(setting);
        own == key || shown(setting) == key || own.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
    };
    let mut text = String::new();
    for setting in SCHEMA.settings.iter().filter(is_of) {
        let default = setting.default.unwrap_or(setting.otherwise);
        // A string takes everything.
        let _ = writeln!(text, "{}\n  {}", shown(setting), setting.doc);
        if !setting.more.is_empty() {
            let _ = writeln!(text, "  {}", setting.more);
        }
        let _ = writeln!(text, "  value: {}", setting.kind.describe());
        let _ = writeln!(text, "  default: {default}\n  change: {}", setting.class.name());
        if let Some(flag) = setting.flag {
            let _ = writeln!(text, "  flag: --{}", flag.name);
        }
        let variables = setting.variables(SCHEMA.prefix).join(", ");
        if !variables.is_empty() {
            let _ = writeln!(text, "  environment: {variables}");
        }
    }
    if text.is_empty() {
        let all: Vec<String> = SCHEMA.settings.iter().map(plain).collect();
        let meant = nearest(key, all.iter().map(String::as_str));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        return Err(Failure::Usage(format!("there is no setting or section '{key}'{meant}")));
    }
    Ok(text)
}

fn diff(old: &std::path::Path, new: &std::path::Path, json: bool) -> Result<(), Failure> {
    let read = |file: &std::path::Path| Configuration::read_alone(file);
    let (old, new) = (read(old)?, read(new)?);
    let changes = old.diff(&new);
    output::print(&if json {
        let all: Vec<_> = changes.iter().map(as_json).collect();
        let (before, after) = (old.digest(), new.digest());
        json!({ "digest_before": before, "digest_after": after, "changes": all }).to_string() + "\n"
    } else if changes.is_empty() {
        "no differences\n".to_owned()
    } else {
        changes.iter().map(line).collect()
    })
}

fn as_json(change: &Change) -> serde_json::Value {
    json!({ "key": change.key, "old": change.old, "new": change.new, "class": change.class.name() })
}

/// A change in a line.
fn line(change: &Change) -> String {
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "(unset)".to_owned());
    let (old, new) = (shown(&change.old), shown(&change.new));
    match (&change.old, &change.new) {
        (None, Some(_)) if change.is_member => format!("{}: added ({})\n", change.key, change.class.name()),
        (Some(_), None) if change.is_member => format!("{}: removed ({})\n", change.key, change.class.name()),
        _ => format!("{}: {old} -> {new} ({})\n", change.key, change.class.name()),
    }
}
