//! The layer of a file in TOML.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::kind::Kind;
use crate::loader::{Loader, twice};
use crate::nearest::nearest;
use crate::place::Place;
use crate::problem::Problem;
use crate::setting::{Form, Section, Setting};
use crate::source::Source;
use crate::value::{Secret, SecretSource, Value};

/// Most errors of syntax that are reported: one early in a file may make many.
const MOST_ERRORS: usize = 20;

/// A table within the file: the keys that its settings begin with, and the member that they are of.
#[derive(Clone, Copy)]
struct At<'a> {
    /// Such as `limits.` or `listener.*.`; empty at the top.
    prefix: &'a str,
    member: Option<&'a str>,
}

struct Reader<'l> {
    loader: &'l mut Loader,
    source: Arc<Source>,
    /// Lines with an error of syntax, of which nothing else is said.
    unreadable: BTreeSet<usize>,
}

pub(crate) fn read(loader: &mut Loader, source: &Arc<Source>, text: &str) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { loader, source: source.clone(), unreadable: BTreeSet::new() };
    for error in errors.iter().take(MOST_ERRORS) {
        let span = error.span().unwrap_or(0..0);
        let span = clamped(&span, text);
        reader.unreadable.insert(source.line(span.start));
        let message = error.message().replace('\n', "; ");
        reader.loader.problems.push(Problem::at(&reader.place(span), message));
    }
    reader.table(table.get_ref(), At { prefix: "", member: None });
}

/// A span within the text, at the borders of letters.
fn clamped(span: &Range<usize>, text: &str) -> Range<usize> {
    let border = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = border(span.start);
    start..border(span.end).max(start)
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::File(self.source.clone(), span)
    }

    fn problem(&mut self, span: Range<usize>, message: impl Into<String>) {
        if !self.unreadable.contains(&self.source.line(span.start)) {
            let problem = Problem::at(&self.place(span), message);
            self.loader.problems.push(problem);
        }
    }

    fn table(&mut self, table: &DeTable<'_>, at: At<'_>) {
        let schema = self.loader.values.schema;
        for (key, value) in table {
            if self.loader.problems.is_full() {
                return;
            }
            let name: &str = key.get_ref();
            let whole = format!("{}{name}", at.prefix);
            if at.member.is_some() && name == "name" && self.is_array(at.prefix) {
                continue;
            }
            if let Some(setting) = schema.setting(&whole) {
                self.setting(setting, at.member, value);
            } else if let Some(section) = schema.section(&whole) {
                self.section(section, key.span(), value);
            } else if schema.settings.iter().any(|setting| setting.key.starts_with(&format!("{whole}."))) {
                match value.get_ref() {
                    DeValue::Table(inner) => self.table(inner, At { prefix: &format!("{whole}."), member: at.member }),
                    other => self.problem(value.span(), format!("{whole} is a table, and not {}", found(other))),
                }
            } else {
                self.unknown(key.span(), name, at.prefix);
            }
        }
    }

    /// Whether this is the prefix of a section that is an array.
    fn is_array(&self, prefix: &str) -> bool {
        let schema = self.loader.values.schema;
        schema.sections.iter().any(|section| matches!(section.form, Form::Array(_)) && section.prefix() == prefix)
    }

    fn unknown(&mut self, span: Range<usize>, name: &str, prefix: &str) {
        let schema = self.loader.values.schema;
        let mut known = schema.names_below(prefix);
        if self.is_array(prefix) {
            known.push("name");
        }
        let place = match prefix.trim_end_matches('.') {
            "" => "at the top".to_owned(),
            section => format!("in {}", section.replace(".*", "")),
        };
        // One of the whole server rather than one that each member of a section has.
        let elsewhere = schema.settings.iter().filter(|setting| setting.name() == name);
        let elsewhere = elsewhere.min_by_key(|setting| setting.key.contains('*'));
        let meant = match (nearest(name, known), elsewhere) {
            (Some(meant), _) => format!("; did you mean '{meant}'?"),
            (None, Some(setting)) if setting.key.contains('*') || prefix.is_empty() => {
                format!("; there is {}", setting.key.replace(".*", ".NAME"))
            }
            (None, Some(setting)) => format!("; there is {} at the top", setting.key),
            (None, None) => String::new(),
        };
        self.problem(span, format!("there is no key '{name}' {place}{meant}"));
    }

    fn section(&mut self, section: &'static Section, key: Range<usize>, value: &Spanned<DeValue<'_>>) {
        let schema = self.loader.values.schema;
        match (section.form, value.get_ref()) {
            (Form::Table, DeValue::Table(table)) => {
                self.table(table, At { prefix: &section.prefix(), member: None });
            }
            (Form::Named, DeValue::Table(members)) => {
                for (name, member) in members {
                    let DeValue::Table(table) = member.get_ref() else {
                        let name: &str = name.get_ref();
                        let what = found(member.get_ref());
                        // Whoever forgot the name has written what a member holds.
                        let hint = match schema.setting(&format!("{}{name}", section.prefix())) {
                            Some(_) => format!("; a name is missing: write '{name}' below [{}.NAME]", section.key),
                            None => String::new(),
                        };
                        let said = format!("[{}.{name}] is a table, and not {what}{hint}", section.key);
                        self.problem(member.span(), said);
                        continue;
                    };
                    let place = self.place(name.span());
                    let name: &str = name.get_ref();
                    self.loader.add_member(section, name.to_owned(), &place);
                    self.table(table, At { prefix: &section.prefix(), member: Some(name) });
                }
            }
            (Form::Array(or), DeValue::Array(members)) => {
                for member in members.iter() {
                    match member.get_ref() {
                        DeValue::Table(table) => self.member(section, or, member.span(), table),
                        other => {
                            let what = found(other);
                            self.problem(member.span(), format!("[[{}]] is a table, and not {what}", section.key));
                        }
                    }
                }
            }
            (form, other) => {
                self.loader.tried.insert(section.key);
                let header = match form {
                    Form::Table => format!("[{}]", section.key),
                    Form::Named => format!("[{}.NAME]", section.key),
                    Form::Array(_) => format!("[[{}]]", section.key),
                };
                let span = if matches!(other, DeValue::Table(_) | DeValue::Array(_)) { key } else { value.span() };
                self.problem(span, format!("{} is written {header}, and not as {}", section.key, found(other)));
            }
        }
    }

    /// A member of an array, which has its name in it.
    fn member(&mut self, section: &'static Section, or: &str, span: Range<usize>, table: &DeTable<'_>) {
        self.loader.tried.insert(section.key);
        let text_of = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name);
        let named = text_of("name");
        let (name, name_span, is_own) = match named.or_else(|| text_of(or)) {
            Some((key, value)) => match value.get_ref() {
                DeValue::String(text) if !text.is_empty() => (text.to_string(), value.span(), named.is_some()),
                other if named.is_some() => {
                    let what = if matches!(other, DeValue::String(_)) { "empty" } else { found(other) };
                    let message =
                        format!("the name of [[{}]] is a text, such as \"public\", and not {what}", section.key);
                    self.problem(value.span(), message);
                    return;
                }
                _ => (String::new(), key.span(), false),
            },
            None => (String::new(), span, false),
        };
        let Some(free) = self.loader.free_name(section, name.clone(), is_own) else {
            let first = self.loader.values.members(section.key).iter().find(|(known, _)| *known == name);
            let first = first.map(|(_, place)| place.clone());
            let problem = Problem::at(&self.place(name_span), format!("'{name}': {}", twice(section)));
            self.loader.problems.push(problem.and("the first one is here", first.as_ref()));
            return;
        };
        let place = self.place(name_span);
        self.loader.add_member(section, free.clone(), &place);
        self.table(table, At { prefix: &section.prefix(), member: Some(&free) });
    }

    fn setting(&mut self, setting: &'static Setting, member: Option<&str>, value: &Spanned<DeValue<'_>>) {
        match self.value(setting, member, value) {
            Some(read) => {
                let place = self.place(value.span());
                self.loader.set(setting, member, read, &place);
            }
            None => self.loader.broken(setting, member),
        }
    }

    /// The value of a setting; nothing where it is wrong, which is reported.
    fn value(
        &mut self,
        setting: &'static Setting,
        member: Option<&str>,
        value: &Spanned<DeValue<'_>>,
    ) -> Option<Value> {
        let key = crate::values::Key::new(self.loader.values.schema, setting, member);
        let kind = &setting.kind;
        let result = match (kind, value.get_ref()) {
            (Kind::Switch, DeValue::Boolean(on)) => Ok(Value::Switch(*on)),
            (Kind::Secret | Kind::Secrets | Kind::Sensitive(..), DeValue::Table(table)) => {
                return self.secret(&key.to_string(), kind, table, value.span());
            }
            (Kind::Secrets, DeValue::Array(items)) => {
                let mut all = Some(Vec::new());
                for item in items.iter() {
                    let secrets = match item.get_ref() {
                        DeValue::Table(table) => self.secret(&key.to_string(), kind, table, item.span()),
                        _ => {
                            self.problem(item.span(), format!("{key}: {IN_FILE}"));
                            None
                        }
                    };
                    all = match (all, secrets) {
                        (Some(mut all), Some(Value::Secrets(secrets))) => {
                            all.extend(secrets);
                            Some(all)
                        }
                        _ => None,
                    };
                }
                return all.filter(|all| !all.is_empty()).map(Value::Secrets);
            }
            (Kind::Secret | Kind::Secrets, DeValue::String(_)) => Err(IN_FILE.to_owned()),
            (Kind::Sensitive(.., has_secret), DeValue::String(text)) if has_secret(text) => Err(IN_TEXT.to_owned()),
            (Kind::List(item, _), DeValue::Array(items)) => return self.list(&key.to_string(), item, items),
            (Kind::Path, DeValue::String(text)) => {
                kind.read(text, &SecretSource::Unnamed).map(|_| Value::Text(self.beside(text)))
            }
            (Kind::Switch | Kind::Number(..) | Kind::List(..), DeValue::String(_)) => Err(not(kind, value.get_ref())),
            (_, DeValue::String(text)) => kind.read(text, &SecretSource::Unnamed),
            (_, DeValue::Integer(number)) => {
                let digits = number.as_str().replace('_', "");
                match u64::from_str_radix(&digits, number.radix()).ok().map(|number| kind.read_number(number)) {
                    Some(Some(read)) => read,
                    Some(None) => Err(not(kind, value.get_ref())),
                    None => Err(format!("not a {}", kind.describe())),
                }
            }
            (_, other) => Err(not(kind, other)),
        };
        result.map_err(|why| self.problem(value.span(), format!("{key}: {why}"))).ok()
    }

    fn list(&mut self, key: &str, item: &Kind, items: &toml::de::DeArray<'_>) -> Option<Value> {
        let (mut all, mut is_fine) = (Vec::new(), true);
        for one in items.iter() {
            let read = match one.get_ref() {
                DeValue::String(text) => match item.read(text, &SecretSource::Unnamed) {
                    Ok(Value::Text(_)) if matches!(item, Kind::Path) => Ok(self.beside(text)),
                    Ok(_) => Ok(text.to_string()),
                    Err(why) => Err(why),
                },
                other => Err(not(item, other)),
            };
            match read {
                Ok(text) => all.push(text),
                Err(why) => {
                    is_fine = false;
                    self.problem(one.span(), format!("{key}: {why}"));
                }
            }
        }
        is_fine.then_some(Value::List(all))
    }

    /// A path as it is meant in a file: from the file's folder.
    fn beside(&self, path: &str) -> String {
        let folder = self.source.path().parent().filter(|folder| !folder.as_os_str().is_empty());
        match folder {
            Some(folder) if Path::new(path).is_relative() => folder.join(path).to_string_lossy().into_owned(),
            _ => path.to_owned(),
        }
    }

    /// Reads a secret from where the table says: `{ file = … }` or `{ env = … }`.
    fn secret(&mut self, key: &str, kind: &Kind, table: &DeTable<'_>, span: Range<usize>) -> Option<Value> {
        let mut is_fine = true;
        for (name, _) in table.iter() {
            let known: &str = name.get_ref();
            if !["file", "env"].contains(&known) {
                let meant = nearest(known, ["file", "env"]).unwrap_or("file");
                self.problem(name.span(), format!("{key}: a secret has no '{known}'; did you mean '{meant}'?"));
                is_fine = false;
            }
        }
        let mut given = table.iter().filter(|(name, _)| ["file", "env"].contains(&&**name.get_ref()));
        let (Some((name, value)), None, true) = (given.next(), given.next(), is_fine) else {
            if is_fine {
                let message =
                    format!("{key}: a secret is read from one place, {{ file = \"…\" }} or {{ env = \"…\" }}");
                self.problem(span, message);
            }
            return None;
        };
        let DeValue::String(text) = value.get_ref() else {
            let message = format!("{key}: it is the name of a file or a variable, and not {}", found(value.get_ref()));
            self.problem(value.span(), message);
            return None;
        };
        let read = if name.get_ref() == "file" {
            let path = self.beside(text);
            let read = (self.loader.read_file)(Path::new(&path));
            let read = read.map_err(|error| format!("the file {path} cannot be read: {error}"));
            read.map(|content| (SecretSource::File(path.clone().into()), content, format!("the file {path}")))
        } else {
            let read =
                (self.loader.read_variable)(text).ok_or_else(|| format!("the environment has no variable {text}"));
            read.map(|content| (SecretSource::Variable(text.to_string()), content, format!("the variable {text}")))
        };
        let read = read.and_then(|(from, content, what)| match kind.read(&content, &from) {
            // Where it was read from is kept even if nothing in it has to be hidden.
            Ok(Value::Text(text)) => Ok(Value::Secrets(vec![Secret::new(text, from)])),
            Ok(value) => Ok(value),
            Err(why) => Err(format!("{what}: {why}")),
        });
        read.map_err(|why| self.problem(span, format!("{key}: {why}"))).ok()
    }
}

const IN_FILE: &str =
    "a secret is not written here, where others may read it: name its place, { file = \"…\" } or { env = \"…\" }";

const IN_TEXT: &str =
    "it has a password or a query, which may be secret: name its place, { file = \"…\" } or { env = \"…\" }";

fn not(kind: &Kind, value: &DeValue<'_>) -> String {
    format!("it is a {}, such as {}, and not {}", kind.describe(), kind.example(), found(value))
}

/// What a value is, in a sentence.
fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
