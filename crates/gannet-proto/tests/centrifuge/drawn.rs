//! Messages by chance: any field may be missing, zero, ordinary or extreme.

use std::borrow::Cow;

use gannet_proto::centrifuge::*;

/// Draws from a seed: the same seed gives the same messages.
pub struct Draw {
    state: u64,
    /// Whether the application's data may be bytes that are no JSON.
    binary: bool,
    /// The most entries of a list or map.
    longest: usize,
    /// Whether filters on tags may be drawn, as data of any form.
    free: bool,
}

/// A type that can be drawn.
pub trait Drawn {
    fn drawn(draw: &mut Draw) -> Self;
}

impl Draw {
    /// Draws messages that both formats can express.
    pub fn new(seed: u64) -> Self {
        Self { state: seed, binary: false, longest: 3, free: true }
    }

    /// Draws messages for Protobuf alone.
    pub fn binary(seed: u64) -> Self {
        Self { binary: true, ..Self::new(seed) }
    }

    /// Draws messages that mean the same to other programs: maps without repeated names, no filters.
    pub fn for_others(seed: u64) -> Self {
        Self { longest: 1, free: false, ..Self::new(seed) }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % limit
    }

    pub fn one<T: Drawn>(&mut self) -> T {
        T::drawn(self)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())].clone()
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Drawn for $type {
            fn drawn(draw: &mut Draw) -> Self {
                let any = (draw.below(1 << 31) as u64) << 33 ^ draw.below(1 << 31) as u64;
                draw.of(&[0, 1, 127, 128, <$type>::MAX, <$type>::MIN, any as $type])
            }
        }
    )*};
}
numbers!(u32, u64, i32, i64);

impl Drawn for bool {
    fn drawn(draw: &mut Draw) -> Self {
        draw.below(2) == 1
    }
}

impl Drawn for String {
    fn drawn(draw: &mut Draw) -> Self {
        const PARTS: [&str; 12] = [
            "",
            "news",
            "$private:a",
            "\"",
            "\\",
            "\n",
            "\r\n\t",
            "\u{0}\u{1f}\u{7f}",
            "äö€",
            "\u{1f600}",
            "\u{2028}",
            "null",
        ];
        (0..draw.below(4)).map(|_| draw.of(&PARTS)).collect()
    }
}

impl Drawn for Cow<'static, str> {
    fn drawn(draw: &mut Draw) -> Self {
        if draw.one() { Cow::Borrowed(draw.of(&["", "news", "a\"b", "x\ny"])) } else { Cow::Owned(draw.one()) }
    }
}

impl Drawn for Cow<'static, [u8]> {
    fn drawn(draw: &mut Draw) -> Self {
        Cow::Owned(draw.one::<String>().into_bytes())
    }
}

impl Drawn for &'static [u8] {
    fn drawn(draw: &mut Draw) -> Self {
        const JSON: [&[u8]; 10] = [
            b"",
            b"{}",
            b"null",
            b"-0.5e+17",
            b"\"\"",
            br#""\u0000 \ud83d\ude00 \\""#,
            br#"{"a": [1, {"b": [true, false, null]}, []], "a": ""}"#,
            "[\"äö€\u{2028}\"]".as_bytes(),
            b"[[[[[[[[[[]]]]]]]]]]",
            b"12345678901234567890",
        ];
        const BINARY: [&[u8]; 4] = [b"\0", b"\xff\xfe", b"{\n", &[0xa5; 300]];
        if draw.binary && draw.one() { draw.of(&BINARY) } else { draw.of(&JSON) }
    }
}

impl<T: Drawn> Drawn for Option<T> {
    fn drawn(draw: &mut Draw) -> Self {
        draw.one::<bool>().then(|| draw.one())
    }
}

impl<T: Drawn> Drawn for Vec<T> {
    fn drawn(draw: &mut Draw) -> Self {
        (0..draw.below(draw.longest + 1)).map(|_| draw.one()).collect()
    }
}

impl<A: Drawn, B: Drawn> Drawn for (A, B) {
    fn drawn(draw: &mut Draw) -> Self {
        (draw.one(), draw.one())
    }
}

macro_rules! drawn {
    ($($name:ident $(<$life:lifetime>)? { $($field:ident)* })*) => {$(
        impl Drawn for $name $(<$life>)? {
            fn drawn(draw: &mut Draw) -> Self {
                // Most fields of most messages are missing.
                if draw.below(8) == 0 { Self::default() } else { Self { $($field: draw.one(),)* } }
            }
        }
    )*};
}

drawn! {
    Command<'static> { id request }
    ConnectRequest<'static> { token data subs name version headers flag dict profile }
    UnsubscribeRequest<'static> { channel }
    PublishRequest<'static> { channel data }
    PresenceRequest<'static> { channel }
    PresenceStatsRequest<'static> { channel }
    HistoryRequest<'static> { channel limit since reverse }
    StreamPosition<'static> { offset epoch }
    SendRequest<'static> { data }
    RpcRequest<'static> { data method }
    RefreshRequest<'static> { token }
    SubRefreshRequest<'static> { channel token }
    EmulationRequest<'static> { node session data }
    Push<'static> { id channel event }
    Publication<'static> { data info offset tags delta time channel }
    ClientInfo<'static> { user client conn_info chan_info }
    Join<'static> { info }
    Leave<'static> { info }
    Unsubscribe<'static> { code reason }
    MessagePush<'static> { data }
    Subscribe<'static> { recoverable epoch offset positioned data }
    Connect<'static> { client version data subs expires ttl ping pong session node time }
    Disconnect<'static> { code reason reconnect }
    Refresh { expires ttl }
    Reply<'static> { id body }
    Error<'static> { code message temporary }
    ConnectResult<'static> { client version expires ttl data subs ping pong session node time flag }
    SubscribeResult<'static> {
        expires ttl recoverable epoch publications recovered offset positioned data was_recovering delta id
    }
    PresenceResult<'static> { presence }
    PresenceStatsResult { num_clients num_users }
    HistoryResult<'static> { publications epoch offset }
    RpcResult<'static> { data }
    RefreshResult<'static> { client version expires ttl }
    SubRefreshResult { expires ttl }
}

impl Drawn for SubscribeRequest<'static> {
    fn drawn(draw: &mut Draw) -> Self {
        Self {
            channel: draw.one(),
            token: draw.one(),
            recover: draw.one(),
            epoch: draw.one(),
            offset: draw.one(),
            data: draw.one(),
            positioned: draw.one(),
            recoverable: draw.one(),
            join_leave: draw.one(),
            delta: draw.one(),
            tag_filter: if draw.free { draw.one() } else { b"" },
            flag: draw.one(),
            kind: draw.one(),
        }
    }
}

macro_rules! drawn_enum {
    ($name:ident { $($with:ident)* } { $($without:ident)* }) => {
        impl Drawn for $name<'static> {
            fn drawn(draw: &mut Draw) -> Self {
                let makers: &[fn(&mut Draw) -> Self] =
                    &[$(|draw| Self::$with(draw.one()),)* $(|_| Self::$without,)*];
                makers[draw.below(makers.len())](draw)
            }
        }
    };
}

drawn_enum!(Request {
    Connect Subscribe Unsubscribe Publish Presence PresenceStats History Send Rpc Refresh SubRefresh
} { Empty Ping });
drawn_enum!(ReplyBody {
    Error Push Connect Subscribe Presence PresenceStats History Rpc Refresh SubRefresh
} { Empty Unsubscribe Publish Ping });
drawn_enum!(PushEvent {
    Publication Join Leave Unsubscribe Message Subscribe Connect Disconnect Refresh
} { Empty });
