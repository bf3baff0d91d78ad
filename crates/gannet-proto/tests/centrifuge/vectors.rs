//! Messages written out by hand, from the numbers and names of the protocol.

use gannet_proto::centrifuge::*;

use super::*;

/// Commands as JSON and as Protobuf, and what they say.
fn command_vectors() -> Vec<(&'static str, &'static str, Command<'static>)> {
    let a = || "a".into();
    let subscribe = SubscribeRequest {
        channel: "news".into(),
        recover: true,
        epoch: "e".into(),
        offset: 7,
        positioned: true,
        recoverable: true,
        join_leave: true,
        flag: SubscribeRequest::STRICT,
        ..Default::default()
    };
    let recovering = SubscribeRequest { recover: true, epoch: "e".into(), offset: 300, ..Default::default() };
    let (data, name) = (&br#"{"a":1}"#[..], "js".into());
    let since = Some(StreamPosition { offset: 1, epoch: "e".into() });
    vec![
        ("{}", "00", Command::default()),
        (
            r#"{"id":1,"connect":{"token":"t","data":{"a":1},"name":"js"}}"#,
            "14 08 01 22 10 0a 01 't' 12 07 '{\"a\":1}' 22 02 'js'",
            Command {
                id: 1,
                request: Request::Connect(ConnectRequest { token: "t".into(), data, name, ..Default::default() }),
            },
        ),
        (
            r#"{"id":1,"connect":{"subs":{"a":{"recover":true,"epoch":"e","offset":300}},"headers":{"x":"y"},"flag":1}}"#,
            "1d 08 01 22 19 1a 0d 0a 01 'a' 12 08 18 01 32 01 'e' 38 ac 02 32 06 0a 01 'x' 12 01 'y' 38 01",
            Command {
                id: 1,
                request: Request::Connect(ConnectRequest {
                    subs: vec![(a(), recovering)],
                    headers: vec![("x".into(), "y".into())],
                    flag: 1,
                    ..Default::default()
                }),
            },
        ),
        (
            r#"{"id":2,"subscribe":{"channel":"news","recover":true,"epoch":"e","offset":7,"positioned":true,"recoverable":true,"join_leave":true,"flag":2}}"#,
            "19 08 02 2a 15 0a 04 'news' 18 01 32 01 'e' 38 07 48 01 50 01 58 01 70 02",
            Command { id: 2, request: Request::Subscribe(subscribe) },
        ),
        (
            r#"{"id":2,"subscribe":{"tf":{"op":"not"},"type":1}}"#,
            "14 08 02 2a 10 6a 0c '{\"op\":\"not\"}' 78 01",
            Command {
                id: 2,
                request: Request::Subscribe(SubscribeRequest {
                    tag_filter: br#"{"op":"not"}"#,
                    kind: 1,
                    ..Default::default()
                }),
            },
        ),
        (
            r#"{"id":3,"unsubscribe":{"channel":"news"}}"#,
            "0a 08 03 32 06 0a 04 'news'",
            Command { id: 3, request: Request::Unsubscribe(UnsubscribeRequest { channel: "news".into() }) },
        ),
        (
            r#"{"id":4,"publish":{"channel":"a","data":{}}}"#,
            "0b 08 04 3a 07 0a 01 'a' 12 02 '{}'",
            Command { id: 4, request: Request::Publish(PublishRequest { channel: a(), data: b"{}" }) },
        ),
        (
            r#"{"id":5,"presence":{"channel":"a"}}"#,
            "07 08 05 42 03 0a 01 'a'",
            Command { id: 5, request: Request::Presence(PresenceRequest { channel: a() }) },
        ),
        (
            r#"{"id":6,"presence_stats":{"channel":"a"}}"#,
            "07 08 06 4a 03 0a 01 'a'",
            Command { id: 6, request: Request::PresenceStats(PresenceStatsRequest { channel: a() }) },
        ),
        (
            r#"{"id":7,"history":{"channel":"a","limit":-1,"since":{"offset":1,"epoch":"e"},"reverse":true}}"#,
            "1b 08 07 52 17 0a 01 'a' 38 ff ff ff ff ff ff ff ff ff 01 42 05 08 01 12 01 'e' 48 01",
            Command {
                id: 7,
                request: Request::History(HistoryRequest { channel: a(), limit: -1, since, reverse: true }),
            },
        ),
        (r#"{"id":8,"ping":{}}"#, "04 08 08 5a 00", Command { id: 8, request: Request::Ping }),
        (
            r#"{"send":{"data":{}}}"#,
            "06 62 04 0a 02 '{}'",
            Command { id: 0, request: Request::Send(SendRequest { data: b"{}" }) },
        ),
        (
            r#"{"id":9,"rpc":{"data":[],"method":"sum"}}"#,
            "0d 08 09 6a 09 0a 02 '[]' 12 03 'sum'",
            Command { id: 9, request: Request::Rpc(RpcRequest { data: b"[]", method: "sum".into() }) },
        ),
        (
            r#"{"id":10,"refresh":{"token":"t"}}"#,
            "07 08 0a 72 03 0a 01 't'",
            Command { id: 10, request: Request::Refresh(RefreshRequest { token: "t".into() }) },
        ),
        (
            r#"{"id":300,"sub_refresh":{"channel":"a","token":"t"}}"#,
            "0b 08 ac 02 7a 06 0a 01 'a' 12 01 't'",
            Command { id: 300, request: Request::SubRefresh(SubRefreshRequest { channel: a(), token: "t".into() }) },
        ),
    ]
}

fn push(event: PushEvent<'static>) -> Push<'static> {
    Push { channel: "c".into(), event, ..Push::default() }
}

fn info(user: &'static str, client: &'static str) -> ClientInfo<'static> {
    ClientInfo { user: user.into(), client: client.into(), ..Default::default() }
}

/// Pushes as JSON and as Protobuf without their lengths, and what they say.
fn push_vectors() -> Vec<(&'static str, &'static str, Push<'static>)> {
    let tags = vec![("k".into(), "v".into())];
    let all_info = ClientInfo { conn_info: br#"{"a":1}"#, chan_info: b"[]", ..info("u", "x") };
    let connect = Connect {
        client: "x".into(),
        version: "0".into(),
        data: b"{}",
        subs: vec![("c".into(), SubscribeResult { recoverable: true, ..Default::default() })],
        expires: true,
        ttl: 60,
        ping: 25,
        pong: true,
        session: "s".into(),
        node: "n".into(),
        time: 1,
    };
    let subscribe = Subscribe { recoverable: true, epoch: "e".into(), offset: 2, positioned: true, data: b"{}" };
    vec![
        ("{}", "", Push::default()),
        (
            r#"{"channel":"c","pub":{"data":{},"offset":1}}"#,
            "12 01 'c' 22 06 22 02 '{}' 30 01",
            push(PushEvent::Publication(Publication { data: b"{}", offset: 1, ..Default::default() })),
        ),
        (
            r#"{"channel":"c","pub":{"data":{},"info":{"user":"","client":"x"},"tags":{"k":"v"},"time":1}}"#,
            "12 01 'c' 22 13 22 02 '{}' 2a 03 12 01 'x' 3a 06 0a 01 'k' 12 01 'v' 48 01",
            push(PushEvent::Publication(Publication {
                data: b"{}",
                info: Some(info("", "x")),
                tags,
                time: 1,
                ..Default::default()
            })),
        ),
        (
            r#"{"id":-1,"join":{"info":{"user":"u","client":"x","conn_info":{"a":1},"chan_info":[]}}}"#,
            "08 ff ff ff ff ff ff ff ff ff 01 2a 15 0a 13 0a 01 'u' 12 01 'x' 1a 07 '{\"a\":1}' 22 02 '[]'",
            Push { id: -1, event: PushEvent::Join(Join { info: Some(all_info) }), ..Default::default() },
        ),
        (
            r#"{"channel":"c","leave":{"info":{"user":"","client":""}}}"#,
            "12 01 'c' 32 02 0a 00",
            push(PushEvent::Leave(Leave { info: Some(ClientInfo::default()) })),
        ),
        (
            r#"{"channel":"c","unsubscribe":{"code":2500,"reason":"insufficient state"}}"#,
            "12 01 'c' 3a 17 10 c4 13 1a 12 'insufficient state'",
            push(PushEvent::Unsubscribe(UnsubscribeCode::InsufficientState.into())),
        ),
        (
            r#"{"message":{"data":1}}"#,
            "42 03 0a 01 '1'",
            Push { event: PushEvent::Message(MessagePush { data: b"1" }), ..Default::default() },
        ),
        (
            r#"{"channel":"c","subscribe":{"recoverable":true,"epoch":"e","offset":2,"positioned":true,"data":{}}}"#,
            "12 01 'c' 4a 0d 08 01 22 01 'e' 28 02 30 01 3a 02 '{}'",
            push(PushEvent::Subscribe(subscribe)),
        ),
        (
            r#"{"connect":{"client":"x","version":"0","data":{},"subs":{"c":{"recoverable":true}},"expires":true,"ttl":60,"ping":25,"pong":true,"session":"s","node":"n","time":1}}"#,
            "52 23 0a 01 'x' 12 01 '0' 1a 02 '{}' 22 07 0a 01 'c' 12 02 18 01 28 01 30 3c 38 19 40 01 4a 01 's' 52 01 'n' 58 01",
            Push { event: PushEvent::Connect(connect), ..Default::default() },
        ),
        (
            r#"{"disconnect":{"code":3001,"reason":"shutdown","reconnect":true}}"#,
            "5a 0f 08 b9 17 12 08 'shutdown' 18 01",
            Push { event: PushEvent::Disconnect(DisconnectCode::Shutdown.into()), ..Default::default() },
        ),
        (
            r#"{"refresh":{"expires":true,"ttl":60}}"#,
            "62 04 08 01 10 3c",
            Push { event: PushEvent::Refresh(Refresh { expires: true, ttl: 60 }), ..Default::default() },
        ),
    ]
}

/// Replies as JSON and as Protobuf, and what they say.
fn reply_vectors() -> Vec<(&'static str, &'static str, Reply<'static>)> {
    let publication = |data: &'static str, offset| Publication { data: data.as_bytes(), offset, ..Default::default() };
    let reply = |id, body| Reply { id, body };
    let subscribed =
        SubscribeResult { recoverable: true, epoch: "e".into(), offset: 5, positioned: true, ..Default::default() };
    let connect = ConnectResult {
        client: "x".into(),
        version: "0".into(),
        expires: true,
        ttl: 60,
        data: b"{}",
        subs: vec![("c".into(), subscribed.clone())],
        ping: 25,
        pong: true,
        session: "s".into(),
        node: "n".into(),
        ..Default::default()
    };
    let recovered = SubscribeResult {
        publications: vec![publication("1", 6), publication("2", 7)],
        recovered: true,
        was_recovering: true,
        ..subscribed
    };
    let present = PresenceResult { presence: vec![("x".into(), info("u", "x"))] };
    let refreshed = RefreshResult { client: "x".into(), version: "0".into(), expires: true, ttl: 60 };
    let history = HistoryResult { publications: vec![publication("1", 1)], epoch: "e".into(), offset: 1 };
    vec![
        ("{}", "00", Reply::ping()),
        (
            r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#,
            "19 08 03 12 15 08 67 12 11 'permission denied'",
            reply(3, ReplyBody::Error(ErrorCode::PermissionDenied.into())),
        ),
        (
            r#"{"id":3,"error":{"code":100,"message":"internal server error","temporary":true}}"#,
            "1f 08 03 12 1b 08 64 12 15 'internal server error' 18 01",
            reply(3, ReplyBody::Error(ErrorCode::Internal.into())),
        ),
        (
            r#"{"push":{"channel":"c","pub":{"data":{},"offset":1}}}"#,
            "0d 22 0b 12 01 'c' 22 06 22 02 '{}' 30 01",
            Reply::push(push(PushEvent::Publication(publication("{}", 1)))),
        ),
        (
            r#"{"id":1,"connect":{"client":"x","version":"0","expires":true,"ttl":60,"data":{},"subs":{"c":{"recoverable":true,"epoch":"e","offset":5,"positioned":true}},"ping":25,"pong":true,"session":"s","node":"n"}}"#,
            "2c 08 01 2a 28 0a 01 'x' 12 01 '0' 18 01 20 3c 2a 02 '{}' 32 0e 0a 01 'c' 12 09 18 01 32 01 'e' 48 05 50 01 38 19 40 01 4a 01 's' 52 01 'n'",
            reply(1, ReplyBody::Connect(connect)),
        ),
        (r#"{"id":2,"subscribe":{}}"#, "04 08 02 32 00", reply(2, ReplyBody::Subscribe(SubscribeResult::default()))),
        (
            r#"{"id":2,"subscribe":{"recoverable":true,"epoch":"e","publications":[{"data":1,"offset":6},{"data":2,"offset":7}],"recovered":true,"offset":5,"positioned":true,"was_recovering":true}}"#,
            "1f 08 02 32 1b 18 01 32 01 'e' 3a 05 22 01 '1' 30 06 3a 05 22 01 '2' 30 07 40 01 48 05 50 01 60 01",
            reply(2, ReplyBody::Subscribe(recovered)),
        ),
        (r#"{"id":3,"unsubscribe":{}}"#, "04 08 03 3a 00", reply(3, ReplyBody::Unsubscribe)),
        (r#"{"id":3,"publish":{}}"#, "04 08 03 42 00", reply(3, ReplyBody::Publish)),
        (
            r#"{"id":5,"presence":{"presence":{}}}"#,
            "04 08 05 4a 00",
            reply(5, ReplyBody::Presence(PresenceResult::default())),
        ),
        (
            r#"{"id":5,"presence":{"presence":{"x":{"user":"u","client":"x"}}}}"#,
            "11 08 05 4a 0d 0a 0b 0a 01 'x' 12 06 0a 01 'u' 12 01 'x'",
            reply(5, ReplyBody::Presence(present)),
        ),
        (
            r#"{"id":6,"presence_stats":{"num_clients":0,"num_users":0}}"#,
            "04 08 06 52 00",
            reply(6, ReplyBody::PresenceStats(PresenceStatsResult::default())),
        ),
        (
            r#"{"id":7,"history":{"publications":[],"epoch":"","offset":0}}"#,
            "04 08 07 5a 00",
            reply(7, ReplyBody::History(HistoryResult::default())),
        ),
        (
            r#"{"id":7,"history":{"publications":[{"data":1,"offset":1}],"epoch":"e","offset":1}}"#,
            "10 08 07 5a 0c 0a 05 22 01 '1' 30 01 12 01 'e' 18 01",
            reply(7, ReplyBody::History(history)),
        ),
        (r#"{"id":8,"ping":{}}"#, "04 08 08 62 00", reply(8, ReplyBody::Ping)),
        (
            r#"{"id":9,"rpc":{"data":"x"}}"#,
            "09 08 09 6a 05 0a 03 '\"x\"'",
            reply(9, ReplyBody::Rpc(RpcResult { data: br#""x""# })),
        ),
        (
            r#"{"id":10,"refresh":{"client":"x","version":"0","expires":true,"ttl":60}}"#,
            "0e 08 0a 72 0a 0a 01 'x' 12 01 '0' 18 01 20 3c",
            reply(10, ReplyBody::Refresh(refreshed)),
        ),
        (
            r#"{"id":11,"sub_refresh":{"expires":true,"ttl":60}}"#,
            "08 08 0b 7a 04 08 01 10 3c",
            reply(11, ReplyBody::SubRefresh(SubRefreshResult { expires: true, ttl: 60 })),
        ),
    ]
}

/// Checks that a message has these bytes, which `write` writes; a difference is shown with the JSON of the message.
fn check_written(expected: &[u8], name: &str, write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    assert!(out == expected, "{name}\nwritten  {}\nexpected {}", hex(&out), hex(expected));
}

#[test]
fn commands_have_the_bytes_of_the_protocol() {
    for (text, binary, command) in command_vectors() {
        for (format, expected) in [(Format::Json, text.as_bytes().to_vec()), (Format::Protobuf, bytes(binary))] {
            check_written(&expected, text, |out| format.write_command(out, &command));
            assert_eq!(commands(format, &expected), Ok(vec![command.clone()]), "{text}");
        }
    }
}

#[test]
fn replies_have_the_bytes_of_the_protocol() {
    for (text, binary, reply) in reply_vectors() {
        for (format, expected) in [(Format::Json, text.as_bytes().to_vec()), (Format::Protobuf, bytes(binary))] {
            check_written(&expected, text, |out| format.write_reply(out, &reply));
            assert_eq!(replies(format, &expected), Ok(vec![reply.clone()]), "{text}");
        }
    }
}

#[test]
fn pushes_have_the_bytes_of_the_protocol_alone_and_in_replies() {
    for (text, binary, push) in push_vectors() {
        let binary = bytes(binary);
        let framed = [&[binary.len() as u8][..], &binary].concat();
        for (format, expected) in [(Format::Json, text.as_bytes().to_vec()), (Format::Protobuf, framed)] {
            check_written(&expected, text, |out| format.write_push(out, &push));
            assert_eq!(format.pushes(&expected).collect::<Vec<_>>(), [Ok(push.clone())], "{text}");
        }
        let reply = Reply::push(push);
        let framed = [&[binary.len() as u8 + 2, 4 << 3 | 2, binary.len() as u8][..], &binary].concat();
        let text = format!("{{\"push\":{text}}}");
        for (format, expected) in [(Format::Json, text.as_bytes().to_vec()), (Format::Protobuf, framed)] {
            check_written(&expected, &text, |out| format.write_reply(out, &reply));
            assert_eq!(replies(format, &expected), Ok(vec![reply.clone()]), "{text}");
        }
    }
}

#[test]
fn bare_requests_to_connect_and_to_emulate_have_no_length() {
    let request = ConnectRequest { token: "t".into(), ..Default::default() };
    for (format, expected) in [(Format::Json, br#"{"token":"t"}"#.to_vec()), (Format::Protobuf, bytes("0a 01 't'"))] {
        check_written(&expected, "connect", |out| format.write_connect_request(out, &request));
        assert_eq!(format.connect_request(&expected), Ok(request.clone()));
    }
    let data = "{\"id\":1}\n{}".as_bytes().into();
    let request = EmulationRequest { node: "n".into(), session: "s".into(), data };
    let text = br#"{"node":"n","session":"s","data":"{\"id\":1}\n{}"}"#.to_vec();
    let binary = bytes("0a 01 'n' 12 01 's' 1a 0b '{\"id\":1}' 0a '{}'");
    for (format, expected) in [(Format::Json, text), (Format::Protobuf, binary)] {
        check_written(&expected, "emulation", |out| format.write_emulation_request(out, &request));
        assert_eq!(format.emulation_request(&expected), Ok(request.clone()));
        let carried = commands(Format::Json, &request.data);
        assert_eq!(carried.map(|commands| commands.len()), Ok(2));
    }
    // Nothing at all is a message without fields in Protobuf, and no JSON.
    assert_eq!(protobuf::connect_request(b""), Ok(ConnectRequest::default()));
    assert!(json::connect_request(b"").is_err());
}

#[test]
fn several_messages_of_a_frame_are_read_in_order() {
    let text: Vec<&str> = command_vectors().into_iter().map(|(text, ..)| text).collect();
    let binary: Vec<u8> = command_vectors().iter().flat_map(|(_, binary, _)| bytes(binary)).collect();
    let all: Vec<Command<'_>> = command_vectors().into_iter().map(|(.., command)| command).collect();
    assert_eq!(commands(Format::Json, text.join("\n").as_bytes()), Ok(all.clone()));
    assert_eq!(commands(Format::Json, [text.join("\n").as_str(), "\n"].concat().as_bytes()), Ok(all.clone()));
    assert_eq!(commands(Format::Protobuf, &binary), Ok(all));
}

#[test]
fn a_ping_and_its_answer_are_empty() {
    for format in FORMATS {
        check_written(format.ping(), "ping", |out| format.write_reply(out, &Reply::ping()));
        assert!(commands(format, format.ping()).is_ok_and(|commands| commands[0].is_pong()));
        assert!(replies(format, format.ping()).is_ok_and(|replies| replies[0].is_ping()));
    }
    assert!(!Command { id: 1, request: Request::Empty }.is_pong());
    assert!(!Command { id: 0, request: Request::Ping }.is_pong());
}
