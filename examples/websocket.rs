//! A chat room for browsers: a group brings every text to all members. The name is in the path.
//!
//! `cargo run --release --example websocket`, then in the console of a browser, on any page:
//! `let chat = new WebSocket("ws://127.0.0.1:8080/chat/ada"); chat.onmessage = event => console.log(event.data)`, and
//! `chat.send("hello")`.

use gannet::{Engine, Group};
use gannet_http::websocket::{Close, CloseCode, Handler, Handshake, Socket};
use gannet_http::{HttpService, Router};

/// A member of the room.
struct Guest {
    name: String,
    room: Group,
}

impl Guest {
    fn say(&self, text: &str, socket: &mut Socket<'_>) {
        if let Err(error) = socket.broadcast_text(self.room, &format!("{}{text}", self.name)) {
            socket.text(&format!("not everybody heard that: {error}"));
        }
    }
}

impl Handler for Guest {
    fn open(&mut self, socket: &mut Socket<'_>) {
        match socket.join(self.room) {
            Ok(()) => self.say(" is here", socket),
            Err(error) => socket.close(CloseCode::TRY_AGAIN, &error.to_string()),
        }
    }

    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        self.say(&format!(": {text}"), socket);
    }

    fn binary(&mut self, _: &[u8], socket: &mut Socket<'_>) {
        socket.close(CloseCode::UNSUPPORTED, "this is a chat");
    }

    fn close(&mut self, _: Option<Close<'_>>, socket: &mut Socket<'_>) {
        self.say(" has left", socket);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // One room for all reactors.
    let (room, handshake) = (Group::new(), Handshake::new());
    let routes = Router::new()
        .get("/chat/{name}", move |cx| {
            let name = cx.param("name").to_owned();
            cx.websocket(&handshake, Guest { name, room });
        })
        .build()?;
    println!("a chat room is at ws://127.0.0.1:8080/chat/<your name>");
    Ok(Engine::new().listen("tcp://127.0.0.1:8080", move || HttpService::new(&routes))?.run()?)
}
