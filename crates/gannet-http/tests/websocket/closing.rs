//! How conversations end.

use gannet::CloseReason;
use gannet_testing::until;
use tungstenite::Error;
use tungstenite::protocol::CloseFrame;

use super::*;

#[track_caller]
fn expect_end(client: &mut WebSocket<TcpStream>) {
    loop {
        match client.read() {
            Ok(_) => {}
            Err(Error::ConnectionClosed) => return,
            Err(error) => panic!("no clean end: {error}"),
        }
    }
}

#[test]
fn a_client_that_closes_is_answered_with_its_code_and_the_server_ends_first() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        for code in [1000, 1001, 3000, 4999] {
            let (mut client, ..) = rig.opened();
            client.close(Some(CloseFrame { code: code.into(), reason: "bye".into() })).expect("it is taken");
            let Message::Close(Some(close)) = read(&mut client) else { panic!("a close frame") };
            assert_eq!(u16::from(close.code), code);
            expect_end(&mut client);
            assert_eq!(rig.call(), Call::Close(Some((code, "bye".to_owned()))));
        }
        let mut client = rig.raw();
        client.send(&frame(Opcode::Close, b""));
        client.send(&frame(Opcode::Text, b"behind the end"));
        client.expect(b"\x88\x00");
        assert_eq!(client.0.read(&mut [0]).expect("an end"), 0);
        assert!(matches!(rig.call(), Call::Open(..)));
        assert_eq!(rig.call(), Call::Close(None), "and what came behind it was not handed on");
    }
}

#[test]
fn a_server_that_closes_waits_for_the_answer_and_hears_nothing_else() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.raw();
        let mut bytes = frame(Opcode::Text, b"/close 4000");
        bytes.extend(frame(Opcode::Text, b"in the same write"));
        client.send(&bytes);
        client.expect(b"\x88\x0d\x0f\xa0as you wish");
        client.send(&frame(Opcode::Text, b"later"));
        client.send(&frame(Opcode::Ping, b"later"));
        client.send(&frame(Opcode::Close, &4000_u16.to_be_bytes()));
        assert_eq!(client.0.read(&mut [0]).expect("an end without more"), 0);
        assert!(matches!(rig.call(), Call::Open(..)));
        assert_eq!(rig.call(), Call::Text("/close 4000".to_owned()));
        assert_eq!(rig.call(), Call::Close(Some((4000, String::new()))));
    }
}

#[test]
fn a_client_that_does_not_answer_a_close_frame_is_not_waited_for_for_ever() {
    for driver in drivers() {
        let time = Duration::from_millis(50);
        let rig = Rig::with(Engine::new().driver(driver), move |service| service.websocket_close_timeout(time));
        let mut client = rig.raw();
        client.send(&frame(Opcode::Text, b"/close 1000"));
        client.expect_close(1000);
        drop(client);
        rig.until(&Call::Close(None));
    }
}

#[test]
fn a_shutdown_waits_a_second_for_the_answer_to_a_close_frame() {
    for driver in drivers() {
        let rig = Rig::with(Engine::new().driver(driver), |service| service.websocket_close_timeout(4 * PATIENCE));
        let (mut silent, mut closing) = (rig.raw(), rig.raw());
        closing.send(&frame(Opcode::Text, b"/close 4000"));
        closing.expect(b"\x88\x0d\x0f\xa0as you wish");
        rig.running.remote().stop();
        silent.expect_close(1012);
        let mut rest = Vec::new();
        closing.0.read_to_end(&mut rest).expect("an end without a reset");
        assert!(rest.is_empty(), "{rest:?}");
        rig.until(&Call::Close(None));
        rig.until(&Call::Close(None));
    }
}

#[test]
fn what_breaks_the_protocol_or_a_limit_is_answered_with_the_code_that_says_so() {
    let mut half_text = Vec::new();
    gannet::proto::ws::write_fragment(&mut half_text, Opcode::Text, true, &[b"\xff"], Some([1; 4])).expect("it fits");
    let mut fragments = Vec::new();
    for opcode in [Opcode::Binary, Opcode::Continuation] {
        gannet::proto::ws::write_fragment(&mut fragments, opcode, false, &[&[0; 900]], Some([1; 4])).expect("it fits");
    }
    for driver in drivers() {
        let rig = Rig::with(Engine::new().driver(driver), |service| service.websocket_limits(1_000, 1_500));
        for (bytes, code) in [
            (half_text.clone(), 1007),
            (frame(Opcode::Binary, &[0; 1_001]), 1009),
            (fragments.clone(), 1009),
            (b"\x81\x05hello".to_vec(), 1002),
            (b"\xc1\x80\0\0\0\0".to_vec(), 1002),
            (frame(Opcode::Continuation, b""), 1002),
            (frame(Opcode::Close, &1005_u16.to_be_bytes()), 1002),
            (frame(Opcode::Close, b"\x03\xe8\xff"), 1007),
        ] {
            let mut client = rig.raw();
            client.send(&bytes);
            client.expect_close(code);
            drop(client);
            assert!(matches!(rig.call(), Call::Open(..)));
            assert_eq!(rig.call(), Call::Close(None));
        }
        // A connection is counted a moment after its handler was told.
        until("all ends to be counted", || {
            rig.closed(CloseReason::FrameTooLarge) >= 2 && rig.closed(CloseReason::Protocol) >= 6
        });
        assert_eq!((rig.closed(CloseReason::FrameTooLarge), rig.closed(CloseReason::Protocol)), (2, 6));
    }
}

#[test]
fn a_connection_that_just_ends_is_an_end_for_the_handler_too() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (client, ..) = rig.opened();
        drop(client);
        assert_eq!(rig.call(), Call::Close(None));
    }
}

#[test]
fn a_handler_that_panics_ends_its_own_conversation_only() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut bystander, ..) = rig.opened();
        let (mut client, ..) = rig.opened();
        client.send(Message::text("/panic")).expect("it is taken");
        assert!(client.read().is_err());
        rig.until(&Call::Close(None));
        bystander.send(Message::text("still here")).expect("it is taken");
        expect_text(&mut bystander, "still here");
    }
}

#[test]
fn a_kick_closes_with_1008_and_its_reason_is_kicked() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut client, handle, _) = rig.opened();
        let (mut other, ..) = rig.opened();
        let mut select = gannet::Selection::default();
        select.handle = Some(handle);
        let (sender, kicked) = mpsc::channel();
        let done = move |kicked| sender.send(kicked).expect("the test waits");
        rig.running.remote().kick(select, done).expect("it runs");
        assert_eq!(kicked.recv_timeout(PATIENCE).expect("an answer").connections, 1);
        let Message::Close(Some(close)) = read(&mut client) else { panic!("a close frame") };
        assert_eq!((u16::from(close.code), &*close.reason), (1008, "closed by an operator"));
        expect_end(&mut client);
        assert_eq!(rig.call(), Call::Close(Some((1008, "closed by an operator".to_owned()))));
        while rig.closed(CloseReason::Other("kicked")) == 0 {
            std::thread::yield_now();
        }
        other.send(Message::text("still here")).expect("it is taken");
        assert_eq!(read(&mut other), Message::text("still here"));
    }
}
