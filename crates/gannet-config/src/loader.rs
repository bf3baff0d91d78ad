//! Puts the layers on each other: the file, the environment, the flags.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use crate::kind::Kind;
use crate::place::Place;
use crate::problem::{Problem, Problems};
use crate::setting::{DEFAULT_MEMBER, Form, Member, Schema, Section, Setting};
use crate::source::Source;
use crate::value::{SecretSource, Value};
use crate::values::{Entry, Key, Values};

/// The largest file of a secret, in bytes.
const LARGEST_SECRET: u64 = 64 << 10;

type ReadFile = Box<dyn Fn(&Path) -> io::Result<String>>;
type ReadVariable = Box<dyn Fn(&str) -> Option<String>>;

/// Reads settings layer by layer; what comes later counts more.
pub struct Loader {
    pub(crate) values: Values,
    pub(crate) problems: Problems,
    pub(crate) read_file: ReadFile,
    pub(crate) read_variable: ReadVariable,
    /// Variables that are not of the table, and no mistake.
    pub(crate) known: Vec<String>,
    /// Sections of which a layer has members that could not be read.
    pub(crate) tried: BTreeSet<&'static str>,
    /// The names of members, and the last number that was put behind one to tell it from others.
    names: BTreeMap<(&'static str, String), u32>,
}

impl Loader {
    /// Begins with the defaults.
    #[must_use]
    pub fn new(schema: &'static Schema) -> Self {
        Self {
            values: Values::new(schema),
            problems: Problems::default(),
            read_file: Box::new(read_file),
            read_variable: Box::new(|name| std::env::var(name).ok()),
            known: Vec::new(),
            tried: BTreeSet::new(),
            names: BTreeMap::new(),
        }
    }

    /// Replaces how the files and variables of secrets are read, for tests.
    #[must_use]
    pub fn secrets(
        mut self,
        file: impl Fn(&Path) -> io::Result<String> + 'static,
        variable: impl Fn(&str) -> Option<String> + 'static,
    ) -> Self {
        self.read_file = Box::new(file);
        self.read_variable = Box::new(variable);
        self
    }

    /// Names variables of the environment that are not of the table, and no mistake.
    pub fn also_known(&mut self, names: &[String]) {
        self.known.extend_from_slice(names);
    }

    /// Adds the layer of a file in TOML.
    pub fn file(&mut self, path: impl AsRef<Path>, text: &str) {
        let schema = self.values.schema;
        let secret = schema.settings.iter().filter(|setting| setting.kind.is_secret());
        let secret: Vec<&str> = secret.map(Setting::name).collect();
        let source = Arc::new(Source::new(path.as_ref(), text, &secret));
        crate::file::read(self, &source, text);
    }

    /// Adds the layer of the environment. Variables without the prefix of the schema are ignored.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) {
        crate::environment::read(self, variables);
    }

    /// Adds the values of a flag that sets a setting, in the order in which they were given.
    pub fn flag(&mut self, setting: &'static Setting, texts: &[String]) {
        let Some(flag) = setting.flag else { return };
        let place = Place::Flag(format!("--{}", flag.name));
        let mut all = Vec::new();
        for text in texts {
            if setting.kind.is_secret() && text.trim().is_empty() {
                // A script whose own variable is not set would protect nothing.
                let message = format!("--{} is empty; give one, or leave the option out", flag.name);
                self.broken(setting, None);
                self.problems.push(Problem::at(&place, message));
                return;
            }
            match setting.kind.read(text, &SecretSource::Unnamed) {
                Ok(value) => all.push(value),
                Err(why) => {
                    self.broken(setting, None);
                    self.problems.push(Problem::at(&place, format!("--{}: {why}", flag.name)));
                    return;
                }
            }
        }
        if let Some(value) = joined(all) {
            self.set_by_flag(setting, value, &place);
        }
    }

    /// Adds members by a flag that stands for whole ones. They replace those of the layers below.
    pub fn section_flag(&mut self, section: &'static Section, texts: &[String]) {
        let Some((flag, _)) = section.flag else { return };
        let place = Place::Flag(format!("--{}", flag.name));
        self.expand(section, texts, &place, &format!("--{}: ", flag.name));
    }

    /// Adds the members that a section has where no layer gives any; nothing where one does, or tried to.
    pub fn default_members(&mut self, section: &'static Section, text: &str) {
        let is_given = !self.values.members(section.key).is_empty();
        if !is_given && !self.tried.contains(section.key) {
            self.expand(section, &[text.to_owned()], &Place::Default, "");
        }
    }

    /// Returns all values, and everything that was wrong.
    #[must_use]
    pub fn finish(self) -> (Values, Problems) {
        (self.values, self.problems)
    }

    /// Sets a value by a flag or a variable: for the default member, where the setting is of members.
    pub(crate) fn set_by_flag(&mut self, setting: &'static Setting, value: Value, place: &Place) {
        if !setting.key.contains('*') {
            self.set(setting, None, value, place);
            return;
        }
        let section = self.values.schema.section_of(setting).expect("a setting with members has a section");
        if !self.names.contains_key(&(section.key, DEFAULT_MEMBER.to_owned())) {
            self.add_member(section, DEFAULT_MEMBER.to_owned(), place);
        }
        self.set(setting, Some(DEFAULT_MEMBER), value, place);
    }

    /// Replaces the members of a section by those that the texts stand for.
    pub(crate) fn expand(&mut self, section: &'static Section, texts: &[String], place: &Place, prefix: &str) {
        let Some((_, expand)) = section.flag else { return };
        self.clear(section);
        for text in texts {
            match expand(text) {
                Ok(members) => members.into_iter().for_each(|member| self.add_expanded(section, member, place, prefix)),
                Err(why) => {
                    self.tried.insert(section.key);
                    self.problems.push(Problem::at(place, format!("{prefix}{why}")));
                }
            }
        }
    }

    fn add_expanded(&mut self, section: &'static Section, member: Member, place: &Place, prefix: &str) {
        let name = match section.form {
            Form::Table => None,
            Form::Named => Some((member.name.unwrap_or_default(), true)),
            Form::Array(or) => {
                let other = || member.entries.iter().find(|(key, _)| *key == or).map(|(_, text)| text.clone());
                let is_own = member.name.is_some();
                Some((member.name.clone().or_else(other).unwrap_or_default(), is_own))
            }
        };
        let name = match name {
            None => None,
            Some((name, is_own)) => {
                let Some(name) = self.free_name(section, name, is_own) else {
                    self.problems.push(Problem::at(place, format!("{prefix}{}", twice(section))));
                    return;
                };
                self.add_member(section, name.clone(), place);
                Some(name)
            }
        };
        for (key, text) in member.entries {
            let whole = format!("{}{key}", section.prefix());
            let setting = self.values.schema.setting(&whole).expect("what a flag stands for is in the table");
            let is_there = self.values.entries.contains_key(&Key::new(self.values.schema, setting, name.as_deref()));
            match setting.kind.read(&text, &SecretSource::Unnamed) {
                Ok(_) if is_there => {
                    self.problems.push(Problem::at(place, format!("{prefix}{key} is given twice; give one")));
                }
                Ok(value) => self.set(setting, name.as_deref(), value, place),
                Err(why) => {
                    self.broken(setting, name.as_deref());
                    self.problems.push(Problem::at(place, format!("{prefix}{key}: {why}")));
                }
            }
        }
    }

    /// Forgets what the layers below said of a section.
    fn clear(&mut self, section: &'static Section) {
        self.values.members.remove(section.key);
        self.names.retain(|(key, _), _| *key != section.key);
        let schema = self.values.schema;
        let is_of = |key: &Key| schema.section_of(key.setting()).is_some_and(|other| other.key == section.key);
        self.values.entries.retain(|key, _| !is_of(key));
        self.values.broken.retain(|key| !is_of(key));
    }

    pub(crate) fn add_member(&mut self, section: &'static Section, name: String, place: &Place) {
        self.names.entry((section.key, name.clone())).or_insert(1);
        self.values.members.entry(section.key).or_default().push((name, place.clone()));
    }

    /// The name for a new member: its own if it is free, and one with a number where the name was only derived.
    pub(crate) fn free_name(&mut self, section: &Section, name: String, is_own: bool) -> Option<String> {
        let key = (section.key, name);
        let Some(last) = self.names.get(&key).copied() else { return Some(key.1) };
        if is_own {
            return None;
        }
        let mut numbered = (last + 1..).map(|number| (number, format!("{}#{number}", key.1)));
        let (number, free) = numbered.find(|(_, name)| !self.names.contains_key(&(section.key, name.clone())))?;
        self.names.insert(key, number);
        Some(free)
    }

    pub(crate) fn set(&mut self, setting: &'static Setting, member: Option<&str>, value: Value, place: &Place) {
        let key = Key::new(self.values.schema, setting, member);
        self.values.broken.remove(&key);
        self.values.entries.insert(key, Entry { value, place: place.clone() });
    }

    /// Notes that a value was given that cannot be read.
    pub(crate) fn broken(&mut self, setting: &'static Setting, member: Option<&str>) {
        let member = member.or(setting.key.contains('*').then_some(DEFAULT_MEMBER));
        self.values.broken.insert(Key::new(self.values.schema, setting, member));
    }
}

/// Says that two members have one name.
pub(crate) fn twice(section: &Section) -> String {
    format!("two members of {} have the same name; rename one", section.key)
}

/// One value of those that were given one after the other: lists are joined, and of others the last one counts.
fn joined(values: Vec<Value>) -> Option<Value> {
    values.into_iter().reduce(|all, next| match (all, next) {
        (Value::List(mut all), Value::List(next)) => {
            all.extend(next);
            Value::List(all)
        }
        (Value::Secrets(mut all), Value::Secrets(next)) => {
            all.extend(next);
            Value::Secrets(all)
        }
        (_, next) => next,
    })
}

/// The value of a variable, which refers to itself where it is a secret.
pub(crate) fn from_variable(kind: &Kind, name: &str, text: &str) -> Result<Value, String> {
    kind.read(text, &SecretSource::Variable(name.to_owned()))
}

/// Reads the file of a secret.
fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(LARGEST_SECRET + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_SECRET {
        return Err(io::Error::other("it has more than 64KiB"));
    }
    Ok(text)
}
