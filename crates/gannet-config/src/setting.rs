//! The table: what can be set, and what is said of it.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::kind::Kind;

/// Says when a changed setting comes into effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// At a reload, while the program runs.
    Live,
    /// At the next start.
    Restart,
}

impl Class {
    /// Returns `live` or `restart`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Restart => "restart",
        }
    }
}

/// Describes the flag of the command line that sets a setting.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// The name without its dashes, such as `max-frame`.
    pub name: &'static str,
    /// How the value is called in a help text, such as `SIZE`. Empty for a switch, which takes none.
    pub value: &'static str,
    /// The heading of the help text that the flag is listed under; empty for the first list.
    pub heading: &'static str,
}

/// Describes one setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key with its sections, such as `limits.frame`. A `*` stands for the name of a member, as in `tls.*.min_version`.
    pub key: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// The value where nothing is set, as a flag would have it. Without one, the setting is off or derived.
    pub default: Option<&'static str>,
    /// What happens without a value, where there is no default to show.
    pub otherwise: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// More about it, for a long help text and the reference.
    pub more: &'static str,
    /// When a change comes into effect.
    pub class: Class,
    /// The flag that sets it.
    pub flag: Option<Flag>,
}

impl Setting {
    /// Describes a setting that needs a restart, without a default or a flag.
    #[must_use]
    pub const fn new(key: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self { key, kind, default: None, otherwise: "", doc, more: "", class: Class::Restart, flag: None }
    }

    /// Sets the default, as a flag would have it.
    #[must_use]
    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    /// Says what happens without a value.
    #[must_use]
    pub const fn otherwise(mut self, text: &'static str) -> Self {
        self.otherwise = text;
        self
    }

    /// Adds more text for the long help and the reference.
    #[must_use]
    pub const fn more(mut self, text: &'static str) -> Self {
        self.more = text;
        self
    }

    /// Sets when a change comes into effect.
    #[must_use]
    pub const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Names the flag that sets it, its value and its heading.
    #[must_use]
    pub const fn flag(mut self, name: &'static str, value: &'static str, heading: &'static str) -> Self {
        self.flag = Some(Flag { name, value, heading });
        self
    }

    /// Returns the last part of the key.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.key.rsplit('.').next().unwrap_or(self.key)
    }

    /// Returns the variables of the environment that set it: the one of its key, and the one of its flag.
    #[must_use]
    pub fn variables(&self, prefix: &str) -> Vec<String> {
        let of_key = (!self.key.contains('*')).then(|| variable(prefix, self.key));
        let of_flag = self.flag.map(|flag| variable(prefix, flag.name));
        let mut all: Vec<String> = of_key.into_iter().chain(of_flag).collect();
        all.dedup();
        all
    }
}

/// The name of the member that a flag means where its setting belongs to members.
pub(crate) const DEFAULT_MEMBER: &str = "default";

/// The variable for a key or a flag.
pub(crate) fn variable(prefix: &str, name: &str) -> String {
    format!("{prefix}{}", name.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// Says how a section is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One table: `[limits]`.
    Table,
    /// A table for each name: `[tls.main]`.
    Named,
    /// An array of tables: `[[listener]]`. Each is called by its `name`, or else by the value of this key.
    Array(&'static str),
}

/// Describes a section of settings.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The key, such as `limits` or `push.namespace`.
    pub key: &'static str,
    /// How it is written.
    pub form: Form,
    /// What its settings are about.
    pub doc: &'static str,
    /// A flag that gives whole members, and how its value is read.
    pub flag: Option<(Flag, Expand)>,
    /// What the help says of that flag: a sentence, and more.
    pub help: (&'static str, &'static str),
}

/// Reads the value of a flag that stands for whole members of a section.
pub type Expand = fn(&str) -> Result<Vec<Member>, String>;

/// One member of a section, as a flag gives it.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its name. `None` where the section has no members, or where the name follows from another key.
    pub name: Option<String>,
    /// The keys within the section, and their values as text.
    pub entries: Vec<(&'static str, String)>,
}

impl Section {
    /// Describes one table.
    #[must_use]
    pub const fn table(key: &'static str, doc: &'static str) -> Self {
        Self { key, form: Form::Table, doc, flag: None, help: ("", "") }
    }

    /// Describes a table for each name.
    #[must_use]
    pub const fn named(key: &'static str, doc: &'static str) -> Self {
        Self { form: Form::Named, ..Self::table(key, doc) }
    }

    /// Describes an array of tables, whose members are called by `name`, or else by the value of the key `or`.
    #[must_use]
    pub const fn array(key: &'static str, or: &'static str, doc: &'static str) -> Self {
        Self { form: Form::Array(or), ..Self::table(key, doc) }
    }

    /// Names a flag that gives whole members: they replace all members of the layers below.
    #[must_use]
    pub const fn flag(mut self, flag: Flag, expand: Expand, help: (&'static str, &'static str)) -> Self {
        self.flag = Some((flag, expand));
        self.help = help;
        self
    }

    /// Returns the prefix of the keys of its settings: `limits.`, or `tls.*.` where it has members.
    #[must_use]
    pub fn prefix(&self) -> String {
        match self.form {
            Form::Table => format!("{}.", self.key),
            Form::Named | Form::Array(_) => format!("{}.*.", self.key),
        }
    }
}

/// Everything that can be set.
#[derive(Debug)]
pub struct Schema {
    /// What all variables of the environment begin with, such as `GANNET_`.
    pub prefix: &'static str,
    /// The sections, in the order of the reference.
    pub sections: &'static [Section],
    /// The settings, in the order of the reference.
    pub settings: &'static [Setting],
    /// The settings by their keys: a file with thousands of members asks for each of theirs.
    by_key: OnceLock<HashMap<&'static str, &'static Setting>>,
}

impl Schema {
    /// Makes a table of these sections and settings. The variables of the environment begin with `prefix`, such as `GANNET_`.
    #[must_use]
    pub const fn new(prefix: &'static str, sections: &'static [Section], settings: &'static [Setting]) -> Self {
        Self { prefix, sections, settings, by_key: OnceLock::new() }
    }

    /// Returns the setting of a key, which has `*` for the name of a member.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&'static Setting> {
        let by_key = || self.settings.iter().map(|setting| (setting.key, setting)).collect();
        self.by_key.get_or_init(by_key).get(key).copied()
    }

    /// Returns the section of this key.
    #[must_use]
    pub fn section(&self, key: &str) -> Option<&'static Section> {
        self.sections.iter().find(|section| section.key == key)
    }

    /// Returns the section that a setting belongs to: the one with the longest key.
    #[must_use]
    pub fn section_of(&self, setting: &Setting) -> Option<&'static Section> {
        let fitting = self.sections.iter().filter(|section| setting.key.starts_with(&section.prefix()));
        fitting.max_by_key(|section| section.key.len())
    }

    /// The place of a setting in the table, for an order of its own.
    pub(crate) fn index(&self, setting: &Setting) -> usize {
        // They are of this table, so its place in memory is enough, and quick for thousands of members.
        let bytes = std::ptr::from_ref(setting).addr().wrapping_sub(self.settings.as_ptr().addr());
        let index = bytes / size_of::<Setting>();
        if self.settings.get(index).is_some_and(|own| std::ptr::eq(own, setting)) { index } else { usize::MAX }
    }

    /// The names that may follow a prefix such as `limits.` or `tls.*.`, each once.
    pub(crate) fn names_below(&self, prefix: &str) -> Vec<&'static str> {
        let keys = self.settings.iter().map(|setting| setting.key).chain(self.sections.iter().map(|one| one.key));
        let mut names: Vec<&str> =
            keys.filter_map(|key| key.strip_prefix(prefix)).filter_map(|rest| rest.split('.').next()).collect();
        names.sort_unstable();
        names.dedup();
        names.retain(|name| *name != "*");
        names
    }
}
