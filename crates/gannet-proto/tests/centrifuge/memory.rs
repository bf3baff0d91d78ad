//! How much memory decoding takes, whatever the bytes.

use gannet_proto::centrifuge::{
    Command, ConnectRequest, DecodeError, Format, HistoryRequest, PublishRequest, Request, StreamPosition,
    SubscribeRequest,
};
use gannet_proto::centrifuge::{Publication, Push, PushEvent, Reply};

use gannet_testing::CountingByThread;

use super::*;

#[test]
fn commands_without_maps_and_escapes_are_read_and_written_without_memory() {
    let requests = [
        Request::Empty,
        Request::Publish(PublishRequest { channel: "news".into(), data: br#"{"a":[1,2,"\n"]}"# }),
        Request::Subscribe(SubscribeRequest { channel: "news".into(), epoch: "xyz".into(), ..Default::default() }),
        Request::History(HistoryRequest {
            channel: "news".into(),
            since: Some(StreamPosition { offset: 7, epoch: "xyz".into() }),
            ..Default::default()
        }),
    ];
    for format in FORMATS {
        for (id, request) in (0..).zip(&requests) {
            let command = Command { id, request: request.clone() };
            let mut frame = Vec::with_capacity(1024);
            let push = PushEvent::Publication(Publication { data: b"[1, \"\\n\"]", offset: 9, ..Default::default() });
            let reply = Reply::push(Push { channel: "news".into(), event: push, ..Default::default() });
            let memory = CountingByThread::allocated(|| {
                format.write_command(&mut frame, &command);
                assert_eq!(format.commands(&frame).next(), Some(Ok(command.clone())));
                frame.clear();
                format.write_reply(&mut frame, &reply);
            });
            assert_eq!(memory, 0, "{format:?}: {command:?}");
        }
    }
}

#[test]
fn maps_of_a_command_take_no_more_memory_than_their_limit_allows() {
    // Two bytes for each subscription, the shortest that there are.
    let mut bare = Vec::new();
    for _ in 0..30_000 {
        bare.extend_from_slice(&[0x1a, 0]);
    }
    let mut frame = Vec::new();
    // The command's length, then the request and its length.
    let mut put = |mut number: usize| {
        while number >= 0x80 {
            frame.push(number as u8 | 0x80);
            number >>= 7;
        }
        frame.push(number as u8);
    };
    put(bare.len() + 4);
    put(4 << 3 | 2);
    put(bare.len());
    frame.extend_from_slice(&bare);
    let json = ["{\"connect\":{\"subs\":{", "\"\":{},".repeat(30_000).as_str(), "\"\":{}}}}"].concat();

    for (format, frame) in [(Format::Json, json.as_bytes()), (Format::Protobuf, &frame)] {
        let memory = CountingByThread::allocated(|| {
            let error = commands(format, frame).expect_err("there are too many entries");
            assert_eq!(error, DecodeError::TooMany { limit: 10_000 });
        });
        // The list doubles as it grows, and what it had is counted again.
        let entry = size_of::<(std::borrow::Cow<'_, str>, SubscribeRequest<'_>)>();
        assert!(entry <= 176, "an entry has {entry} bytes");
        assert!(memory <= 4 * 10_000 * entry, "{format:?}: {memory} bytes");
    }
    assert!(size_of::<Publication<'_>>() <= 176 && size_of::<ConnectRequest<'_>>() <= 256);
}

#[test]
fn a_long_nest_of_arrays_takes_no_memory_and_no_stack() {
    let deep = ["{\"id\":1,\"rpc\":{\"data\":", &"[".repeat(1_000_000)].concat();
    let memory = CountingByThread::allocated(|| {
        let error = commands(Format::Json, deep.as_bytes()).expect_err("it is too deep");
        assert!(matches!(error, DecodeError::TooDeep { limit: 512, .. }), "{error:?}");
    });
    assert_eq!(memory, 0);
}
