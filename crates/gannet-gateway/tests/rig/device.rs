//! Devices: Protobuf messages over plain TCP or TLS, each with its length before it.

use std::io::{Read, Write};
use std::net::TcpStream;

use gannet_proto::centrifuge::{
    Command, ConnectRequest, Format, PushEvent, Replies, Reply, ReplyBody, Request, SubscribeRequest,
};
use gannet_proto::{Codec as _, Decoded};

use super::Rig;

/// A device, and what it has received and not yet taken.
pub(crate) struct Device<S> {
    pub(crate) stream: S,
    pub(crate) received: Vec<u8>,
}

impl Device<TcpStream> {
    pub(crate) fn connect(rig: &Rig) -> Self {
        Self { stream: super::tcp(rig.devices), received: Vec::new() }
    }
}

impl<S: Read + Write> Device<S> {
    /// Connects and subscribes.
    pub(crate) fn subscribe(&mut self, channel: &str) {
        self.send(1, Request::Connect(ConnectRequest::default()));
        self.next(|reply| assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Connect(_))), "{reply:?}"));
        self.send(2, Request::Subscribe(SubscribeRequest { channel: channel.into(), ..Default::default() }));
        self.next(|reply| {
            assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Subscribe(_))), "{reply:?}");
        });
    }

    pub(crate) fn send(&mut self, id: u32, request: Request<'_>) {
        let mut bytes = Vec::new();
        Format::Protobuf.write_command(&mut bytes, &Command { id, request });
        self.stream.write_all(&bytes).expect("it is taken");
    }
}

impl<S: Read> Device<S> {
    /// The data of the next push, which is a publication.
    pub(crate) fn publication(&mut self) -> Vec<u8> {
        self.next(|reply| {
            let Some(ReplyBody::Push(push)) = reply.map(|reply| &reply.body) else { panic!("{reply:?}") };
            let PushEvent::Publication(publication) = &push.event else { panic!("{push:?}") };
            publication.data.to_vec()
        })
    }

    /// The code of the next push, which is the last one.
    pub(crate) fn ends(&mut self) -> u32 {
        let code = self.next(|reply| {
            let Some(ReplyBody::Push(push)) = reply.map(|reply| &reply.body) else { panic!("{reply:?}") };
            let PushEvent::Disconnect(why) = &push.event else { panic!("{push:?}") };
            why.code
        });
        self.next(|reply| assert!(reply.is_none(), "{reply:?}"));
        code
    }

    /// Calls a function with the next reply; `None` at the end.
    pub(crate) fn next<R>(&mut self, call: impl FnOnce(Option<&Reply<'_>>) -> R) -> R {
        loop {
            let mut copy = self.received.clone();
            match Replies::new().decode(&mut (), &mut copy).expect("a reply") {
                Decoded::Message { message, consumed } => {
                    self.received.drain(..consumed);
                    return call(Some(&message));
                }
                _ => {
                    let mut buffer = [0; 4096];
                    let count = self.stream.read(&mut buffer).expect("more");
                    if count == 0 {
                        return call(None);
                    }
                    self.received.extend_from_slice(&buffer[..count]);
                }
            }
        }
    }

    /// Waits for the replies to so many commands; gives their numbers. Pushes are left out.
    pub(crate) fn replies(&mut self, count: usize) -> Vec<u32> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let id = self.next(|reply| reply.expect("more replies").id);
            ids.extend((id > 0).then_some(id));
        }
        ids
    }

    /// The code of the push that says why it ends. Everything before it is left out.
    pub(crate) fn code(&mut self) -> u32 {
        loop {
            let code = self.next(|reply| match &reply.expect("a push").body {
                ReplyBody::Push(push) => match &push.event {
                    PushEvent::Disconnect(why) => Some(why.code),
                    _ => None,
                },
                _ => None,
            });
            if let Some(code) = code {
                return code;
            }
        }
    }
}
