//! Namespaces as they are written on the command line: `NAME:presence,history_size=100,history_ttl=5m,…`.

#[cfg(test)]
mod tests;

use std::time::Duration;

use gannet_channels::{ChannelPattern, Namespace, Options, RecoveryMode, SlowPolicy};

/// The longest time of a namespace: ten years.
const LONGEST: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// The largest history of a channel.
const LARGEST_HISTORY: usize = 1 << 20;

/// Says what is wrong with a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NamespaceError {
    /// The text has no colon.
    #[error(
        "'{0}' is not a namespace; write NAME:OPTION,OPTION,… with a colon, and nothing before it for channels without a namespace"
    )]
    Colon(String),
    /// The name is none.
    #[error("'{0}' is not the name of a namespace: two or more of a to z, A to Z, 0 to 9, - and _")]
    Name(String),
    /// A word is not an option.
    #[error("namespace '{namespace}': there is no option '{word}'{}; there are {}", suggestion(.word), help())]
    Word {
        /// The namespace.
        namespace: String,
        /// The word.
        word: String,
    },
    /// An option is there twice.
    #[error("namespace '{namespace}': {word} is given twice")]
    Twice {
        /// The namespace.
        namespace: String,
        /// The option.
        word: &'static str,
    },
    /// The value of an option is none.
    #[error("namespace '{namespace}': {word} {problem}")]
    Value {
        /// The namespace.
        namespace: String,
        /// The option.
        word: &'static str,
        /// What is wrong, and how it is written.
        problem: String,
    },
    /// An option needs others that are not there.
    #[error("namespace '{namespace}': {word} {needs}")]
    Needs {
        /// The namespace.
        namespace: String,
        /// The option.
        word: &'static str,
        /// What it needs, and why.
        needs: &'static str,
    },
}

/// An option: its name, how its value is written, and what it sets.
struct Word {
    name: &'static str,
    form: Form,
}

enum Form {
    /// On where it is named; `=true` and `=false` say it, too.
    Flag(fn(&mut Options) -> &mut bool),
    /// A number from 1.
    Count(usize, fn(&mut Options) -> &mut usize),
    /// A time with a unit.
    Time(fn(&mut Options, Duration)),
    /// One of some names.
    Choice(&'static [&'static str], fn(&mut Options, usize)),
    /// A regular expression, which takes the rest of the text.
    Pattern,
}

const fn flag(name: &'static str, place: fn(&mut Options) -> &mut bool) -> Word {
    Word { name, form: Form::Flag(place) }
}

/// All options, in the order in which they are listed.
const WORDS: &[Word] = &[
    flag("presence", |options| &mut options.presence),
    flag("join_leave", |options| &mut options.join_leave),
    flag("force_push_join_leave", |options| &mut options.force_push_join_leave),
    Word { name: "history_size", form: Form::Count(LARGEST_HISTORY, |options| &mut options.history_size) },
    Word { name: "history_ttl", form: Form::Time(|options, time| options.history_ttl = time) },
    Word { name: "history_meta_ttl", form: Form::Time(|options, time| options.history_meta_ttl = time) },
    flag("force_positioning", |options| &mut options.force_positioning),
    flag("allow_positioning", |options| &mut options.allow_positioning),
    flag("force_recovery", |options| &mut options.force_recovery),
    flag("allow_recovery", |options| &mut options.allow_recovery),
    Word {
        name: "force_recovery_mode",
        form: Form::Choice(&["stream", "cache"], |options, which| {
            options.recovery_mode = [RecoveryMode::Stream, RecoveryMode::Cache][which];
        }),
    },
    Word {
        name: "slow",
        form: Form::Choice(&["close", "drop", "latest_only"], |options, which| {
            options.slow = [SlowPolicy::Close, SlowPolicy::Drop, SlowPolicy::LatestOnly][which];
        }),
    },
    Word { name: "coalesce", form: Form::Time(|options, time| options.coalesce = Some(time)) },
    flag("allow_subscribe_for_client", |options| &mut options.allow_subscribe_for_client),
    flag("allow_subscribe_for_anonymous", |options| &mut options.allow_subscribe_for_anonymous),
    flag("allow_publish_for_client", |options| &mut options.allow_publish_for_client),
    flag("allow_publish_for_subscriber", |options| &mut options.allow_publish_for_subscriber),
    flag("allow_publish_for_anonymous", |options| &mut options.allow_publish_for_anonymous),
    flag("allow_history_for_client", |options| &mut options.allow_history_for_client),
    flag("allow_history_for_subscriber", |options| &mut options.allow_history_for_subscriber),
    flag("allow_history_for_anonymous", |options| &mut options.allow_history_for_anonymous),
    flag("allow_presence_for_client", |options| &mut options.allow_presence_for_client),
    flag("allow_presence_for_subscriber", |options| &mut options.allow_presence_for_subscriber),
    flag("allow_presence_for_anonymous", |options| &mut options.allow_presence_for_anonymous),
    flag("allow_user_limited_channels", |options| &mut options.allow_user_limited_channels),
    flag("subscribe_proxy_enabled", |options| &mut options.subscribe_proxy),
    flag("publish_proxy_enabled", |options| &mut options.publish_proxy),
    flag("sub_refresh_proxy_enabled", |options| &mut options.sub_refresh_proxy),
    flag("redis", |options| &mut options.redis),
    Word { name: "channel_regex", form: Form::Pattern },
];

/// Reads a namespace as it is written on the command line.
///
/// Options are separated by commas. A flag is on where it is named; others have a value behind `=`. The name is empty for
/// channels without a namespace. `channel_regex=` comes last, since its value may have commas.
///
/// ```
/// let chat = gannet_gateway::settings::namespace::parse("chat:presence,history_size=100,history_ttl=5m,force_recovery");
/// assert!(chat.is_ok_and(|chat| chat.options.presence && chat.options.history_size == 100));
/// ```
///
/// # Errors
///
/// A word or a value is none, comes twice, or needs others; the error names it and says what there is.
pub fn parse(text: &str) -> Result<Namespace, NamespaceError> {
    let (name, mut rest) = text.split_once(':').ok_or_else(|| NamespaceError::Colon(text.to_owned()))?;
    let mut options = Options::default();
    let mut seen = Vec::new();
    while !rest.is_empty() {
        let is_pattern = rest.starts_with("channel_regex=");
        let (item, more) = if is_pattern { (rest, "") } else { rest.split_once(',').unwrap_or((rest, "")) };
        rest = more;
        let (word, value) = match item.split_once('=') {
            Some((word, value)) => (word.trim(), Some(value.trim())),
            None => (item.trim(), None),
        };
        let found = WORDS.iter().find(|known| known.name == word);
        let found = found.ok_or_else(|| NamespaceError::Word { namespace: name.to_owned(), word: word.to_owned() })?;
        if seen.contains(&found.name) {
            return Err(NamespaceError::Twice { namespace: name.to_owned(), word: found.name });
        }
        seen.push(found.name);
        set(&mut options, &found.form, value).map_err(|problem| NamespaceError::Value {
            namespace: name.to_owned(),
            word: found.name,
            problem,
        })?;
    }
    check(name, &options)?;
    Ok(Namespace::new(name, options))
}

/// Lists the options with the form of their values, for a help text.
#[must_use]
pub fn help() -> String {
    let mut text = String::new();
    for word in WORDS {
        if !text.is_empty() {
            text += ", ";
        }
        text += word.name;
        match word.form {
            Form::Flag(_) => {}
            Form::Count(..) => text += "=N",
            Form::Time(_) => text += "=TIME",
            Form::Choice(names, _) => {
                text.push('=');
                text += &names.join("|");
            }
            Form::Pattern => text += "=REGEX",
        }
    }
    text
}

fn set(options: &mut Options, form: &Form, value: Option<&str>) -> Result<(), String> {
    let needed = |example: &str| value.ok_or_else(|| format!("needs a value, as {example}"));
    match form {
        Form::Flag(place) => match value {
            None | Some("true") => *place(options) = true,
            Some("false") => *place(options) = false,
            Some(other) => return Err(format!("is on where it is named, and cannot be '{other}'")),
        },
        Form::Count(most, place) => {
            let text = needed("=100")?;
            let number = text.parse::<usize>().ok().filter(|number| (1..=*most).contains(number));
            *place(options) = number.ok_or_else(|| format!("is a number from 1 to {most}, not '{text}'"))?;
        }
        Form::Time(place) => place(options, time(needed("=5m")?)?),
        Form::Choice(names, place) => {
            let text = needed(&format!("={}", names[0]))?;
            let which = names.iter().position(|name| *name == text);
            place(options, which.ok_or_else(|| format!("is {}, not '{text}'", names.join(" or ")))?);
        }
        Form::Pattern => {
            let text = needed("=^[a-z]+$")?;
            let pattern = ChannelPattern::new(text);
            options.channel_pattern = Some(pattern.map_err(|error| {
                let error = error.to_string().replace('\n', " ");
                format!("is not a regular expression: {error}")
            })?);
        }
    }
    Ok(())
}

/// Reads a time such as `500ms`, `30s`, `5m`, `720h` or `30d`.
fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is a time as 500ms, 30s, 5m, 720h or 30d, not '{text}'");
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let milliseconds: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(milliseconds).map(Duration::from_millis) {
        Some(time) if time.is_zero() => Err("has to be longer than no time; leave it out instead".to_owned()),
        Some(time) if time <= LONGEST => Ok(time),
        _ => Err("is at most 3660d".to_owned()),
    }
}

/// Checks the name of a namespace, and that its options go together.
///
/// # Errors
///
/// The name is none, or an option needs another one.
pub(crate) fn check(name: &str, options: &Options) -> Result<(), NamespaceError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && (name.len() < 2 || !name.bytes().all(is_letter)) {
        return Err(NamespaceError::Name(name.to_owned()));
    }
    let has_size = options.history_size > 0;
    let has_time = !options.history_ttl.is_zero();
    let has_history = has_size && has_time;
    let history = "needs a history: add history_size=100,history_ttl=5m";
    let presence = "needs presence: add presence";
    let reads_history =
        options.allow_history_for_client || options.allow_history_for_subscriber || options.allow_history_for_anonymous;
    let reads_presence = options.allow_presence_for_client
        || options.allow_presence_for_subscriber
        || options.allow_presence_for_anonymous;
    let rules: &[(bool, &'static str, &'static str)] = &[
        (has_size && !has_time, "history_size", "needs history_ttl as well: without a time nothing is kept"),
        (has_time && !has_size, "history_ttl", "needs history_size as well: without a size nothing is kept"),
        (options.force_recovery && !has_history, "force_recovery", history),
        (options.allow_recovery && !has_history, "allow_recovery", history),
        (options.force_positioning && !has_history, "force_positioning", history),
        (options.allow_positioning && !has_history, "allow_positioning", history),
        (
            options.recovery_mode == RecoveryMode::Cache && !options.force_recovery && !options.allow_recovery,
            "force_recovery_mode",
            "needs force_recovery or allow_recovery",
        ),
        (
            has_history && options.history_meta_ttl < options.history_ttl,
            "history_meta_ttl",
            "has to be at least history_ttl: a history without its position cannot be recovered from",
        ),
        (
            options.force_push_join_leave && !options.join_leave,
            "force_push_join_leave",
            "needs join_leave: without it there is nothing to push",
        ),
        (reads_history && !has_history, "allow_history_for_…", history),
        (reads_presence && !options.presence, "allow_presence_for_…", presence),
        (
            options.allow_subscribe_for_anonymous && !options.allow_subscribe_for_client,
            "allow_subscribe_for_anonymous",
            "extends allow_subscribe_for_client to anonymous clients: add that",
        ),
        (
            options.allow_publish_for_anonymous
                && !options.allow_publish_for_client
                && !options.allow_publish_for_subscriber,
            "allow_publish_for_anonymous",
            "extends allow_publish_for_client and allow_publish_for_subscriber: add one of them",
        ),
        (
            options.allow_history_for_anonymous
                && !options.allow_history_for_client
                && !options.allow_history_for_subscriber,
            "allow_history_for_anonymous",
            "extends allow_history_for_client and allow_history_for_subscriber: add one of them",
        ),
        (
            options.allow_presence_for_anonymous
                && !options.allow_presence_for_client
                && !options.allow_presence_for_subscriber,
            "allow_presence_for_anonymous",
            "extends allow_presence_for_client and allow_presence_for_subscriber: add one of them",
        ),
    ];
    match rules.iter().find(|(broken, _, _)| *broken) {
        Some((_, word, needs)) => Err(NamespaceError::Needs { namespace: name.to_owned(), word, needs }),
        None => Ok(()),
    }
}

/// Names the option that was probably meant: the one that differs least, if it differs by few letters.
fn suggestion(word: &str) -> String {
    let nearest = WORDS.iter().map(|known| (distance(word, known.name), known.name)).min();
    match nearest {
        Some((letters, name)) if letters <= 2 && letters < word.len() => format!(" (did you mean {name}?)"),
        _ => String::new(),
    }
}

/// Letters to add, to remove or to change, to make one word of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (place, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(row[place] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}
