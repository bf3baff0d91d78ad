//! The flags of the table, for the command line.

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use gannet_config::{Flag, Kind, Loader, SecretSource, Section, Setting};

use super::table::SCHEMA;

/// The flags of the table that were given, with their values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flags {
    sections: Vec<(&'static Section, Given)>,
    settings: Vec<(&'static Setting, Given)>,
}

/// The values of a flag in their order. They are not shown, since one may be a secret.
#[derive(Clone, Default)]
struct Given(Vec<String>);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "({} values)", self.0.len())
    }
}

impl Flags {
    /// Puts them on top of the layers below.
    pub(super) fn apply(&self, loader: &mut Loader) {
        self.sections.iter().for_each(|(section, texts)| loader.section_flag(section, &texts.0));
        self.settings.iter().for_each(|(setting, texts)| loader.flag(setting, &texts.0));
    }

    /// The value of a setting, where its flag was given.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        let given = self.settings.iter().find(|(setting, _)| setting.key == key)?;
        given.1.0.last().map(String::as_str)
    }
}

/// Whether an argument of a command is one of the table.
pub(crate) fn is_of_table(argument: &Arg) -> bool {
    let id = argument.get_id().as_str();
    SCHEMA.setting(id).is_some() || SCHEMA.section(id).is_some()
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let (sections, settings) = (SCHEMA.sections.iter(), SCHEMA.settings.iter());
        // The order of the help is that of the headings; within a heading, settings come in the order of the table.
        let sections = sections.filter_map(of_section);
        let settings = settings.filter_map(of_setting);
        let mut all: Vec<Arg> = sections.chain(settings).collect();
        all.sort_by_key(|argument| HEADINGS.iter().position(|one| argument.get_help_heading().unwrap_or("") == *one));
        command.args(all).next_help_heading(None)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The headings of the help, in their order.
const HEADINGS: [&str; 9] = ["", "Limits", "Time", "Redis", "HTTP", "Push", "TLS", "Admin", "Logs"];

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        for section in SCHEMA.sections {
            flags.sections.extend(given(matches, section.key).map(|texts| (section, texts)));
        }
        for setting in SCHEMA.settings {
            flags.settings.extend(given(matches, setting.key).map(|texts| (setting, texts)));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The values of an argument that the command line has; defaults are below the other layers.
fn given(matches: &ArgMatches, id: &str) -> Option<Given> {
    let source = matches.try_contains_id(id).is_ok().then(|| matches.value_source(id)).flatten();
    if source != Some(ValueSource::CommandLine) {
        return None;
    }
    if let Ok(Some(on)) = matches.try_get_one::<bool>(id) {
        return on.then(|| Given(vec!["true".to_owned()]));
    }
    let texts = matches.get_many::<String>(id)?;
    Some(Given(texts.cloned().collect()))
}

fn argument(key: &'static str, flag: Flag) -> Arg {
    let argument = Arg::new(key).long(flag.name);
    if flag.heading.is_empty() { argument } else { argument.help_heading(flag.heading) }
}

fn of_section(section: &'static Section) -> Option<Arg> {
    let (flag, expand) = section.flag?;
    let (help, more) = section.help;
    let read = move |text: &str| expand(text).map(|_| text.to_owned());
    let argument = argument(section.key, flag).value_name(flag.value).action(ArgAction::Append);
    Some(argument.value_parser(read).help(help).long_help(format!("{help}\n\n{more}")))
}

fn of_setting(setting: &'static Setting) -> Option<Arg> {
    let flag = setting.flag?;
    let kind = &setting.kind;
    let mut argument = argument(setting.key, flag);
    argument = if flag.value.is_empty() {
        argument.action(ArgAction::SetTrue)
    } else {
        let many = matches!(kind, Kind::List(..) | Kind::Secrets);
        let action = if many { ArgAction::Append } else { ArgAction::Set };
        argument.value_name(flag.value).action(action).value_parser(parser(setting))
    };
    let mut help = setting.doc.to_owned();
    match setting.default {
        // A switch is off, which goes without saying.
        Some(default) if !flag.value.is_empty() => argument = argument.default_value(default),
        None if !flag.value.is_empty() && needs_default(setting.otherwise) => {
            help += &format!(" [default: {}]", setting.otherwise);
        }
        _ => {}
    }
    if kind.is_secret() {
        help += &format!(" [env: {}]", crate::failure::variable(flag.name));
    }
    if !setting.more.is_empty() {
        argument = argument.long_help(format!("{help}\n\n{}", setting.more));
    }
    Some(argument.help(help))
}

/// Whether the help has to say what happens without the flag: that there is none is clear.
fn needs_default(otherwise: &str) -> bool {
    !["", "none", "off", "clients are not asked"].contains(&otherwise)
}

/// Checks a value of the command line, so that an error is one of the command line.
fn parser(setting: &'static Setting) -> ValueParser {
    let kind = &setting.kind;
    match kind {
        Kind::Choice(choices) => {
            let values = choices.iter().map(|choice| {
                let value = PossibleValue::new(choice.name);
                if choice.doc.is_empty() { value } else { value.help(choice.doc) }
            });
            PossibleValuesParser::new(values).into()
        }
        Kind::Switch => PossibleValuesParser::new(["yes", "no"]).into(),
        // What is wrong with a secret is said when all layers are known, and without the secret.
        _ if kind.is_secret() && !matches!(kind, Kind::Sensitive(..)) => ValueParser::string(),
        _ => {
            ValueParser::new(move |text: &str| setting.kind.read(text, &SecretSource::Unnamed).map(|_| text.to_owned()))
        }
    }
}
