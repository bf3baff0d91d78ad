//! A chat message as an application would have it, and a conversation of them.

use serde::{Deserialize, Serialize};

/// The number of messages that are measured in turn, so that neither the processor nor a compressor knows the next one.
const CONVERSATION: usize = 256;

/// One message, for all formats.
#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
pub struct Message {
    /// Its number in the channel.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// The channel.
    #[prost(string, tag = "2")]
    pub channel: String,
    /// The author's number.
    #[prost(uint64, tag = "3")]
    pub author_id: u64,
    /// The author's name.
    #[prost(string, tag = "4")]
    pub author_name: String,
    /// The text of the message.
    #[prost(string, tag = "5")]
    pub text: String,
    /// Milliseconds since 1970.
    #[prost(uint64, tag = "6")]
    pub sent_at_ms: u64,
    /// The message that it answers.
    #[prost(uint64, optional, tag = "7")]
    pub reply_to: Option<u64>,
    /// Users that it names.
    #[prost(uint64, repeated, tag = "8")]
    pub mentions: Vec<u64>,
    /// Reactions to it.
    #[prost(message, repeated, tag = "9")]
    pub reactions: Vec<Reaction>,
    /// Changed after it was sent.
    #[prost(bool, tag = "10")]
    pub edited: bool,
    /// The number by which the client knows that it is its own.
    #[prost(string, tag = "11")]
    pub client_token: String,
}

/// Reactions of one kind.
#[derive(Clone, PartialEq, Serialize, Deserialize, prost::Message)]
pub struct Reaction {
    /// Its sign.
    #[prost(string, tag = "1")]
    pub sign: String,
    /// How many have reacted so.
    #[prost(uint32, tag = "2")]
    pub count: u32,
}

/// Words that the texts are made of.
const WORDS: [&str; 48] = [
    "the",
    "release",
    "is",
    "ready",
    "for",
    "review",
    "who",
    "can",
    "look",
    "at",
    "it",
    "today",
    "I",
    "found",
    "a",
    "problem",
    "with",
    "login",
    "on",
    "Android",
    "tests",
    "are",
    "green",
    "again",
    "thanks",
    "meeting",
    "moved",
    "to",
    "three",
    "o'clock",
    "please",
    "check",
    "your",
    "calendar",
    "deploying",
    "now",
    "rollback",
    "was",
    "fast",
    "nice",
    "work",
    "everybody",
    "see",
    "you",
    "tomorrow",
    "latency",
    "went",
    "down",
];
const NAMES: [&str; 8] =
    ["Amina Diallo", "Björn Åkesson", "Chen Wei", "Dolores Ruiz", "Ewa Nowak", "Farid Haddad", "Grace Kim", "Hugo"];
const SIGNS: [&str; 4] = ["👍", "🎉", "❤️", "👀"];

/// Makes the messages of a conversation; they are equal in each run.
pub fn messages() -> Vec<Message> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut chance = move |below: usize| {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let message = |index: usize| {
        let author = chance(NAMES.len());
        let words: Vec<&str> = (0..6 + chance(20)).map(|_| WORDS[chance(WORDS.len())]).collect();
        Message {
            id: 9_203_000 + index as u64,
            channel: ["general", "engineering/releases", "support", "random"][chance(4)].to_owned(),
            author_id: 41_000 + 17 * author as u64,
            author_name: NAMES[author].to_owned(),
            text: words.join(" "),
            sent_at_ms: 1_796_040_000_000 + 4_321 * index as u64,
            reply_to: (chance(3) == 0).then(|| 9_203_000 + chance(index + 1) as u64),
            mentions: (0..chance(3)).map(|_| 41_000 + 17 * chance(NAMES.len()) as u64).collect(),
            reactions: (0..chance(3))
                .map(|kind| Reaction { sign: SIGNS[kind].to_owned(), count: 1 + chance(12) as u32 })
                .collect(),
            edited: chance(8) == 0,
            client_token: format!("{:016x}", (chance(1 << 30) << 30) ^ chance(1 << 30)),
        }
    };
    (0..CONVERSATION).map(message).collect()
}
