//! Streams of Protobuf messages without frames around them.

use gannet_proto::centrifuge::{Command, Commands, DecodeError, Replies, Reply};
use gannet_proto::testing::{Check, encoded};
use gannet_proto::{Codec, FrameError};
use proptest::prelude::*;

use super::drawn::Draw;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn streams_cut_anywhere_are_the_same_messages(seed: u64) {
        let mut draw = Draw::binary(seed);
        let commands: Vec<Command<'static>> = (0..3).map(|_| draw.one()).collect();
        let replies: Vec<Reply<'static>> = (0..3).map(|_| draw.one()).collect();

        let mut stream: Vec<u8> = Vec::new();
        for command in &commands {
            stream.extend(encoded(&Replies::new(), command).unwrap());
        }
        let outcome = Check::new(&Commands::new()).splits(600).rounds(4).seed(seed).run(&stream, |command| format!("{command:?}"));
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(outcome.messages, commands.iter().map(|command| format!("{command:?}")).collect::<Vec<_>>());

        stream.clear();
        for reply in &replies {
            stream.extend(encoded(&Commands::new(), reply).unwrap());
        }
        let outcome = Check::new(&Replies::new()).splits(600).rounds(4).seed(seed).run(&stream, |reply| format!("{reply:?}"));
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(outcome.messages, replies.iter().map(|reply| format!("{reply:?}")).collect::<Vec<_>>());
    }

    #[test]
    fn any_stream_is_the_same_however_it_is_cut(stream in prop::collection::vec(prop_oneof![Just(0_u8), 1..20_u8, any::<u8>()], 0..60)) {
        let outcome = Check::new(&Commands::new().limit(30)).rounds(4).run(&stream, |command| format!("{command:?}"));
        prop_assert!(outcome.largest_need <= 40);
    }
}

#[test]
fn a_length_over_the_limit_is_refused_before_anything_is_reserved() {
    // 2^31, 2^35 - 1, and 2^64 - 1 bytes.
    for stream in [&b"\x80\x80\x80\x80\x08"[..], b"\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"] {
        let outcome = Check::new(&Commands::new()).run(stream, |command| format!("{command:?}"));
        let Some(DecodeError::Frame(FrameError::TooLarge { limit, .. })) = outcome.error else {
            panic!("{:?}", outcome.error)
        };
        assert_eq!(limit, 64 * 1024);
        assert!(outcome.largest_need <= stream.len());
    }
    let within = Check::new(&Commands::new().limit(2)).run(b"\x02\x08\x05\x03", |command| command.id);
    assert_eq!(within.messages, [5]);
    assert_eq!(within.error, Some(FrameError::TooLarge { length: 3, limit: 2 }.into()));
    assert_eq!(
        Check::new(&Replies::new()).run(b"\x81\x80\x40", |reply| reply.id).error,
        Some(FrameError::TooLarge { length: 1024 * 1024 + 1, limit: 1024 * 1024 }.into())
    );
}

#[test]
fn lengths_that_no_length_may_be_end_the_stream() {
    for stream in [&b"\x80\x00"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"] {
        let outcome = Check::new(&Commands::new()).run(stream, |command| format!("{command:?}"));
        assert!(matches!(outcome.error, Some(DecodeError::Length(_))), "{:?}", outcome.error);
    }
}

#[test]
fn a_stream_that_ends_inside_a_command_is_truncated() {
    let outcome = Check::new(&Commands::new()).run(b"\x00\x02\x08", |command| command.is_pong());
    assert_eq!(outcome.messages, [true]);
    assert!(matches!(outcome.error, Some(DecodeError::Frame(FrameError::Truncated { .. }))));
}

#[test]
fn plain_bytes_are_messages_that_were_encoded_before() {
    let mut out = Vec::new();
    Commands::new().encode_payload(b"\x02\x08\x01", &mut out).unwrap();
    Replies::new().encode_payload(b"\x00", &mut out).unwrap();
    assert_eq!(out, b"\x02\x08\x01\x00");
    const { assert!(Commands::TRANSPARENT && Replies::TRANSPARENT) };
}
