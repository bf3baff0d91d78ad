//! Commands as arrays, and what both kinds of commands have in common.

use gannet_proto::resp::{Args, Commands, CommandsState, Error, ProtocolError, Reply};
use gannet_proto::{Codec, Decoded, FrameError};
use proptest::prelude::*;

use super::{Words, check_cuts, commands, words};

/// A stream, the commands in it, and the error that ends it.
type Seen = (&'static [u8], &'static [&'static [&'static str]], Option<&'static str>);

/// What a Redis 7.0 server made of streams.
const SEEN: &[Seen] = &[
    (b"*1\r\n$4\r\nPING\r\n", &[&["PING"]], None),
    (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n", &[&["ECHO", ""], &["PING"]], None),
    (b"*1\r\n$4\r\nPINGxxPING\r\n", &[&["PING"], &["PING"]], None),
    (b"*1\rX$4\rXPINGabPING\r\n", &[&["PING"], &["PING"]], None),
    (b"*0\r\nPING\r\n", &[&[], &["PING"]], None),
    (b"*0\rXPING\r\n", &[&[], &["PING"]], None),
    (b"*-1\r\nPING\r\n", &[&[], &["PING"]], None),
    (b"*-9223372036854775808\r\nPING\r\n", &[&[], &["PING"]], None),
    (b"*-9223372036854775809\r\nPING\r\n", &[], Some("invalid multibulk length")),
    (b"*-0\r\nPING\r\n", &[], Some("invalid multibulk length")),
    (b"*01\r\nPING\r\n", &[], Some("invalid multibulk length")),
    (b"*+1\r\n", &[], Some("invalid multibulk length")),
    (b"* 1\r\n", &[], Some("invalid multibulk length")),
    (b"*1 \r\n", &[], Some("invalid multibulk length")),
    (b"*1x\r\n", &[], Some("invalid multibulk length")),
    (b"*\r\n", &[], Some("invalid multibulk length")),
    (b"*\xff\r\n", &[], Some("invalid multibulk length")),
    (b"*2147483648\r\n", &[], Some("invalid multibulk length")),
    (b"*9223372036854775808\r\n", &[], Some("invalid multibulk length")),
    (b"*1\r\n$-1\r\n", &[], Some("invalid bulk length")),
    (b"*1\r\n$04\r\nPING\r\n", &[], Some("invalid bulk length")),
    (b"*1\r\n$\r\n", &[], Some("invalid bulk length")),
    (b"*1\r\n$4x\r\n", &[], Some("invalid bulk length")),
    (b"*1\r\n$536870913\r\n", &[], Some("invalid bulk length")),
    (b"*1\r\n\r\n", &[], Some("expected '$', got ' '")),
    (b"*1\r\n\n\r\n", &[], Some("expected '$', got ' '")),
    (b"*1\r\n:1\r\n", &[], Some("expected '$', got ':'")),
    (b"*2\r\n$4\r\nECHO\r\nPING\r\n", &[], Some("expected '$', got 'P'")),
    (b"PING\r\n*1\r\nPING\r\n", &[&["PING"]], Some("expected '$', got 'P'")),
];

#[test]
fn a_stream_means_what_it_means_to_redis() {
    for &(stream, expected, error) in SEEN {
        let outcome = commands(&Commands::new(), stream);
        let expected: Vec<Words> =
            expected.iter().map(|words| words.iter().map(|word| word.as_bytes().to_vec()).collect()).collect();
        assert_eq!(outcome.messages, expected, "{}", stream.escape_ascii());
        let seen = outcome.error.map(|error| error.to_string());
        assert_eq!(seen, error.map(|text| format!("Protocol error: {text}")), "{}", stream.escape_ascii());
        check_cuts(&Commands::new(), stream, &[], words);
    }
}

#[test]
fn what_stands_where_a_bulk_string_should_is_shown_on_one_line_whatever_it_is() {
    let shown = |got| ProtocolError::NotBulk { got }.to_string();
    assert_eq!(shown(b'\''), "Protocol error: expected '$', got '''");
    assert_eq!(shown(b'\n'), "Protocol error: expected '$', got ' '");
    assert_eq!(shown(0xff), "Protocol error: expected '$', got '\u{ff}'");
}

#[test]
fn a_line_with_a_number_may_have_64_kib() {
    let refused = |mut stream: Vec<u8>, digits: usize| {
        stream.resize(stream.len() + digits, b'1');
        let error = commands(&Commands::new(), &stream).error;
        stream.extend_from_slice(b"\r\n");
        (error, commands(&Commands::new(), &stream).error)
    };
    let truncated = |have| Some(Error::Frame(FrameError::Truncated { have }));
    let error = |error: ProtocolError| Some(Error::Protocol(error));

    assert_eq!(refused(b"*".to_vec(), 65_535), (truncated(65_536), error(ProtocolError::InvalidCount)));
    let too_big = error(ProtocolError::CountTooBig);
    assert_eq!(too_big.as_ref().unwrap().to_string(), "Protocol error: too big mbulk count string");
    assert_eq!(refused(b"*".to_vec(), 65_536), (too_big, too_big));

    let start = b"*1\r\n$".to_vec();
    assert_eq!(refused(start.clone(), 65_535), (truncated(65_540), error(ProtocolError::InvalidLength)));
    let too_big = error(ProtocolError::LengthTooBig);
    assert_eq!(too_big.as_ref().unwrap().to_string(), "Protocol error: too big bulk count string");
    assert_eq!(refused(start, 65_536), (too_big, too_big));
}

#[test]
fn a_word_over_its_limit_is_refused_before_it_arrives() {
    let codec = Commands::new().max_bulk(3);
    assert_eq!(commands(&codec, b"*1\r\n$3\r\nabc\r\n").messages, [[b"abc"]]);
    assert_eq!(commands(&codec, b"*1\r\n$4\r\n").error, Some(ProtocolError::InvalidLength.into()));
}

#[test]
fn more_words_than_the_limit_are_refused_before_they_arrive() {
    let codec = Commands::new().max_args(2);
    assert_eq!(commands(&codec, b"*2\r\n$0\r\n\r\n$0\r\n\r\n").messages, [[b"", b""]]);
    assert_eq!(commands(&codec, b"*3\r\n").error, Some(ProtocolError::InvalidCount.into()));
    assert_eq!(commands(&codec, b"*-3\r\n").messages, [Words::new()]);

    let refused = Some(ProtocolError::InvalidCount.into());
    assert_eq!(commands(&Commands::default(), b"*1048577\r\n").error, refused);
    assert_eq!(commands(&Commands::new().max_args(usize::MAX), b"*2147483648\r\n").error, refused);
}

#[test]
fn a_command_over_the_limit_on_all_of_it_is_refused_at_the_word_that_goes_over() {
    let stream = b"*2\r\n$1\r\na\r\n$3\r\nabc\r\n";
    assert_eq!(stream.len(), 20);
    assert_eq!(commands(&Commands::new().max_total(20), stream).messages.len(), 1);
    for seen in [15, 20] {
        let error = commands(&Commands::new().max_total(19), &stream[..seen]).error;
        assert_eq!(error, Some(Error::Frame(FrameError::TooLarge { length: 20, limit: 19 })));
    }
    check_cuts(&Commands::new().max_total(19), stream, &[], words);
}

#[test]
fn a_word_that_is_not_there_yet_is_asked_for_as_a_whole() {
    let mut state = Default::default();
    let mut received = b"*2\r\n$3\r\nGET\r\n$100\r\nkey".to_vec();
    let decoded = Commands::new().decode(&mut state, &mut received).unwrap();
    assert_eq!(decoded, Decoded::Partial { need: 4 + 9 + 6 + 100 + 2 });
}

#[test]
fn a_stream_that_ends_inside_a_command_is_cut_short() {
    for stream in [&b"*1\r\n$4\r\nPIN"[..], b"*1", b"PING"] {
        let error = commands(&Commands::new(), stream).error;
        assert_eq!(error, Some(Error::Frame(FrameError::Truncated { have: stream.len() })));
    }
}

#[test]
fn a_command_may_have_any_number_of_words() {
    let stream = format!("*1000\r\n{}", "$4\r\nword\r\n".repeat(1_000));
    let mut received = stream.clone().into_bytes();
    let many: Args<'_> = std::iter::repeat_n(&b"word"[..], 1_000).collect();
    let decoded = Commands::new().decode(&mut Default::default(), &mut received).unwrap();
    assert_eq!(decoded, Decoded::Message { message: many, consumed: stream.len() });
    check_cuts(&Commands::new(), stream.as_bytes(), &[3, 1_000, 5_000], words);
}

#[test]
fn a_connection_is_remembered_in_24_bytes() {
    assert!(size_of::<<Commands as Codec>::State>() <= 24);
}

#[test]
fn replies_that_a_writer_wrote_pass_the_codec_as_they_are() {
    let mut out = Vec::new();
    assert_eq!(Commands::new().encode(Reply::Written(&[b"+O", b"K\r\n"]), &mut out), Ok(()));
    assert_eq!(Commands::new().encode_payload(b":1\r\n", &mut out), Ok(()));
    assert_eq!(out, b"+OK\r\n:1\r\n");
    const { assert!(Commands::TRANSPARENT) };
}

/// Bytes of which many mean something.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => "\\*[0-3]\r\n",
        6 => "\\$[0-3]\r\n",
        6 => "[a-c]{1,3}\r\n",
        3 => "[\r\n'\" \\\\x]{1,4}",
        1 => "[*$][-+0-9]{0,22}\r",
        1 => "[a-z*$: \0]{1,6}",
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        stream in noise(),
        cuts in prop::collection::vec(any::<u16>(), 0..12),
        (bulk, args, inline, total) in (0_usize..5, 0_usize..5, 0_usize..20, 0_usize..60),
    ) {
        check_cuts(&Commands::new(), &stream, &cuts, words);
        let narrow = Commands::new().max_bulk(bulk).max_args(args).max_inline(inline).max_total(total);
        check_cuts(&narrow, &stream, &cuts, words);
    }
}

#[test]
fn who_has_not_authenticated_may_send_ten_words_of_16_kib() {
    let decode = |mut bytes: Vec<u8>| {
        let mut state = CommandsState::default();
        state.set_unauthenticated(true);
        let result =
            Commands::new().decode(&mut state, &mut bytes).map(|decoded| matches!(decoded, Decoded::Message { .. }));
        result.map_err(|error| error.to_string())
    };
    let word = |length: usize| format!("*1\r\n${length}\r\n{}\r\n", "x".repeat(length)).into_bytes();
    let words = |count: usize| format!("*{count}\r\n{}", "$1\r\nx\r\n".repeat(count)).into_bytes();
    assert_eq!(decode(word(16 * 1024)), Ok(true));
    assert_eq!(decode(word(16 * 1024 + 1)), Err("Protocol error: unauthenticated bulk length".to_owned()));
    assert_eq!(decode(words(10)), Ok(true));
    assert_eq!(decode(words(11)), Err("Protocol error: unauthenticated multibulk length".to_owned()));
    // It holds for the next command too.
    let mut state = CommandsState::default();
    state.set_unauthenticated(true);
    let (mut first, mut second) = (words(1), words(11));
    assert!(Commands::new().decode(&mut state, &mut first).is_ok());
    assert!(Commands::new().decode(&mut state, &mut second).is_err());
    state.set_unauthenticated(false);
    assert!(Commands::new().decode(&mut state, &mut second).is_ok());
}
