//! Tests of the space and its rosters together.

mod behaviour;
mod simulation;
mod stress;
mod tap;

use std::sync::Arc;

use crate::*;

/// A sink that writes down what it is called with, by the client's name.
#[derive(Debug, Default)]
struct Log {
    lines: Vec<String>,
    /// Clients that have no room, and those that are gone.
    full: Vec<&'static str>,
    gone: Vec<&'static str>,
}

impl Log {
    fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines)
    }
}

fn text(delivery: &Delivery) -> String {
    match delivery.event() {
        Event::Publication(publication) if publication.offset > 0 => {
            format!("{} {}", publication.offset, String::from_utf8_lossy(&publication.data))
        }
        Event::Publication(publication) => String::from_utf8_lossy(&publication.data).into(),
        Event::Join(info) => format!("+{}", info.user()),
        Event::Leave(info) => format!("-{}", info.user()),
        Event::Batch(all) => {
            let all: Vec<_> = all.iter().map(|delivery| text(delivery)).collect();
            format!("[{}]", all.join(", "))
        }
    }
}

impl Sink<&'static str> for Log {
    fn push(&mut self, _: ClientKey, name: &mut &'static str, _: u8, delivery: &Arc<Delivery>) -> Pushed {
        if self.full.contains(name) {
            return Pushed::Full;
        }
        if self.gone.contains(name) {
            return Pushed::Gone;
        }
        self.lines.push(format!("{name}: {}", text(delivery)));
        Pushed::Taken
    }

    fn gap(&mut self, _: ClientKey, name: &mut &'static str, channel: &str, server_side: bool) {
        let server_side = if server_side { ", by the server" } else { "" };
        self.lines.push(format!("{name}: gap in {channel}{server_side}"));
    }

    fn slow(&mut self, _: ClientKey, name: &mut &'static str) {
        self.lines.push(format!("{name}: slow"));
    }
}
