//! WebSocket conversations of the HTTP server as subjects.

use std::io;

use gannet::{DriverChoice, Group};
use gannet_http::websocket::{Handler, Handshake, Socket};
use gannet_http::{HttpService, Router};

use crate::engine;
use crate::floor::broadcast::PAYLOAD;
use crate::subject::Ready;

struct Echo;

impl Handler for Echo {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.text(text);
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        socket.binary(bytes);
    }
}

/// Messages, answered with the same messages.
pub fn echo(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    serve(port, ready, driver, || Echo)
}

struct Member {
    room: Group,
    payload: &'static str,
}

impl Handler for Member {
    fn open(&mut self, socket: &mut Socket<'_>) {
        socket.text(self.payload);
        if let Err(error) = socket.join(self.room) {
            eprintln!("a member could not join: {error}");
        }
    }

    fn text(&mut self, _: &str, socket: &mut Socket<'_>) {
        if let Err(error) = socket.broadcast_text(self.room, self.payload) {
            eprintln!("a broadcast failed: {error}");
        }
    }

    fn binary(&mut self, _: &[u8], _: &mut Socket<'_>) {}
}

/// One payload for each that joins; any text from anybody sends one to everybody.
pub fn broadcast(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let (room, payload) = (Group::new(), std::str::from_utf8(PAYLOAD).map_err(io::Error::other)?);
    serve(port, ready, driver, move || Member { room, payload })
}

/// Conversations at `/`.
fn serve<H: Handler>(
    port: u16,
    ready: Ready,
    driver: DriverChoice,
    handler: impl Fn() -> H + Send + Sync + 'static,
) -> io::Result<()> {
    let handshake = Handshake::new();
    let routes = Router::new().get("/", move |cx| cx.websocket(&handshake, handler()));
    let routes = routes.build().map_err(io::Error::other)?;
    engine::serve(port, ready, driver, move || HttpService::new(&routes))
}
