//! `gannet trace`: the traffic of one connection, while it passes.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::connections::target;
use super::print;
use crate::admin::client::{Client, ClientOptions};
use crate::failure::Failure;
use crate::output;
use crate::units::whole;

/// Shows the traffic of one connection of a running server: direction, time, and the first bytes of each piece.
///
/// It shows what the service sees: before encryption, after decryption. So it may show secrets. The server logs who asks for
/// it. A connection that is not traced pays nothing for this.
#[derive(Args, Clone, Debug)]
pub(crate) struct TraceOptions {
    /// Connection, as gannet connections shows it
    handle: String,

    /// Bytes that are shown of each piece
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=4_096), default_value_t = 256)]
    bytes: u32,

    /// Time after which it ends
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=3_600), default_value_t = 60)]
    seconds: u32,

    /// Pieces after which it ends
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=10_000), default_value_t = 1_000)]
    messages: u32,

    #[command(flatten)]
    client: ClientOptions,
}

/// # Errors
///
/// There is no answer, or the server refuses.
pub(crate) fn trace(options: &TraceOptions) -> Result<(), Failure> {
    let (bytes, seconds, messages) =
        (options.bytes.to_string(), options.seconds.to_string(), options.messages.to_string());
    let pairs = [("handle", &*options.handle), ("bytes", &bytes), ("seconds", &seconds), ("messages", &messages)];
    let longest = Duration::from_secs(options.seconds.into());
    Client::new(&options.client)?.lines(&target("/trace", &pairs), longest, |line| {
        let event = serde_json::from_str(line).unwrap_or_default();
        let text = if options.client.json { line.to_owned() } else { shown(&event) };
        if event["event"] == "refused" {
            if options.client.json {
                output::print(&(text + "\n"))?;
            }
            return Err(Failure::Refused(print::plain(&event["message"])));
        }
        output::print(&(text + "\n"))?;
        Ok(is_last(&event))
    })
}

fn is_last(event: &Value) -> bool {
    ["over", "closed"].iter().any(|last| event["event"] == *last)
}

/// An event for people.
fn shown(event: &Value) -> String {
    match event["event"].as_str() {
        Some(direction @ ("received" | "sent")) => {
            let at_ms = event["at_ms"].as_u64().unwrap_or(0);
            let arrow = if direction == "received" { "<-" } else { "->" };
            let (seconds, rest) = (at_ms / 1_000, at_ms % 1_000);
            format!(
                "{seconds:>4}.{rest:03}s {arrow} {} bytes: {}",
                event["length_bytes"],
                print::plain(&event["bytes"])
            )
        }
        Some("dropped") => format!("{} pieces are not shown: they came too fast", event["pieces"]),
        Some("closed") => format!("the connection has closed: {}", print::plain(&event["reason"])),
        Some("over") => "the trace is at its end".to_owned(),
        _ => "something that this version of gannet does not know".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_shown_with_its_direction_time_and_first_bytes() {
        let line = r#"{"event":"received","at_ms":1250,"length_bytes":6,"bytes":"PING\\r\\n"}"#;
        let event = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
        assert_eq!((&*shown(&event(line)), is_last(&event(line))), (r"   1.250s <- 6 bytes: PING\r\n", false));
        let closed = event(r#"{"event":"closed","reason":"kicked"}"#);
        assert_eq!((&*shown(&closed), is_last(&closed)), ("the connection has closed: kicked", true));
        assert!(is_last(&event(r#"{"event":"over"}"#)) && !is_last(&event("null")));
    }
}
