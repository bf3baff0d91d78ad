//! What the value of a setting is, and how it is read from text.

use std::time::Duration;

use crate::nearest::nearest;
use crate::units;
use crate::value::{SecretSource, Value};

/// Checks a text; the error says what it is instead, and how it is written.
pub type Check = fn(&str) -> Result<(), String>;

/// One of the values of a [`Kind::Choice`].
#[derive(Clone, Copy, Debug)]
pub struct Choice {
    /// How it is written.
    pub name: &'static str,
    /// What it stands for; empty where the name says it.
    pub doc: &'static str,
}

/// How a list is separated in one text, as in a variable of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// By white space.
    Words,
    /// By line breaks.
    Lines,
}

/// What the value of a setting is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// On or off.
    Switch,
    /// A whole number of this range.
    Number(u64, u64),
    /// Bytes of this range. From 0, where 0 stands for no limit.
    Size(u64, u64),
    /// A time of this range; the last tells whether it may be `off`.
    Time(Duration, Duration, bool),
    /// A number a second; 0 is no limit.
    Rate,
    /// One of some names.
    Choice(&'static [Choice]),
    /// A text, what it is called, an example, and what checks it.
    Text(&'static str, &'static str, Check),
    /// A path. In a file, a relative one begins at the file's folder.
    Path,
    /// Texts or paths, and how they are separated where they come as one text.
    List(&'static Kind, Split),
    /// A secret. In a file: `{ file = "…" }` or `{ env = "…" }`.
    Secret,
    /// Secrets, one a line of their file or variable.
    Secrets,
    /// A text that may have a secret in it, as a URL may: what it is called, an example, and what checks it. In a file it is
    /// written as text where the last function finds no secret in it.
    Sensitive(&'static str, &'static str, Check, fn(&str) -> bool),
}

impl Kind {
    /// A size of this range.
    #[must_use]
    pub const fn size(least: u64, most: u64) -> Self {
        Self::Size(least, most)
    }

    /// A time that may be off.
    #[must_use]
    pub const fn deadline() -> Self {
        Self::Time(Duration::ZERO, units::LONGEST, true)
    }

    /// Tells whether its values may not be shown.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret | Self::Secrets | Self::Sensitive(..))
    }

    /// Names it with its range, for the reference and for errors: `size from 1MiB to 512MiB`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Switch => "true or false".to_owned(),
            Self::Number(least, most) if *most >= u64::from(u32::MAX) => format!("whole number from {least}"),
            Self::Number(least, most) => format!("whole number from {least} to {most}"),
            Self::Size(least, most) => {
                let size = |bytes: &u64| units::written_size(usize::try_from(*bytes).unwrap_or(usize::MAX));
                match (*least > 1, *most < ANY_SIZE) {
                    (true, true) => format!("size from {} to {}", size(least), size(most)),
                    (true, false) => format!("size from {}", size(least)),
                    (false, true) => format!("size up to {}", size(most)),
                    (false, false) => "size".to_owned(),
                }
            }
            Self::Time(least, most, off) => {
                let or_off = if *off { ", or off" } else { "" };
                match (least.is_zero(), *most == units::LONGEST) {
                    (true, true) => format!("time{or_off}"),
                    _ => format!("time {}{or_off}", time_range(*least, *most)),
                }
            }
            Self::Rate => "number a second".to_owned(),
            Self::Choice(choices) => choices.iter().map(|choice| choice.name).collect::<Vec<_>>().join(", "),
            Self::Text(what, ..) => (*what).to_owned(),
            Self::Path => "path".to_owned(),
            Self::List(Self::Path, _) => "list of paths".to_owned(),
            Self::List(Self::Text(what, ..), _) => format!("list of {what}s"),
            Self::List(..) => "list".to_owned(),
            Self::Secret => "secret".to_owned(),
            Self::Secrets => "list of secrets".to_owned(),
            Self::Sensitive(what, ..) => format!("{what}, or secret"),
        }
    }

    /// How a value is written in a file, as an example.
    pub(crate) fn example(&self) -> String {
        match self {
            Self::Switch => "true".to_owned(),
            Self::Number(least, _) => (*least).max(1).to_string(),
            Self::Size(..) => r#""64KiB""#.to_owned(),
            Self::Time(..) => r#""30s""#.to_owned(),
            Self::Rate => r#""1000/s""#.to_owned(),
            Self::Choice(choices) => format!("\"{}\"", choices.first().map_or("", |choice| choice.name)),
            Self::Text(_, example, _) | Self::Sensitive(_, example, ..) => format!("\"{example}\""),
            Self::Path => r#""/etc/gannet/file.pem""#.to_owned(),
            Self::List(item, _) => format!("[{}]", item.example()),
            Self::Secret => r#"{ file = "/run/secrets/name" }"#.to_owned(),
            Self::Secrets => r#"[{ file = "/run/secrets/name" }]"#.to_owned(),
        }
    }

    /// Reads a value from the text of a flag or of a variable. Secrets are marked with `source`.
    ///
    /// # Errors
    ///
    /// It is not such a value: the error says what it would be, and does not contain the text.
    pub fn read(&self, text: &str, source: &SecretSource) -> Result<Value, String> {
        match self {
            Self::Switch => match text {
                "true" | "yes" => Ok(Value::Switch(true)),
                "false" | "no" => Ok(Value::Switch(false)),
                _ => Err("possible values: true, false".to_owned()),
            },
            Self::Number(least, most) => units::whole(text, *least, *most).map(Value::Number),
            Self::Size(least, most) => {
                let bytes = if text == "0" && *least == 0 { 0 } else { units::size(text)? };
                self.size_of(bytes, *least, *most)
            }
            Self::Time(least, most, off) => self.time_of(units::time(text, *most)?, *least, *most, *off),
            Self::Rate => units::per_second(text).map(|rate| Value::Number(rate.into())),
            Self::Choice(choices) => match choices.iter().find(|choice| choice.name == text) {
                Some(_) => Ok(Value::Text(text.to_owned())),
                None => Err(not_a_choice(choices, text)),
            },
            Self::Text(_, _, check) => check(text).map(|()| Value::Text(text.to_owned())),
            Self::Path if text.is_empty() => Err("the path is empty".to_owned()),
            Self::Path if text.contains('\0') => Err("no path has a NUL".to_owned()),
            Self::Path => Ok(Value::Text(text.to_owned())),
            Self::List(item, split) => {
                let mut items = Vec::new();
                for part in parts(text, *split) {
                    if let Value::Text(part) = item.read(part, source)? {
                        items.push(part);
                    }
                }
                if items.is_empty() {
                    return Err(format!("a list needs an entry, such as {}", item.example()));
                }
                Ok(Value::List(items))
            }
            Self::Secret => {
                let line = text.trim_end_matches(['\r', '\n']);
                if line.is_empty() {
                    return Err("the secret is empty, and would protect nothing".to_owned());
                }
                Ok(Value::Secrets(vec![crate::Secret::new(line, source.clone())]))
            }
            Self::Secrets => {
                let lines = text.lines().filter(|line| !line.is_empty());
                let secrets: Vec<_> = lines.map(|line| crate::Secret::new(line, source.clone())).collect();
                if secrets.is_empty() {
                    return Err("the secret is empty, and would protect nothing".to_owned());
                }
                Ok(Value::Secrets(secrets))
            }
            Self::Sensitive(_, _, check, has_secret) => {
                let text = text.trim_end_matches(['\r', '\n']);
                check(text)?;
                // Nothing has to be hidden where nothing is secret.
                if has_secret(text) || matches!(source, SecretSource::File(_)) {
                    return Ok(Value::Secrets(vec![crate::Secret::new(text, source.clone())]));
                }
                Ok(Value::Text(text.to_owned()))
            }
        }
    }

    /// Reads a value from a number of a file.
    pub(crate) fn read_number(&self, number: u64) -> Option<Result<Value, String>> {
        let text = number.to_string();
        match self {
            Self::Number(..) | Self::Rate | Self::Size(..) => Some(self.read(&text, &SecretSource::Unnamed)),
            // Without a unit it is only clear for none.
            Self::Time(..) if number == 0 => Some(self.read(&text, &SecretSource::Unnamed)),
            Self::Time(..) => {
                Some(Err("a duration needs a unit, and is a text: \"500ms\", \"30s\", \"2m\", \"1h\"".to_owned()))
            }
            _ => None,
        }
    }

    fn size_of(&self, bytes: usize, least: u64, most: u64) -> Result<Value, String> {
        let wide = bytes as u64;
        if (least..=most).contains(&wide) {
            return Ok(Value::Size(bytes));
        }
        let size = |bytes: u64| units::written_size(usize::try_from(bytes).unwrap_or(usize::MAX));
        Err(match (least > 1, most < ANY_SIZE) {
            (true, true) => format!("it is at least {} and at most {}", size(least), size(most)),
            (true, false) => format!("it is at least {}", size(least)),
            _ => format!("it is at most {}", size(most)),
        })
    }

    fn time_of(&self, time: Option<Duration>, least: Duration, most: Duration, off: bool) -> Result<Value, String> {
        match time {
            None if off => Ok(Value::Time(None)),
            None => Err(format!("it cannot be off: give a time, such as {}", self.example())),
            Some(time) if time < least || time > most => {
                let or_off = if off { ", or off" } else { "" };
                Err(format!("the time is {}{or_off}", time_range(least, most)))
            }
            Some(time) => Ok(Value::Time(Some(time))),
        }
    }
}

/// More than any address space has, so that it is no limit.
const ANY_SIZE: u64 = isize::MAX as u64;

fn time_range(least: Duration, most: Duration) -> String {
    format!("{} to {}", units::written_time(Some(least.max(Duration::from_millis(1)))), units::written_time(Some(most)))
}

fn not_a_choice(choices: &[Choice], text: &str) -> String {
    let names = choices.iter().map(|choice| choice.name);
    let all = names.clone().collect::<Vec<_>>().join(", ");
    match nearest(text, names) {
        Some(name) => format!("possible values: {all}; did you mean '{name}'?"),
        None => format!("possible values: {all}"),
    }
}

/// The parts of one text.
pub(crate) fn parts(text: &str, split: Split) -> Vec<&str> {
    match split {
        Split::Words => text.split_ascii_whitespace().collect(),
        Split::Lines => text.lines().filter(|line| !line.is_empty()).collect(),
    }
}
