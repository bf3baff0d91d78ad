//! Bytes of large messages that a service keeps beyond the call, and codecs that need more or less than they said.

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::rig::{Rig, Setup};
use super::script::frames;
use super::{Net, on_every_driver};
use crate::proto::{Codec, Decoded, FrameError, LengthPrefixed, Sink};
use crate::{Context, Refused, Service};

const KIB: usize = 1 << 10;

/// So many bytes that are another stream for each seed.
fn stream(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at / 251) ^ at ^ seed) as u8).collect()
}

/// Each message, and whether it was kept without a copy.
type Kept = Rc<RefCell<Vec<(Bytes, bool)>>>;

/// Keeps every message.
struct Keeper(Kept);

impl Service for Keeper {
    type Codec = LengthPrefixed;
    type Session = ();

    fn codec(&self) -> Self::Codec {
        frames()
    }

    fn open(&mut self, _: &mut Context<'_, Self>) -> Result<(), Refused> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: &[u8], cx: &mut Context<'_, Self>) {
        assert!(cx.keep(&message[..message.len() / 2]).is_none(), "a part would keep the whole in memory");
        assert!(cx.keep(b"from elsewhere").is_none());
        let kept = cx.keep(message);
        let is_kept = kept.is_some();
        self.0.borrow_mut().push((kept.unwrap_or_else(|| Bytes::copy_from_slice(message)), is_kept));
    }
}

fn what_is_kept_of_large_messages_stays_as_it_was_while_others_come<N: Net>(net: N) {
    let kept = Kept::default();
    let mut rig = Setup::new().listen(Keeper(kept.clone())).on(net);
    let mut client = rig.connect();
    let sizes = [10, 70 * KIB, 1, 300 * KIB, 300 * KIB, 64 * KIB, 1_000 * KIB, 0, 500 * KIB, 20 * KIB];
    let messages: Vec<Vec<u8>> = sizes.iter().enumerate().map(|(seed, size)| stream(seed, *size)).collect();
    let mut sent = Vec::new();
    for message in &messages {
        frames().encode(&[message], &mut sent).expect("small enough");
    }
    rig.write(&mut client, &sent);
    rig.until("all messages", |_| (kept.borrow().len() == sizes.len()).then_some(()));
    drop(client);
    rig.finish();
    for (message, (got, is_kept)) in messages.iter().zip(kept.borrow().iter()) {
        assert!(got == message, "{} bytes are others now", message.len());
        assert!(!*is_kept || message.len() >= 64 * KIB - 4, "{} bytes were kept", message.len());
    }
    // Not each, since several may wait in one memory where they come faster than they are decoded.
    assert!(kept.borrow().iter().any(|(_, is_kept)| *is_kept), "all were copied");
}

/// Messages of so many KiB as their first byte says, each of which needs a wrong number of bytes for as long as it is not
/// complete: one more each time, or twice as many as it has.
#[derive(Default)]
struct Wrong;

impl Codec for Wrong {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [u8];
    type Error = FrameError;
    type State = ();

    fn decode<'a>(&self, (): &mut (), input: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        let size = usize::from(input[0]) * KIB;
        Ok(match input.get(..size) {
            Some(message) => Decoded::Message { message, consumed: size },
            None if size.is_multiple_of(2 * KIB) => Decoded::Partial { need: 2 * size },
            None => Decoded::Partial { need: input.len() + 1 },
        })
    }

    fn encode(&self, message: &[u8], out: &mut impl Sink) -> Result<(), FrameError> {
        out.put(message);
        Ok(())
    }
}

/// Sends every message back.
struct Back;

impl Service for Back {
    type Codec = Wrong;
    type Session = ();

    fn codec(&self) -> Wrong {
        Wrong
    }

    fn open(&mut self, _: &mut Context<'_, Self>) -> Result<(), Refused> {
        Ok(())
    }

    fn message(&mut self, (): &mut (), message: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(message);
    }
}

fn messages_are_whole_whatever_their_codec_says_it_needs<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Back).on(net);
    let mut client = rig.connect();
    let message = |kib: u8| {
        let mut message = stream(kib.into(), usize::from(kib) * KIB);
        message[0] = kib;
        message
    };
    // Twice what a message has is what the next one brings: all of it has been received when the first is complete.
    let sizes = [200, 200, 1, 255, 100, 100, 77, 77, 2, 2, 1, 1, 1];
    let sent: Vec<u8> = sizes.iter().flat_map(|kib| message(*kib)).collect();
    let mut got = Vec::new();
    exchange_all(&mut rig, &mut client, &sent, &mut got);
    assert!(got == sent, "other bytes came back");
    drop(client);
    rig.finish();
}

/// Sends all of it and reads as much.
fn exchange_all<N: Net>(rig: &mut Rig<N>, client: &mut N::Client, sent: &[u8], got: &mut Vec<u8>) {
    use super::Client as _;
    let (mut written, mut buffer) = (0, vec![0; 64 * KIB]);
    rig.until("everything to come back", |_| {
        written += client.write(&sent[written..]).unwrap_or(0);
        let count = client.read(&mut buffer).unwrap_or(0);
        got.extend_from_slice(&buffer[..count]);
        (got.len() >= sent.len()).then_some(())
    });
}

on_every_driver!(
    what_is_kept_of_large_messages_stays_as_it_was_while_others_come,
    messages_are_whole_whatever_their_codec_says_it_needs,
);
