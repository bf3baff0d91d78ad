//! Sessions of devices: Protobuf over plain TCP.

mod rig;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use gannet_proto::centrifuge::{
    Command, ConnectRequest, Format, PublishRequest, PushEvent, Replies, Reply, ReplyBody, Request, SubscribeRequest,
};
use gannet_proto::{Codec as _, Decoded};
use rig::{PATIENCE, Rig, drivers};

struct Device {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Device {
    fn connect(rig: &Rig) -> Self {
        let stream = TcpStream::connect(rig.devices).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { stream, received: Vec::new() }
    }

    fn send(&mut self, id: u32, request: Request<'_>) {
        let mut bytes = Vec::new();
        Format::Protobuf.write_command(&mut bytes, &Command { id, request });
        self.stream.write_all(&bytes).expect("it is taken");
    }

    /// Calls a function with the next reply; `None` at the end.
    fn next<R>(&mut self, call: impl FnOnce(Option<&Reply<'_>>) -> R) -> R {
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
}

#[test]
fn a_device_subscribes_and_publishes() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut device = Device::connect(&rig);
        device.send(1, Request::Connect(ConnectRequest::default()));
        device
            .next(|reply| assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Connect(_))), "{reply:?}"));
        let channel = "demo:a";
        device.send(2, Request::Subscribe(SubscribeRequest { channel: channel.into(), ..Default::default() }));
        device.next(|reply| {
            assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Subscribe(_))), "{reply:?}")
        });
        let mut browser = rig.subscribed(channel);
        device.send(3, Request::Publish(PublishRequest { channel: channel.into(), data: b"{\"t\":21}" }));
        device.next(|reply| assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Publish)), "{reply:?}"));
        device.next(|reply| {
            let Some(ReplyBody::Push(push)) = reply.map(|reply| &reply.body) else { panic!("{reply:?}") };
            let PushEvent::Publication(publication) = &push.event else { panic!("{push:?}") };
            assert_eq!(publication.data, b"{\"t\":21}");
        });
        assert_eq!(browser.push()["pub"]["data"]["t"], 21);
    }
}

#[test]
fn a_device_that_breaks_the_protocol_is_told_and_closed() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        // A length of 4 GiB, a message that is none, and a command before connect.
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[2, 0xff, 0xff], &[0]] {
            let mut device = Device::connect(&rig);
            device.stream.write_all(bytes).expect("it is taken");
            device.next(|reply| {
                let Some(ReplyBody::Push(push)) = reply.map(|reply| &reply.body) else { panic!("{reply:?}") };
                let PushEvent::Disconnect(why) = &push.event else { panic!("{push:?}") };
                assert_eq!(why.code, 3501, "{bytes:?}");
            });
            device.next(|reply| assert!(reply.is_none(), "{reply:?}"));
        }
    }
}
