//! What the module for the tests of codecs finds in codecs that are wrong.

use gannet_proto::testing::{Check, encoded, is_same_error};
use gannet_proto::{Codec, Decoded, FrameError, Sink, length_prefixed, lines};

/// Messages of three bytes, wrong in a way of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Triples {
    /// Not wrong.
    #[default]
    Right,
    /// Takes what came, however little it is.
    TakesWhatCame,
    /// Asks for more than it needs.
    Greedy,
    /// Asks for as much as it has.
    NeedsNothing,
    /// Takes nothing.
    TakesNothing,
    /// Takes more than there is.
    TakesTooMuch,
    /// Changes the next message.
    ChangesTheNext,
    /// Remembers how often it was asked.
    Counts,
    /// Refuses a message that came in one piece.
    RefusesWhole,
    /// Writes before it fails.
    WritesAndFails,
}

impl Codec for Triples {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [u8];
    type Error = FrameError;
    type State = usize;

    fn decode<'a>(&self, calls: &mut usize, input: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        *calls += 1;
        let have = input.len();
        match self {
            Self::TakesWhatCame if have < 3 => return Ok(Decoded::Message { message: input, consumed: have }),
            Self::Greedy if have < 3 => return Ok(Decoded::Partial { need: 4 }),
            Self::NeedsNothing if have < 3 => return Ok(Decoded::Partial { need: have }),
            Self::TakesNothing => return Ok(Decoded::Taken { consumed: 0 }),
            Self::TakesTooMuch => return Ok(Decoded::Message { message: input, consumed: have + 1 }),
            Self::ChangesTheNext if have > 3 => input[3] ^= 1,
            Self::RefusesWhole if *calls == 1 && have >= 3 => {
                return Err(FrameError::TooLarge { length: have as u64, limit: 2 });
            }
            _ => {}
        }
        if have < 3 {
            return Ok(Decoded::Partial { need: 3 });
        }
        let message = if *self == Self::Counts { &input[..*calls % 3] } else { &input[..3] };
        Ok(Decoded::Message { message, consumed: 3 })
    }

    fn encode(&self, message: &[u8], out: &mut impl Sink) -> Result<(), FrameError> {
        out.put(message);
        if *self == Self::WritesAndFails { Err(FrameError::NoPayload) } else { Ok(()) }
    }
}

fn fault_of(codec: Triples) -> String {
    let check = || Check::new(&codec).seed(1).run(b"abcdefghi", <[u8]>::to_vec);
    let panic = std::panic::catch_unwind(check).expect_err("it is wrong");
    // A text without arguments is no `String`.
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("panics have texts")
}

#[test]
fn a_codec_that_is_right_gives_its_messages_and_the_most_that_it_asked_for() {
    let outcome = Check::new(&Triples::Right).run(b"abcdefgh", <[u8]>::to_vec);
    assert_eq!(outcome.messages, [b"abc", b"def"]);
    assert_eq!(outcome.error, Some(FrameError::Truncated { have: 2 }));
    assert_eq!(outcome.largest_need, 3);
}

#[test]
fn codecs_that_break_their_contract_are_caught() {
    let faults = [
        (Triples::TakesWhatCame, "other messages where the stream is cut at every byte"),
        (Triples::Greedy, "a message in 3 bytes, but the codec needed 4"),
        (Triples::NeedsNothing, "the codec needs 1 bytes and was given 1"),
        (Triples::TakesNothing, "the codec took 0 of 9 bytes"),
        (Triples::TakesTooMuch, "a message took 10 of 9 bytes"),
        (Triples::ChangesTheNext, "the codec changed what follows a message"),
        (Triples::Counts, "other messages where the stream is cut"),
        (Triples::RefusesWhole, "other messages where the stream is cut"),
    ];
    for (codec, fault) in faults {
        let found = fault_of(codec);
        assert!(found.contains(fault), "{codec:?}: {found}");
    }
}

#[test]
fn a_failure_of_random_cuts_names_the_seed_that_repeats_it() {
    let check = || Check::new(&Triples::TakesWhatCame).seed(7).run(b"ab", <[u8]>::to_vec);
    let whole = std::panic::catch_unwind(check).expect_err("it is wrong");
    assert!(whole.downcast_ref::<String>().is_some_and(|text| text.contains("at every byte")));

    /// Wrong only where a stream comes in four pieces or more.
    #[derive(Default)]
    struct Fourth;
    impl Codec for Fourth {
        type Message<'a> = usize;
        type Outgoing<'a> = ();
        type Error = FrameError;
        type State = usize;

        fn decode(&self, calls: &mut usize, input: &mut [u8]) -> Result<Decoded<usize>, FrameError> {
            *calls += 1;
            let is_whole = input.len() == 40;
            let message = usize::from((4..20).contains(calls));
            Ok(if is_whole {
                Decoded::Message { message, consumed: 40 }
            } else {
                Decoded::Partial { need: input.len() + 1 }
            })
        }

        fn encode(&self, (): (), _: &mut impl Sink) -> Result<(), FrameError> {
            Ok(())
        }
    }
    let check = || Check::new(&Fourth).seed(7).run(&[0; 40], |message| message);
    let found = std::panic::catch_unwind(check).expect_err("it is wrong");
    let found = found.downcast_ref::<String>().expect("panics have texts");
    assert!(found.contains("Check::seed(7)"), "{found}");
}

#[test]
fn a_codec_that_writes_before_it_fails_is_caught() {
    assert_eq!(encoded(&Triples::Right, b"abc"), Ok(b"abc".to_vec()));
    assert!(std::panic::catch_unwind(|| encoded(&Triples::WritesAndFails, b"abc")).is_err());
}

#[test]
fn what_depends_on_the_cuts_makes_no_difference_between_errors() {
    let too_large = |length, limit| lines::Error::from(FrameError::TooLarge { length, limit });
    assert!(is_same_error(&too_large(5, 4), &too_large(9, 4)));
    assert!(!is_same_error(&too_large(5, 4), &too_large(5, 3)));
    let truncated = |have| FrameError::Truncated { have };
    assert!(is_same_error(&truncated(1), &truncated(2)));
    assert!(!is_same_error(&truncated(1), &too_large(1, 0)));
    let overlong = |bytes| length_prefixed::Error::OverlongLength { bytes };
    assert!(is_same_error(&overlong(2), &overlong(2)));
    assert!(!is_same_error(&overlong(2), &overlong(3)));
}

#[test]
fn plain_bytes_are_refused_by_a_codec_that_has_no_message_for_them() {
    let mut out = Vec::new();
    assert_eq!(Triples::Right.encode_payload(b"abc", &mut out), Err(FrameError::NoPayload));
    assert!(out.is_empty());
}
