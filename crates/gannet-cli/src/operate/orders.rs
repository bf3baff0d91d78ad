//! `gannet reload`, `gannet drain` and `gannet upgrade`: orders for a server that runs.

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::admin::client::{Client, ClientOptions};
use crate::failure::Failure;
use crate::output;
use crate::units::{Deadline, deadline};

/// Has a running server read its configuration again, waits for the result, and prints it.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReloadOptions {
    /// Change nothing if a changed setting needs a restart
    #[arg(long)]
    strict: bool,

    #[command(flatten)]
    client: ClientOptions,
}

/// Has a running server let its clients go, evenly spread, and ends it when they have gone.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainOptions {
    /// Only the clients of the listener with this name; the server stays
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,

    /// End the drain that is under way
    #[arg(long, conflicts_with_all = ["spread"])]
    cancel: bool,

    /// Time over which the clients are spread, instead of the configured one
    #[arg(long, value_name = "TIME", value_parser = deadline)]
    spread: Option<Deadline>,

    #[command(flatten)]
    client: ClientOptions,
}

/// Replaces a running server by a new process, without a refused client, and prints when that one serves.
#[derive(Args, Clone, Debug)]
pub(crate) struct UpgradeOptions {
    /// Time that the new process has to serve; then the old one goes on
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "60s")]
    start_timeout: Deadline,

    #[command(flatten)]
    client: ClientOptions,
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn reload(options: &ReloadOptions) -> Result<(), Failure> {
    let as_json = options.client.json;
    match Client::new(&options.client)?.post("/reload", &json!({ "strict": options.strict })) {
        Ok(report) if as_json => print::report(&report, true),
        Ok(report) => output::print(&changes(&report)),
        Err(Failure::Unchanged { texts, details }) => {
            if as_json {
                output::print(&format!("{details}\n"))?;
            }
            Err(Failure::Unchanged { texts, details })
        }
        Err(failure) => Err(failure),
    }
}

/// The report of a reload, a line for each change.
fn changes(report: &Value) -> String {
    let mut text = String::new();
    let all = |name: &str| report[name].as_array().map(Vec::as_slice).unwrap_or_default();
    for (change, when) in all("changes")
        .iter()
        .map(|change| (change, ""))
        .chain(all("pending").iter().map(|change| (change, "; needs a restart, or gannet upgrade")))
    {
        let shown = |name: &str| change[name].as_str().map_or("(unset)".to_owned(), |_| print::plain(&change[name]));
        let (key, origin) = (shown("key"), shown("origin"));
        let what = match (shown("old"), shown("new")) {
            (old, new) if new == "present" && old == "(unset)" => "added".to_owned(),
            (old, new) if old == "present" && new == "(unset)" => "removed".to_owned(),
            (old, new) => format!("{old} -> {new}"),
        };
        text += &format!("{key}: {what} ({origin}{when})\n");
    }
    for name in report["listeners"]["late"].as_array().into_iter().flatten() {
        text += &format!("{} follows later: a callback holds it up\n", print::plain(name));
    }
    let count = |name: &str| all(name).len();
    text + &format!(
        "reloaded: generation {}, changed {}, pending {}, in {} ms\n",
        report["generation"],
        count("changes"),
        count("pending"),
        report["took_ms"]
    )
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn drain(options: &DrainOptions) -> Result<(), Failure> {
    // Off is no time at all: all at once.
    let spread_ms = options.spread.map(|Deadline(spread)| spread.map_or(0, |spread| spread.as_millis() as u64));
    let order = json!({ "listener": options.listener, "cancel": options.cancel, "spread_ms": spread_ms });
    let report = Client::new(&options.client)?.post("/drain", &order)?;
    print::report(&report, options.client.json)
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn upgrade(options: &UpgradeOptions) -> Result<(), Failure> {
    let start_timeout_ms = options.start_timeout.0.map(|time| time.as_millis() as u64);
    let order = json!({ "start_timeout_ms": start_timeout_ms });
    let report = Client::new(&options.client)?.post("/upgrade", &order)?;
    print::report(&report, options.client.json)
}
