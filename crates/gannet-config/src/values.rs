//! What is in effect, and where each value comes from.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use crate::place::Place;
use crate::setting::{Schema, Section, Setting};
use crate::value::{FromValue, SecretSource, Value, quoted};

/// Names a setting, and the member that it belongs to where there are several.
#[derive(Clone, Debug)]
pub struct Key {
    setting: &'static Setting,
    /// Its place in the table.
    index: usize,
    member: Option<String>,
}

impl Key {
    pub(crate) fn new(schema: &Schema, setting: &'static Setting, member: Option<&str>) -> Self {
        // A setting that is not of a member has none, whoever asks.
        let member = member.filter(|_| setting.key.contains('*')).map(str::to_owned);
        Self { setting, index: schema.index(setting), member }
    }

    /// Returns the setting.
    #[must_use]
    pub fn setting(&self) -> &'static Setting {
        self.setting
    }

    /// Returns the name of the member.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        self.member.as_deref()
    }

    /// The place of the setting in the table.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.member, self.index).cmp(&(&other.member, other.index))
    }
}

/// The key as it is written in a file: `tls.main.min_version`.
impl Display for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.member {
            Some(member) => f.write_str(&self.setting.key.replacen('*', &quoted_key(member), 1)),
            None => f.write_str(self.setting.key),
        }
    }
}

/// A part of a key, in quotes where it needs them.
pub(crate) fn quoted_key(name: &str) -> Cow<'_, str> {
    let is_bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if is_bare { Cow::Borrowed(name) } else { Cow::Owned(quoted(name)) }
}

/// A value that was set, and where.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Where it was given.
    pub place: Place,
}

/// Holds all values, with the defaults below them.
#[derive(Clone, Debug)]
pub struct Values {
    pub(crate) schema: &'static Schema,
    pub(crate) entries: BTreeMap<Key, Entry>,
    /// The members of sections, in the order in which they were given.
    pub(crate) members: BTreeMap<&'static str, Vec<(String, Place)>>,
    /// Keys with a value that could not be read.
    pub(crate) broken: BTreeSet<Key>,
}

impl Values {
    pub(crate) fn new(schema: &'static Schema) -> Self {
        Self { schema, entries: BTreeMap::new(), members: BTreeMap::new(), broken: BTreeSet::new() }
    }

    /// Returns the table that the values are of.
    #[must_use]
    pub fn schema(&self) -> &'static Schema {
        self.schema
    }

    /// Reads settings that are not of a member.
    #[must_use]
    pub fn root(&self) -> Scope<'_> {
        Scope { values: self, section: "", member: None }
    }

    /// Reads the settings of a member, by the keys below it.
    #[must_use]
    pub fn of<'v>(&'v self, section: &'static str, member: &'v str) -> Scope<'v> {
        Scope { values: self, section, member: Some(member) }
    }

    /// Lists the members of a section with their places, in the order in which they were given.
    #[must_use]
    pub fn members(&self, section: &str) -> &[(String, Place)] {
        self.members.get(section).map_or(&[], Vec::as_slice)
    }

    /// Lists what was set for a member of a section.
    pub fn entries_of(&self, section: &str, member: &str) -> impl Iterator<Item = (&Key, &Entry)> {
        // Any setting of a member: those of one are beside each other, in the order of the table.
        let first = self.schema.settings.iter().find(|setting| setting.key.contains('*'));
        let from = first.map(|setting| Key { setting, index: 0, member: Some(member.to_owned()) });
        let all = from.into_iter().flat_map(|from| self.entries.range(from..));
        let prefix = format!("{section}.*.");
        all.take_while(move |(key, _)| key.member.as_deref() == Some(member))
            .filter(move |(key, _)| key.setting.key.starts_with(&prefix))
    }

    /// Lists what was set.
    pub fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// The value of a key that is set, or its default.
    pub(crate) fn value(&self, key: &Key) -> Option<Cow<'_, Value>> {
        let set = self.entries.get(key).map(|entry| Cow::Borrowed(&entry.value));
        set.or_else(|| default_of(key.setting).map(Cow::Owned))
    }

    /// The keys of a section for one of its members, or for itself.
    pub(crate) fn keys_of(&self, section: &Section, member: Option<&str>) -> Vec<Key> {
        self.settings_of(section).into_iter().map(|setting| Key::new(self.schema, setting, member)).collect()
    }

    /// The settings of a section.
    pub(crate) fn settings_of(&self, section: &Section) -> Vec<&'static Setting> {
        let is_own = |setting: &&Setting| self.schema.section_of(setting).is_some_and(|own| own.key == section.key);
        self.schema.settings.iter().filter(is_own).collect()
    }
}

/// The default of a setting, as a value.
pub(crate) fn default_of(setting: &Setting) -> Option<Value> {
    let text = setting.default?;
    Some(setting.kind.read(text, &SecretSource::Unnamed).expect("a test reads all defaults of the table"))
}

/// Reads the settings of one member, or those of no member.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'v> {
    values: &'v Values,
    section: &'static str,
    member: Option<&'v str>,
}

impl<'v> Scope<'v> {
    /// Returns the name of the member.
    #[must_use]
    pub fn member(&self) -> Option<&'v str> {
        self.member
    }

    /// Returns the whole key of a setting in this scope.
    ///
    /// # Panics
    ///
    /// The table has no such setting.
    #[must_use]
    pub fn key(&self, key: &str) -> Key {
        let whole = if self.member.is_some() { format!("{}.*.{key}", self.section) } else { key.to_owned() };
        let schema = self.values.schema;
        let setting = schema.setting(&whole).unwrap_or_else(|| panic!("the table of settings has no {whole}"));
        Key::new(schema, setting, self.member)
    }

    /// Returns a value that was set, or the default.
    ///
    /// # Panics
    ///
    /// The table has no such setting, or its values are of another type.
    #[must_use]
    pub fn find<T: FromValue>(&self, key: &str) -> Option<T> {
        let key = self.key(key);
        let value = self.values.value(&key)?;
        Some(T::from_value(&value).unwrap_or_else(|| panic!("{key} is read as another type than it has")))
    }

    /// Returns the value of a setting that always has one, since it has a default.
    ///
    /// # Panics
    ///
    /// The table has no such setting, its values are of another type, or there is no default.
    #[must_use]
    pub fn read<T: FromValue>(&self, key: &str) -> T {
        self.find(key).unwrap_or_else(|| panic!("{} has no default", self.key(key)))
    }

    /// Returns what was set, without the default.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<&'v Entry> {
        self.values.entries.get(&self.key(key))
    }

    /// Returns where a value was set; nothing for a default.
    #[must_use]
    pub fn place(&self, key: &str) -> Option<&'v Place> {
        self.entry(key).map(|entry| &entry.place)
    }

    /// Returns whether a value was given that could not be read, so that nothing should be concluded from it.
    #[must_use]
    pub fn is_broken(&self, key: &str) -> bool {
        self.values.broken.contains(&self.key(key))
    }

    /// Names a setting as its user did: by its flag, its variable, or its key. A default is named as a flag where `place`,
    /// which is that of another setting, is one.
    #[must_use]
    pub fn spelled(&self, key: &str, place: Option<&Place>) -> String {
        let key = self.key(key);
        match (self.values.entries.get(&key).map(|entry| &entry.place).or(place), key.setting.flag) {
            (Some(Place::Flag(_)), Some(flag)) => format!("--{}", flag.name),
            (Some(Place::Variable(_)), Some(flag)) if !self.values.entries.contains_key(&key) => {
                format!("--{}", flag.name)
            }
            (Some(Place::Variable(name)), _) if self.values.entries.contains_key(&key) => name.clone(),
            _ => key.to_string(),
        }
    }
}
