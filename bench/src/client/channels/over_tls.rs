//! Subscribers over TLS that are idle from then on: only what they take of the server's memory is measured.

use std::io::{self, Read, Write};

use gannet_load::scenario::push::Secret;
use gannet_tls::{TlsClient, TlsVersion};

use super::frames::{Frames, masked};
use super::{connect_command, contains, count, upgrade};
use crate::client::handshakes::client;
use crate::client::stream::{Scratch, Tls};
use crate::client::taped::wrong;
use crate::push::TOKEN_SECRET;

/// Subscribers that connect one after the other.
pub struct OverTls {
    port: u16,
    client: TlsClient,
    secret: Secret,
    /// The channels of a client, by its number.
    channels: Box<dyn Fn(usize) -> Vec<String>>,
    clients: Vec<Tls>,
    scratch: Scratch,
}

impl OverTls {
    /// Connects nobody yet.
    pub fn new(port: u16, channels: impl Fn(usize) -> Vec<String> + 'static) -> io::Result<Self> {
        let client = client(TlsVersion::V1_3, 0)?;
        let (secret, channels) = (Secret::new(TOKEN_SECRET.as_bytes()), Box::new(channels));
        Ok(Self { port, client, secret, channels, clients: Vec::new(), scratch: Scratch::default() })
    }

    /// Connects and subscribes clients until there are `total`.
    pub fn open_until(&mut self, total: usize) -> io::Result<()> {
        while self.clients.len() < total {
            let number = self.clients.len();
            let mut tls = Tls::open(self.port, &self.client, &mut self.scratch)?;
            let mut frames = Frames::default();
            tls.write_all(upgrade(self.port).as_bytes())?;
            while !frames.is_upgraded()? {
                read(&mut tls, &mut frames)?;
            }
            tls.write_all(&masked(connect_command(&self.secret, "client", number).as_bytes()))?;
            replies(&mut tls, &mut frames, (br#""connect":"#, 1))?;
            let channels = (self.channels)(number);
            let subscribe = |(index, channel): (usize, &String)| {
                format!(r#"{{"id":{},"subscribe":{{"channel":"{channel}"}}}}"#, index + 2)
            };
            let commands: Vec<_> = channels.iter().enumerate().map(subscribe).collect();
            tls.write_all(&masked(commands.join("\n").as_bytes()))?;
            replies(&mut tls, &mut frames, (br#""subscribe":"#, channels.len() as u64))?;
            self.clients.push(tls);
        }
        Ok(())
    }
}

/// Waits for so many replies of a kind.
fn replies(tls: &mut Tls, frames: &mut Frames, (kind, wanted): (&[u8], u64)) -> io::Result<()> {
    let mut came = 0;
    while came < wanted {
        read(tls, frames)?;
        frames.each(|frame| {
            came += count(frame, kind);
            if contains(frame, br#""error":"#) { Err(wrong(frame)) } else { Ok(()) }
        })?;
    }
    Ok(())
}

fn read(tls: &mut Tls, frames: &mut Frames) -> io::Result<()> {
    let mut buffer = [0; 4_096];
    match tls.read(&mut buffer)? {
        0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        received => {
            frames.feed(&buffer[..received]);
            Ok(())
        }
    }
}
