//! How a shutdown releases the clients.

use clap::Args;
use gannet::proto::ws::CloseCode;

use crate::units::{Deadline, deadline};

/// `--drain-…`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DrainOptions {
    /// Time over which a shutdown tells the clients to leave, at an even pace, as 2m; off tells all at once
    #[arg(long = "drain-spread", value_name = "TIME", value_parser = deadline, default_value = "off", help_heading = "Time")]
    pub(crate) spread: Deadline,

    /// Close code for WebSocket clients at a shutdown: 1012, or 1001 for clients that reject it
    #[arg(long = "drain-websocket-code", value_name = "CODE", value_parser = close_code, default_value = "1012", help_heading = "HTTP")]
    pub(crate) websocket_code: CloseCode,
}

fn close_code(text: &str) -> Result<CloseCode, String> {
    match text {
        "1012" => Ok(CloseCode::RESTART),
        "1001" => Ok(CloseCode::GOING_AWAY),
        _ => Err("the code is 1012 or 1001".to_owned()),
    }
}
