//! What time does to conversations.

use gannet::{CloseReason, Timeouts};

use super::*;

/// An engine whose heartbeat is due at once.
fn hasty(driver: DriverChoice, silence: Duration) -> Engine {
    let mut timeouts = Timeouts::default();
    timeouts.heartbeat = Some(silence);
    // So that nobody is closed who has to wait for a processor.
    timeouts.heartbeats_missed = 100;
    Engine::new().driver(driver).timeouts(timeouts)
}

#[test]
fn a_client_that_answers_pings_lives_and_one_that_does_not_is_closed() {
    for driver in drivers() {
        let rig = Rig::with(Engine::new().driver(driver), |service| {
            service.websocket_heartbeat(Some(Duration::from_millis(500)), 2)
        });
        let mut answers = rig.connect();
        let mut silent = rig.raw();
        silent.0.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        // tungstenite answers pings when it reads; it is the other one's end that ends the reading.
        let waiting = std::thread::spawn(move || {
            let mut pings = 0;
            while let Ok(message) = answers.read() {
                match message {
                    Message::Ping(_) => pings += 1,
                    _ => break,
                }
            }
            pings
        });
        silent.expect(b"\x89\x00\x89\x00");
        let mut rest = Vec::new();
        // A reset is an end too.
        let _ = silent.0.read_to_end(&mut rest);
        assert_eq!(rest, b"");
        while rig.closed(CloseReason::HeartbeatMissed) == 0 {
            std::thread::yield_now();
        }
        assert_eq!(rig.closed(CloseReason::HeartbeatMissed), 1, "the one that answers was not closed");
        rig.running.remote().stop();
        assert!(waiting.join().expect("no panic") >= 2);
    }
}

#[test]
fn a_connection_that_was_silent_while_it_spoke_http_has_a_heartbeat_when_it_speaks_websocket() {
    for driver in drivers() {
        let rig = Rig::with(hasty(driver, Duration::from_millis(10)), |service| service);
        let mut client = rig.stream();
        client.send(b"GET /page HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.expect(b"page");
        // Another connection's pings show that the silence of this one was long enough, on the same clock.
        let mut witness = rig.raw();
        for _ in 0..3 {
            witness.expect(b"\x89\x00");
            witness.send(&frame(Opcode::Pong, b""));
        }
        client.send(request("").as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 101 "), "and HTTP was sent no ping");
        client.expect(b"\x89\x00");
    }
}

#[test]
fn a_conversation_outlives_the_deadlines_of_http() {
    for driver in drivers() {
        let short = Duration::from_millis(10);
        let rig = Rig::with(Engine::new().driver(driver), move |service| {
            service.keep_alive(short).request_timeout(Duration::from_millis(200)).websocket_heartbeat(Some(short), 200)
        });
        let mut client = rig.stream();
        // At once, or the connection may be kept alive for too short a time.
        client.send(format!("GET /page HTTP/1.1\r\nHost: h\r\n\r\n{}", request("")).as_bytes());
        assert!(client.head().starts_with("HTTP/1.1 200 "));
        client.expect(b"page");
        assert!(client.head().starts_with("HTTP/1.1 101 "));
        // Unanswered pings tell the time: the first ones come after 10, 20, 30 ms.
        for _ in 0..30 {
            client.expect(b"\x89\x00");
        }
        client.send(&frame(Opcode::Text, b"still here"));
        let mut next = client.read(2);
        while next == b"\x89\x00" {
            next = client.read(2);
        }
        assert_eq!(next, b"\x81\x0a");
        client.expect(b"still here");
    }
}

#[test]
fn a_server_that_shuts_down_tells_its_clients_that_it_restarts() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut client, ..) = rig.opened();
        let mut raw = rig.raw();
        assert!(matches!(rig.call(), Call::Open(..)));
        rig.running.remote().stop();
        let Message::Close(Some(close)) = read(&mut client) else { panic!("a close frame") };
        assert_eq!(u16::from(close.code), 1012);
        raw.expect(b"\x88\x0f\x03\xf4shutting down");
        raw.send(&frame(Opcode::Close, &1012_u16.to_be_bytes()));
        assert_eq!(raw.0.read(&mut [0]).expect("an end"), 0);
        while client.read().is_ok() {}
        assert!(matches!(rig.call(), Call::Close(Some((1012, _)))));
        assert!(matches!(rig.call(), Call::Close(Some((1012, _)))));
        rig.running.join().expect("it ends well");
    }
}

#[test]
fn the_close_code_of_a_shutdown_can_be_another_one() {
    let engine = Engine::new().driver(drivers()[0]);
    let rig = Rig::with(engine, |service| service.websocket_shutdown_code(CloseCode::GOING_AWAY));
    let (mut client, ..) = rig.opened();
    rig.running.remote().stop();
    let Message::Close(Some(close)) = read(&mut client) else { panic!("a close frame") };
    assert_eq!(u16::from(close.code), 1001);
}
