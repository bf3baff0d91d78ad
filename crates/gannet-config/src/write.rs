//! Settings as a file in TOML: the defaults, and what is in effect.

use std::fmt::Write as _;
use std::path::Path;

use crate::kind::Kind;
use crate::setting::{Form, Schema, Section};
use crate::units;
use crate::value::{Secret, SecretSource, Value, quoted};
use crate::values::{Key, Values, quoted_key};

/// The longest line of a comment.
const COMMENT_COLUMNS: usize = 100;

impl Value {
    /// Writes the value as a file has it; secrets by where they are read from. Nothing for a secret that has no such place.
    #[must_use]
    pub fn to_toml(&self, kind: &Kind) -> Option<String> {
        Some(match self {
            Self::Switch(on) => on.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Size(0) => "0".to_owned(),
            Self::Size(bytes) => quoted(&units::written_size(*bytes)),
            Self::Time(time) => quoted(&units::written_time(*time)),
            Self::Text(text) if matches!(kind, Kind::Path) => quoted(&absolute(text)),
            Self::Text(text) => quoted(text),
            Self::List(items) => {
                let is_path = matches!(kind, Kind::List(Kind::Path, _));
                let items: Vec<String> =
                    items.iter().map(|item| quoted(&if is_path { absolute(item) } else { item.clone() })).collect();
                format!("[{}]", items.join(", "))
            }
            Self::Secrets(secrets) => {
                let mut places = secrets.iter().map(place_of).collect::<Option<Vec<_>>>()?;
                // Several secrets of one place are read together.
                places.dedup();
                match (kind, &places[..]) {
                    (Kind::Secrets, places) => format!("[{}]", places.join(", ")),
                    (_, [place]) => place.clone(),
                    _ => return None,
                }
            }
        })
    }

    /// Writes the value for people: secrets as a word.
    #[must_use]
    pub fn shown(&self, kind: &Kind) -> String {
        match self {
            Self::Secrets(secrets) if secrets.len() == 1 => "(secret)".to_owned(),
            Self::Secrets(secrets) => format!("({} secrets)", secrets.len()),
            other => other.to_toml(kind).unwrap_or_default(),
        }
    }
}

fn place_of(secret: &Secret) -> Option<String> {
    match secret.source() {
        SecretSource::File(path) => Some(format!("{{ file = {} }}", quoted(&absolute(&path.to_string_lossy())))),
        SecretSource::Variable(name) => Some(format!("{{ env = {} }}", quoted(name))),
        SecretSource::Unnamed => None,
    }
}

/// A path that means the same wherever the file is that it is written to.
fn absolute(path: &str) -> String {
    let absolute = std::path::absolute(Path::new(path)).ok();
    absolute.map_or_else(|| path.to_owned(), |path| path.to_string_lossy().into_owned())
}

impl Values {
    /// Writes everything that is in effect as a file, each value with its origin. A [`Loader`](crate::Loader) reads the same
    /// values from it.
    ///
    /// A secret is written as the file or variable that it is read from. One that came from the command line is a comment.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for section in self.schema.sections {
            match section.form {
                Form::Table => {
                    let keys = self.keys_of(section, None);
                    if !keys.is_empty() {
                        header(&mut text, &format!("[{}]", section.key));
                        keys.iter().for_each(|key| self.write(&mut text, section, key));
                    }
                }
                Form::Named | Form::Array(_) => {
                    for (name, place) in self.members(section.key) {
                        if section.form == Form::Named {
                            header(&mut text, &format!("[{}.{}]", section.key, quoted_key(name)));
                        } else {
                            header(&mut text, &format!("[[{}]]", section.key));
                            line(&mut text, &format!("name = {}", quoted(name)), &place.to_string());
                        }
                        self.keys_of(section, Some(name)).iter().for_each(|key| self.write(&mut text, section, key));
                    }
                }
            }
        }
        text
    }

    fn write(&self, text: &mut String, section: &Section, key: &Key) {
        let name = key.setting().key.strip_prefix(&*section.prefix()).unwrap_or(key.setting().key);
        let origin = self.entries.get(key).map_or_else(|| "default".to_owned(), |entry| entry.place.to_string());
        let kind = &key.setting().kind;
        match self.value(key).map(|value| value.to_toml(kind)) {
            Some(Some(value)) => line(text, &format!("{name} = {value}"), &origin),
            Some(None) => line(text, &format!("# {name} = …"), &format!("{origin}, not shown")),
            None if section.form == Form::Table && !key.setting().otherwise.is_empty() => {
                line(text, &format!("# {name}"), key.setting().otherwise);
            }
            None => {}
        }
    }
}

fn header(text: &mut String, header: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(header);
    text.push('\n');
}

/// A line with its origin behind it, which may be anything: it stays one line.
fn line(text: &mut String, line: &str, origin: &str) {
    let origin = origin.replace(char::is_control, " ");
    // A string takes everything.
    let _ = writeln!(text, "{line:<40} # {origin}");
}

impl Schema {
    /// Writes all defaults as a file, with what each setting does. Settings without a default, and sections that have a name
    /// for each member, are comments.
    #[must_use]
    pub fn defaults(&self) -> String {
        let mut text = String::new();
        for section in self.sections {
            let own: Vec<_> = self
                .settings
                .iter()
                .filter(|one| self.section_of(one).is_some_and(|own| own.key == section.key))
                .collect();
            if own.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            comment(&mut text, section.doc);
            let (title, off) = match section.form {
                Form::Table => (format!("[{}]", section.key), ""),
                Form::Named => (format!("[{}.name]", section.key), "# "),
                Form::Array(_) => (format!("[[{}]]", section.key), "# "),
            };
            let _ = writeln!(text, "{off}{title}");
            if matches!(section.form, Form::Array(_)) {
                let _ = writeln!(text, "# name = \"public\"");
            }
            for setting in own {
                let name = setting.key.strip_prefix(&*section.prefix()).unwrap_or(setting.key);
                if section.form == Form::Table {
                    text.push('\n');
                    comment(
                        &mut text,
                        &format!("{} ({}; {})", setting.doc, setting.kind.describe(), setting.class.name()),
                    );
                }
                let value = crate::values::default_of(setting).and_then(|value| value.to_toml(&setting.kind));
                let _ = match value {
                    Some(value) => writeln!(text, "{off}{name} = {value}"),
                    None => writeln!(text, "# {name} = {}", setting.kind.example()),
                };
            }
        }
        text
    }
}

/// A comment of as many lines as it takes.
fn comment(text: &mut String, words: &str) {
    let mut column = 0;
    for word in words.split_whitespace() {
        if column > 0 && column + word.chars().count() >= COMMENT_COLUMNS {
            text.push('\n');
            column = 0;
        }
        text.push_str(if column == 0 { "# " } else { " " });
        text.push_str(word);
        column += word.chars().count() + 1;
    }
    text.push('\n');
}
