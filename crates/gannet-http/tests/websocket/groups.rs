//! What goes to many.

use gannet::{CloseReason, Limits};
use gannet_http::websocket::RemoteExt as _;

use super::*;

/// Members on both reactors, two at least on each.
fn members(rig: &Rig) -> Vec<WebSocket<TcpStream>> {
    let (mut members, mut on) = (Vec::new(), [0, 0]);
    while on.iter().any(|count| *count < 2) {
        let (mut client, _, reactor) = rig.opened();
        on[reactor] += 1;
        client.send(Message::text("/join")).expect("it is taken");
        expect_text(&mut client, "joined");
        assert_eq!(rig.call(), Call::Text("/join".to_owned()));
        members.push(client);
    }
    members
}

#[test]
fn a_broadcast_comes_to_every_member_once_and_in_order() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut members = members(&rig);
        let (mut stranger, ..) = rig.opened();
        for number in 0..200 {
            let text = format!("/all {number} {}", "x".repeat(number * 7));
            members[number % 3].send(Message::text(text)).expect("it is taken");
            // The next one is said by another member: when it was heard by this one, its order is given.
            let said = format!("{number} {}", "x".repeat(number * 7));
            members.iter_mut().for_each(|member| expect_text(member, &said));
        }
        let from_outside = rig.running.remote();
        for number in 0..200 {
            from_outside.broadcast_text(rig.group, &number.to_string()).expect("room");
            from_outside.broadcast_binary(rig.group, &[number as u8]).expect("room");
        }
        for member in &mut members {
            for number in 0..200 {
                expect_text(member, &number.to_string());
                assert_eq!(read(member), Message::binary(vec![number as u8]));
            }
        }
        stranger.send(Message::text("alone")).expect("it is taken");
        expect_text(&mut stranger, "alone");
    }
}

#[test]
fn a_member_that_leaves_or_closes_hears_no_more_of_the_group() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut members = members(&rig);
        members[0].send(Message::text("/leave")).expect("it is taken");
        members[0].send(Message::text("left")).expect("it is taken");
        expect_text(&mut members[0], "left");
        let mut closing = rig.raw();
        closing.send(&frame(Opcode::Text, b"/join"));
        closing.expect(b"\x81\x06joined");
        closing.send(&frame(Opcode::Text, b"/close 1000"));
        closing.expect(b"\x88\x0d\x03\xe8as you wish");
        members[1].send(Message::text("/all-binary news")).expect("it is taken");
        for member in &mut members[1..] {
            assert_eq!(read(member), Message::binary(&b"news"[..]));
        }
        members[0].send(Message::text("nothing before")).expect("it is taken");
        expect_text(&mut members[0], "nothing before");
        closing.send(&frame(Opcode::Close, &1000_u16.to_be_bytes()));
        assert_eq!(closing.0.read(&mut [0]).expect("nothing but the end"), 0);
        for member in &mut members[1..] {
            expect_text(member, "somebody left");
        }
    }
}

#[test]
fn a_member_that_does_not_read_is_closed_and_the_others_miss_nothing() {
    for driver in drivers() {
        let mut limits = Limits::default();
        limits.outbox_hard = 512 << 10;
        let rig = Rig::with(Engine::new().driver(driver).limits(limits), |service| service);
        let mut members = members(&rig);
        let mut slow = rig.raw();
        slow.send(&frame(Opcode::Text, b"/join"));
        slow.expect(b"\x81\x06joined");
        let text = "x".repeat(64 << 10);
        let mut sent = 0;
        while rig.closed(CloseReason::Slow) == 0 {
            assert!(sent < 10_000, "the slow one was not closed");
            members[0].send(Message::text(format!("/all {text}"))).expect("it is taken");
            for member in &mut members {
                loop {
                    match read(member) {
                        Message::Text(said) if said.as_str() == text => break,
                        Message::Text(said) => assert_eq!(said.as_str(), "somebody left"),
                        other => panic!("{other:?}"),
                    }
                }
            }
            sent += 1;
        }
    }
}
