//! `push-stream`: Protobuf messages over plain TCP or TLS, each with its length before it, for devices.

use std::sync::Arc;
use std::time::Duration;

use gannet::{CloseReason, Context, Description, Refused, SendStatus, Service, Shutdown};
use gannet_proto::centrifuge::{Command, Commands, DecodeError};

use crate::gateway::Gateway;
use crate::hub::{self, Hub};
use crate::session::codes::Disconnect;
use crate::session::{Effects, Link, Place};
use crate::wire::Wire;

/// The service of devices on one reactor.
pub struct Devices {
    frame: usize,
}

impl Devices {
    /// Makes the service of a gateway, which has to be [installed](Gateway::install) in the same engine.
    #[must_use]
    pub fn new(gateway: &Arc<Gateway>) -> Self {
        Self { frame: gateway.settings().client.frame }
    }

    /// Sets the largest frame of commands in bytes (default: that of the gateway's settings when the service is made).
    #[must_use]
    pub fn frame(self, bytes: usize) -> Self {
        Self { frame: bytes }
    }

    /// Calls the session, and does what comes of it.
    fn call(
        session: &mut Session,
        cx: &mut Context<'_, Self>,
        call: impl FnOnce(&mut Hub, Place, &mut Link) -> Effects,
    ) {
        let place = Place { handle: cx.handle(), wire: Wire::Device };
        let link = &mut session.0;
        hub::with(cx.now(), |hub| {
            hub.take_back(place, link);
            let effects = call(hub, place, link);
            if !hub.out.is_empty() {
                if cx.write(&hub.out) != SendStatus::Queued {
                    hub.filled(link);
                }
                hub.trim();
            }
            if let Some(question) = effects.ask {
                cx.pause();
                hub.away.insert(place.handle, std::mem::replace(link, Link::Away));
                hub.gateway.clone().ask(hub.reactor, place, *question);
            }
            if let Some(after) = effects.next {
                cx.set_timer(after);
            }
            if effects.close.is_some() {
                cx.close_flushed();
            }
        });
    }
}

/// What a connection keeps of its session.
#[derive(Debug, Default)]
pub struct Session(Link);

impl Service for Devices {
    type Codec = Commands;
    type Session = Session;

    fn name(&self) -> &str {
        "push-stream"
    }

    fn codec(&self) -> Commands {
        Commands::new().limit(self.frame)
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Session, Refused> {
        let patience = hub::with(cx.now(), |hub| hub.patience());
        cx.set_timer(patience.unwrap_or(Duration::from_secs(10)));
        Ok(Session::default())
    }

    fn message(&mut self, session: &mut Session, command: Command<'_>, cx: &mut Context<'_, Self>) {
        Self::call(session, cx, |hub, place, link| hub.receive_command(place, link, &command));
    }

    fn malformed(&mut self, session: &mut Session, _: &DecodeError, cx: &mut Context<'_, Self>) {
        Self::call(session, cx, |hub, place, link| {
            hub.out.clear();
            hub.end(place, link, Disconnect::BAD_REQUEST)
        });
    }

    fn writable(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        Self::call(session, cx, |hub, _, link| {
            hub.out.clear();
            hub.writable(link);
            Effects::default()
        });
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        Self::call(session, cx, Hub::due);
    }

    fn shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        Self::call(session, cx, |hub, place, link| {
            hub.out.clear();
            hub.end(place, link, Disconnect::SHUTDOWN)
        });
        Shutdown::Close
    }

    fn describe(&self, session: &Session, into: &mut Description) {
        hub::with_last(|hub| hub.describe(&session.0, Wire::Device, into));
    }

    fn kick(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        Self::call(session, cx, Hub::kick);
        Shutdown::Close
    }

    fn close(&mut self, mut session: Session, _: CloseReason, cx: &mut Context<'_, Self>) {
        let place = Place { handle: cx.handle(), wire: Wire::Device };
        hub::with(cx.now(), |hub| {
            hub.take_back(place, &mut session.0);
            hub.closed(place, &mut session.0);
        });
    }
}
