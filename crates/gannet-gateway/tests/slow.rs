//! Many clients of one channel, of whom some never read.

mod rig;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Mutex;

use gannet_gateway::settings::{Settings, namespace};
use gannet_testing::{Counting, until};
use rig::{PATIENCE, Rig, drivers};
use socket2::{Domain, Socket, Type};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What is counted is the process's: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

const READERS: usize = 270;
const SILENT: usize = 30;

/// Bytes of a publication's data.
const DATA_BYTES: usize = 60_000;

/// What the gateway keeps for a client at most: its outbox up to the high mark, what may follow, and one publication.
const MOST_BYTES_EACH: usize = (256 << 10) + (1 << 20) + DATA_BYTES + 1_000;

/// A client that has subscribed. The kernel keeps as little for it as for one beyond an Ethernet: by loopback's segments of 64 KiB
/// it would keep megabytes for one that does not read.
fn subscribed(rig: &Rig, channel: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_tcp_mss(1_460).expect("small segments");
    socket.set_recv_buffer_size(16 << 10).expect("a small buffer");
    socket.connect(&rig.http.into()).expect("the server accepts");
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let frame = format!("{{\"id\":1,\"connect\":{{}}}}\n{{\"id\":2,\"subscribe\":{{\"channel\":\"{channel}\"}}}}");
    let mut bytes =
        b"GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81"
            .to_vec();
    bytes.push(0x80 | u8::try_from(frame.len()).expect("it is short"));
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(frame.as_bytes());
    stream.write_all(&bytes).expect("it is taken");
    // One byte after the other, so that nothing of what follows is taken.
    let mut all = Vec::new();
    while !all.ends_with(b"\r\n\r\n") {
        all.push(byte(&mut stream));
    }
    let mut length = [byte(&mut stream), byte(&mut stream)][1].into();
    if length == 126_u64 {
        length = u64::from(u16::from_be_bytes([byte(&mut stream), byte(&mut stream)]));
    }
    let mut replies = vec![0; usize::try_from(length).expect("it is short")];
    stream.read_exact(&mut replies).expect("replies");
    assert!(replies.windows(14).any(|part| part == b"\"id\":2,\"subscr"), "{}", String::from_utf8_lossy(&replies));
    stream
}

fn byte(stream: &mut TcpStream) -> u8 {
    let mut byte = [0];
    stream.read_exact(&mut byte).expect("a byte");
    byte[0]
}

/// The frame that brings a publication.
fn frame(channel: &str, data: &str, offset: u64) -> Vec<u8> {
    let offset = if offset == 0 { String::new() } else { format!(",\"offset\":{offset}") };
    let push = format!("{{\"push\":{{\"channel\":\"{channel}\",\"pub\":{{\"data\":{data}{offset}}}}}}}");
    let length = u16::try_from(push.len()).expect("it is short");
    let mut frame = vec![0x81];
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(short),
        _ => {
            frame.push(126);
            frame.extend_from_slice(&length.to_be_bytes());
        }
    }
    frame.extend_from_slice(push.as_bytes());
    frame
}

/// Waits until no more than so many bytes wait in outboxes; gives how many do. What a reader has may still be in its outbox, since
/// the kernel says a little later that it was sent.
fn within(rig: &Rig, most: usize) -> usize {
    let mut waits = 0;
    until("outboxes within their bound", || {
        waits = outboxes(rig);
        waits <= most
    });
    waits
}

fn outboxes(rig: &Rig) -> usize {
    let stats = rig.running.remote().stats();
    usize::try_from(stats.iter().map(|reactor| reactor.outbox_bytes).sum::<u64>()).expect("bytes")
}

#[test]
fn clients_that_never_read_are_closed_with_3008_and_all_others_get_everything_in_order() {
    let _alone = ALONE.lock();
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.join_leave = false;
        settings.channels.namespaces[0].options.history_size = 2;
        let rig = Rig::start(driver, settings);
        let mut readers: Vec<_> = (0..READERS).map(|_| subscribed(&rig, "demo:a")).collect();
        let mut silent: Vec<_> = (0..SILENT).map(|_| subscribed(&rig, "demo:a")).collect();
        let data = format!("\"{}\"", "x".repeat(DATA_BYTES));
        let (mut offset, mut most, mut buffer) = (0, 0, vec![0; DATA_BYTES + 200]);
        let before = ALLOCATOR.bytes();
        let mut grown = 0;
        while rig.gateway.space().subscribers("demo:a").expect("a channel") > READERS as u32 {
            offset += 1;
            assert!(offset < 1_000, "nobody is too slow");
            rig.publish("demo:a", &data);
            let expected = frame("demo:a", &data, offset);
            for reader in &mut readers {
                reader.read_exact(&mut buffer[..expected.len()]).expect("a push");
                assert!(buffer[..expected.len()] == expected, "not publication {offset}");
            }
            most = most.max(within(&rig, SILENT * MOST_BYTES_EACH));
            grown = grown.max(ALLOCATOR.bytes() - before);
        }
        assert!(most >= SILENT * (256 << 10), "{most} bytes: nobody was behind");
        // What waits for several is there once.
        assert!(grown <= (2 * MOST_BYTES_EACH) as i64, "{grown} bytes more for {SILENT} clients on {driver:?}");
        for client in &mut silent {
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).expect("an end without a reset");
            assert_eq!(&rest[rest.len() - 8..], b"\x88\x06\x0b\xc0slow");
            // What it was sent before that is whole and in order, too.
            let mut at = &rest[..rest.len() - 8];
            for offset in 1.. {
                let expected = frame("demo:a", &data, offset);
                match at.strip_prefix(&*expected) {
                    Some(more) => at = more,
                    None => break,
                }
            }
            assert!(at.is_empty(), "{} bytes are no publications", at.len());
        }
        assert_eq!(rig.gateway.space().stats().namespaces[0].slow, SILENT as u64);
        until("nothing to wait", || outboxes(&rig) == 0);
        rig.publish("demo:a", "1");
        let expected = frame("demo:a", "1", offset + 1);
        for reader in &mut readers {
            reader.read_exact(&mut buffer[..expected.len()]).expect("a push");
            assert!(buffer[..expected.len()] == expected, "not the last publication");
        }
    }
}

#[test]
fn where_the_policy_is_another_clients_that_never_read_stay_and_their_memory_is_bounded() {
    let _alone = ALONE.lock();
    for (policy, driver) in
        ["drop", "latest_only"].into_iter().flat_map(|policy| drivers().into_iter().map(move |driver| (policy, driver)))
    {
        let mut settings = Settings::demo();
        let words = format!("lossy:slow={policy},allow_subscribe_for_client,allow_subscribe_for_anonymous");
        settings.channels.namespaces.push(namespace::parse(&words).expect("a namespace"));
        let rig = Rig::start(driver, settings);
        let mut readers: Vec<_> = (0..9).map(|_| subscribed(&rig, "lossy:a")).collect();
        let mut silent = subscribed(&rig, "lossy:a");
        let stats = || {
            let stats = rig.gateway.space().stats();
            let own = stats.namespaces.into_iter().find(|own| own.name == "lossy").expect("the namespace");
            own.dropped + own.replaced
        };
        let (mut number, mut most, mut buffer) = (0, 0, vec![0; DATA_BYTES + 200]);
        // A hundred more than the client takes.
        let mut left = 100;
        while left > 0 {
            number += 1;
            assert!(number < 1_000, "nobody is too slow");
            let data = format!("[{number},\"{}\"]", "x".repeat(DATA_BYTES));
            rig.publish("lossy:a", &data);
            let expected = frame("lossy:a", &data, 0);
            for reader in &mut readers {
                reader.read_exact(&mut buffer[..expected.len()]).expect("a push");
                assert!(buffer[..expected.len()] == expected, "not publication {number}");
            }
            most = most.max(within(&rig, MOST_BYTES_EACH));
            left -= u32::from(stats() > 0);
        }
        assert!(most >= 1 << 20, "{most} bytes: it was not behind");
        assert_eq!(rig.gateway.space().subscribers("lossy:a").expect("a channel"), 10);
        // The first and, where it waits for the client, the last.
        let first = format!("[1,\"{}\"]", "x".repeat(DATA_BYTES));
        let expected = frame("lossy:a", &first, 0);
        silent.read_exact(&mut buffer[..expected.len()]).expect("a push");
        assert!(buffer[..expected.len()] == expected, "not the first publication");
    }
}
