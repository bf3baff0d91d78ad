//! What clients send, and what comes back.

use gannet::proto::ws::write_fragment;

use super::*;

#[test]
fn messages_of_every_size_come_back_as_they_were() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 20] {
            let text = "ä".repeat(size / 2) + &"a".repeat(size % 2);
            for message in [Message::text(text.clone()), Message::binary(text.into_bytes())] {
                client.send(message.clone()).expect("it is taken");
                assert!(read(&mut client) == message, "{size} bytes");
            }
        }
    }
}

#[test]
fn fragments_make_one_message_and_pings_between_them_are_answered_at_once() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.raw();
        let mask = Some([9, 8, 7, 6]);
        let mut bytes = Vec::new();
        write_fragment(&mut bytes, Opcode::Text, false, &["wör".as_bytes()], mask).expect("it fits");
        bytes.extend(frame(Opcode::Ping, b"still there?"));
        write_fragment(&mut bytes, Opcode::Continuation, false, &[b"l"], mask).expect("it fits");
        bytes.extend(frame(Opcode::Pong, b"unasked"));
        client.send(&bytes);
        client.expect(b"\x8a\x0cstill there?");
        bytes.clear();
        write_fragment(&mut bytes, Opcode::Continuation, true, &[b"d"], mask).expect("it fits");
        client.send(&bytes);
        client.expect(b"\x81\x06w\xc3\xb6rld");
    }
}

#[test]
fn the_longest_ping_is_answered_with_its_payload() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.raw();
        client.send(&frame(Opcode::Ping, &[7; 125]));
        client.expect(&[0x8a, 125]);
        client.expect(&[7; 125]);
    }
}

#[test]
fn a_flood_of_pings_is_held_up_and_every_one_is_answered_in_order() {
    const PINGS: u32 = 200_000;
    let ping = |number: u32| number.to_be_bytes().repeat(31);
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.raw();
        let mut sender = Raw(client.0.try_clone().expect("a descriptor"));
        let sending = std::thread::spawn(move || {
            for first in (0..PINGS).step_by(100) {
                let pings = (first..first + 100).map(|number| frame(Opcode::Ping, &ping(number)));
                sender.send(&pings.collect::<Vec<_>>().concat());
            }
        });
        let outboxes = || rig.running.remote().stats().iter().map(|reactor| reactor.outbox_bytes).sum::<u64>();
        let high = gannet::Limits::default().outbox_high as u64;
        // A count, because the kernel may take some of the outbox after it became full.
        let filled = || rig.running.remote().stats().iter().any(|reactor| reactor.outbox_high > 0);
        while !filled() {
            assert!(!sending.is_finished(), "the client could send everything without reading");
            std::thread::yield_now();
        }
        for number in 0..PINGS {
            assert!(outboxes() <= high + 1_024);
            client.expect(&[0x8a, 124]);
            client.expect(&ping(number));
        }
        sending.join().expect("everything was taken");
    }
}

#[test]
fn a_handler_is_told_of_its_timer_its_work_and_what_other_threads_have_for_it() {
    use gannet_http::websocket::RemoteExt as _;
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut client, handle, _) = rig.opened();
        let remote = rig.running.remote();
        client.send(Message::text("/timer")).expect("it is taken");
        expect_text(&mut client, "time");
        client.send(Message::text("/work")).expect("it is taken");
        rig.until(&Call::Notice(42));
        remote.notify_socket(handle, 43_u32).expect("it lives");
        rig.until(&Call::Notice(43));
        remote.send_text(handle, "from afar").expect("it lives");
        remote.send_binary(handle, *b"bytes").expect("it lives");
        expect_text(&mut client, "from afar");
        assert_eq!(read(&mut client), Message::binary(&b"bytes"[..]));
        remote.close_socket(handle, CloseCode::POLICY, "enough").expect("it lives");
        let Message::Close(Some(close)) = read(&mut client) else { panic!("a close frame") };
        assert_eq!((u16::from(close.code), close.reason.as_str()), (1008, "enough"));
    }
}

#[test]
fn what_other_threads_send_to_a_connection_that_speaks_http_is_dropped() {
    use gannet_http::websocket::RemoteExt as _;
    for driver in drivers() {
        let (sender, handles) = mpsc::channel();
        let routes = Router::new()
            .get("/", move |cx| sender.send(cx.handle()).expect("it is awaited"))
            .build()
            .expect("one route");
        let rig = http_rig::Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.get("/");
        let handle = handles.recv_timeout(PATIENCE).expect("it was asked");
        rig.running.remote().send_text(handle, "not for you").expect("it lives");
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn a_handler_hears_when_its_client_has_read_what_was_much() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut client, ..) = rig.opened();
        client.send(Message::text("/flood")).expect("it is taken");
        assert!(read(&mut client) == Message::binary(vec![7; 1 << 20]));
        rig.until(&Call::Writable);
    }
}
