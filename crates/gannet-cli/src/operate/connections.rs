//! `gannet connections` and `gannet kick`: who is connected, who was, and who is to go.

use std::time::Duration;

use clap::{Args, ValueEnum};
use gannet::Network;
use serde_json::{Value, json};

use super::print;
use crate::admin::client::{Client, ClientOptions};
use crate::failure::Failure;
use crate::output;
use crate::units::whole;

/// What connections are sorted by.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    /// Most unsent bytes first
    Pending,
    /// Longest silence first
    Idle,
    /// Oldest first
    Age,
}

/// Which connections are meant.
#[derive(Args, Clone, Debug)]
struct Which {
    /// Service, as redis, or listener by its URL
    #[arg(long, value_name = "NAME")]
    service: Option<String>,

    /// Range of addresses, as 10.0.0.0/8, or one address
    #[arg(long, value_name = "RANGE", value_parser = range)]
    cidr: Option<String>,

    /// User, as the service knows it
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// Channel that they are subscribed to
    #[arg(long, value_name = "NAME")]
    channel: Option<String>,
}

impl Which {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let Self { service, cidr, user, channel } = self;
        let all = [("service", service), ("cidr", cidr), ("user", user), ("channel", channel)];
        all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

/// Shows who is connected to a running server, or who was.
///
/// Each reactor looks at 1,024 of its connections in a turn, so clients are served as usual meanwhile. Of the last 10,000
/// connections that have closed, --closed shows the reason, the last one first.
#[derive(Args, Clone, Debug)]
pub(crate) struct ConnectionsOptions {
    #[command(flatten)]
    which: Which,

    /// Which come first
    #[arg(long, value_name = "BY", value_enum, default_value = "pending", conflicts_with = "closed")]
    sort: By,

    /// Connections that have closed, and why
    #[arg(long, conflicts_with_all = ["user", "channel", "after"])]
    closed: bool,

    /// Most that are shown: at most 1000, or 10000 with --closed
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000), default_value_t = 50)]
    limit: u32,

    /// Page after the one that has ended with this cursor
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,

    #[command(flatten)]
    client: ClientOptions,
}

/// Closes connections of a running server.
///
/// Each client is told in its protocol that it is to go: 1008 over WebSocket, 3503 in the push gateway. Names that are given
/// together all have to match.
#[derive(Args, Clone, Debug)]
pub(crate) struct KickOptions {
    /// Connection, as gannet connections shows it
    #[arg(value_name = "HANDLE")]
    handle: Option<String>,

    #[command(flatten)]
    which: Which,

    #[command(flatten)]
    client: ClientOptions,
}

fn range(text: &str) -> Result<String, String> {
    text.parse::<Network>().map(|_| text.to_owned())
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn connections(options: &ConnectionsOptions) -> Result<(), Failure> {
    let limit = options.limit.to_string();
    let sort = match options.sort {
        By::Pending => "pending",
        By::Idle => "idle",
        By::Age => "age",
    };
    let order = if options.closed { ("closed", "true") } else { ("sort", sort) };
    let mut pairs = vec![("limit", &*limit), order];
    pairs.extend(options.which.pairs());
    pairs.extend(options.after.as_deref().map(|after| ("after", after)));
    let answer = Client::new(&options.client)?.get(&target("/connections", &pairs))?;
    if options.client.json {
        return output::print(&format!("{answer}\n"));
    }
    if options.closed {
        return output::print(&closed_table(&answer));
    }
    output::print(&table(&answer))
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn kick(options: &KickOptions) -> Result<(), Failure> {
    let mut order: serde_json::Map<String, Value> =
        options.which.pairs().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    if let Some(handle) = &options.handle {
        order.insert("handle".to_owned(), json!(handle));
    }
    if order.is_empty() {
        let why = "say which connections: a handle, --service, --cidr, --user or --channel; try 'gannet kick --help'";
        return Err(Failure::Usage(why.to_owned()));
    }
    let answer = Client::new(&options.client)?.post("/kick", &Value::Object(order))?;
    if options.client.json {
        return output::print(&format!("{answer}\n"));
    }
    let kicked = answer["kicked"].as_u64().unwrap_or(0);
    output::print(&format!("{kicked} {} closed\n", if kicked == 1 { "connection" } else { "connections" }))
}

/// A path with a query.
pub(super) fn target(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut text = path.to_owned();
    for (at, (name, value)) in pairs.iter().enumerate() {
        text.push(if at == 0 { '?' } else { '&' });
        text += name;
        text.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                text.push(byte.into());
            } else {
                text += &format!("%{byte:02X}");
            }
        }
    }
    text
}

fn table(answer: &Value) -> String {
    let all = answer["connections"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |one: &Value| {
        vec![
            print::plain(&one["handle"]),
            print::plain(&one["service"]),
            print::plain(&one["peer"]),
            print::plain(&one["state"]),
            time(&one["age_ms"]),
            time(&one["idle_ms"]),
            bytes(&one["pending_bytes"]),
            one["user"].as_str().map_or_else(|| "-".to_owned(), |_| print::plain(&one["user"])),
            print::plain(&one["channel_count"]),
            one["protocol"].as_str().map_or_else(|| "-".to_owned(), |_| print::plain(&one["protocol"])),
        ]
    };
    let head = ["HANDLE", "SERVICE", "PEER", "STATE", "AGE", "IDLE", "PENDING", "USER", "CHANNELS", "PROTOCOL"];
    let mut text = columns(&head, all.iter().map(row).collect());
    text += &format!("{} of {}", all.len(), answer["selected"]);
    if let Some(next) = answer["next"].as_str() {
        text += &format!("; the next page: --after {next}");
    }
    text + "\n"
}

fn closed_table(answer: &Value) -> String {
    let all = answer["closed"].as_array().map_or(&[][..], Vec::as_slice);
    let row = |one: &Value| {
        vec![
            time(&one["ago_ms"]),
            print::plain(&one["handle"]),
            print::plain(&one["service"]),
            print::plain(&one["peer"]),
            time(&one["age_ms"]),
            print::plain(&one["reason"]),
        ]
    };
    columns(&["AGO", "HANDLE", "SERVICE", "PEER", "AGE", "REASON"], all.iter().map(row).collect())
}

/// Lines with a head, each cell as wide as the widest of its column.
fn columns(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain([head[at].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in [head].into_iter().chain(rows) {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}

/// A time in its two largest units.
fn time(ms: &Value) -> String {
    let time = Duration::from_millis(ms.as_u64().unwrap_or(0));
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{}ms", time.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m{}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d{}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

fn bytes(bytes: &Value) -> String {
    match bytes.as_u64().unwrap_or(0) {
        bytes @ ..10_240 => format!("{bytes}"),
        bytes @ ..10_485_760 => format!("{}KiB", bytes >> 10),
        bytes => format!("{}MiB", bytes >> 20),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_shown_as_a_table_that_names_the_next_page() {
        let one = json!({
            "handle": "0-17-3", "service": "redis", "peer": "10.0.0.1:5", "state": "open", "age_ms": 90_061_000,
            "idle_ms": 250, "pending_bytes": 20_480, "user": "a\u{1b}b", "channel_count": 2, "protocol": null,
        });
        let answer = json!({ "connections": [one], "next": "5.0.17", "selected": 7 });
        let expected = "\
HANDLE  SERVICE  PEER        STATE  AGE   IDLE   PENDING  USER  CHANNELS  PROTOCOL
0-17-3  redis    10.0.0.1:5  open   1d1h  250ms  20KiB    a b   2         -
1 of 7; the next page: --after 5.0.17
";
        assert_eq!(table(&answer), expected);
    }

    #[test]
    fn a_query_has_every_name_as_it_was_given() {
        let pairs = [("user", "a&b=c"), ("cidr", "10.0.0.0/8"), ("channel", "ü#1")];
        assert_eq!(target("/x", &pairs), "/x?user=a%26b%3Dc&cidr=10.0.0.0%2F8&channel=%C3%BC%231");
    }

    #[test]
    fn times_are_shown_in_their_largest_units() {
        for (ms, shown) in [(0, "0ms"), (999, "999ms"), (59_999, "59s"), (61_000, "1m1s"), (3_660_000, "1h1m")] {
            assert_eq!(time(&json!(ms)), shown);
        }
    }
}
