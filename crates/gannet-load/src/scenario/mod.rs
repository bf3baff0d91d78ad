//! The requests that a simulated client sends, and the answers that it must get; one file for each scenario.
//!
//! A new scenario is a file here, and is named in four places: in this file, in `config.rs` and `run.rs`, and in the
//! options of the command line (`gannet-cli`, `load/options.rs`).

mod echo;
mod frames;
pub mod http;
mod lines;
pub mod push;
pub mod redis;
pub mod ws;

use gannet::proto::Codec;
use gannet::{Context, Service};

pub use self::echo::Echo;
pub use self::frames::Frames;
pub use self::http::Http;
pub use self::lines::Lines;
pub use self::redis::Redis;
pub use self::ws::Ws;

use crate::letters::Letters;

/// Implements a scenario: writes requests, and checks answers byte for byte.
pub trait Scenario: Clone + Send + Sync + 'static {
    /// The codec of both directions.
    type Codec: Codec;

    /// The progress within the answer that is being received.
    type Progress: Default + Send + 'static;

    /// Returns the codec, with limits for this scenario.
    fn codec(&self) -> Self::Codec;

    /// Writes one request with this payload.
    fn request<S: Service<Codec = Self::Codec>>(&self, payload: &[u8], cx: &mut Context<'_, S>);

    /// Writes the request with this number of a connection (default: [`request`](Self::request) with the payload of that
    /// number, of the size that the letters were made for).
    fn ask<S: Service<Codec = Self::Codec>>(
        &self,
        letters: &Letters,
        connection: u32,
        request: u64,
        cx: &mut Context<'_, S>,
    ) {
        self.request(letters.payload(connection, request, letters.size()), cx);
    }

    /// Returns the kind of error if a message is the server's refusal of the oldest request (default: none is). The
    /// connection goes on.
    fn refusal<'m>(&self, message: &'m <Self::Codec as Codec>::Message<'_>) -> Option<&'m [u8]> {
        let _ = message;
        None
    }

    /// Returns the largest size of an incomplete message in bytes, if it is more than the engine allows by default.
    fn largest_message(&self) -> usize {
        0
    }

    /// Writes the first bytes of a connection, and returns whether there are any (default: none). Their answer is then
    /// awaited.
    fn upgrade<S: Service<Codec = Self::Codec>>(&self, connection: u32, cx: &mut Context<'_, S>) -> bool {
        let _ = (connection, cx);
        false
    }

    /// Returns whether a message that came before anything else completes the upgrade.
    ///
    /// # Errors
    ///
    /// The reason why the connection failed.
    fn upgraded(&self, connection: u32, message: &<Self::Codec as Codec>::Message<'_>) -> Result<bool, String> {
        let _ = (connection, message);
        Ok(true)
    }

    /// Returns whether right answers to different requests may be the same (default: no).
    fn answers_alike(&self) -> bool {
        false
    }

    /// Returns true if a connection carries one request only, and another one takes its place.
    fn takes_one_request(&self) -> bool {
        false
    }

    /// Takes a message that is no answer to a request, and answers it where that is wanted; nothing where it is to be
    /// judged.
    fn aside<S: Service<Codec = Self::Codec>>(
        &self,
        message: &<Self::Codec as Codec>::Message<'_>,
        connection: u32,
        cx: &mut Context<'_, S>,
    ) -> Option<Aside> {
        let _ = (message, connection, cx);
        None
    }

    /// The status of an answer, of scenarios that know such; called once for each answer, before it is judged.
    fn status(&self, progress: &mut Self::Progress, message: &<Self::Codec as Codec>::Message<'_>) -> Option<u16> {
        let _ = (progress, message);
        None
    }

    /// Returns true if no further request is answered on a connection, so that another one has to take its place.
    fn is_spent(&self, progress: &Self::Progress) -> bool {
        let _ = progress;
        false
    }

    /// Whether the server may end a connection whose codec is in this state, so that another one takes its place: no answer
    /// is cut off, and there was one before.
    fn may_end(&self, progress: &Self::Progress, state: &<Self::Codec as Codec>::State) -> bool {
        let _ = (progress, state);
        false
    }

    /// Returns true if a request without an answer may be sent again on another connection when the server ends its own.
    fn may_repeat(&self) -> bool {
        false
    }

    /// Takes what came, of a connection whose oldest request without an answer is number `next`, and says how many
    /// answers are complete.
    ///
    /// # Errors
    ///
    /// [`Wrong`] where it is not what the request was about.
    fn answer(
        &self,
        progress: &mut Self::Progress,
        message: <Self::Codec as Codec>::Message<'_>,
        expected: Expected<'_>,
    ) -> Result<u64, Wrong>;

    /// Takes what came of a connection that has sent nothing but its login, and says whether the answer is complete.
    ///
    /// # Errors
    ///
    /// [`Wrong`] where it is not the login's answer.
    fn login_answer(
        &self,
        progress: &mut Self::Progress,
        message: <Self::Codec as Codec>::Message<'_>,
        login: &[u8],
    ) -> Result<bool, Wrong>;
}

/// An event other than an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Nothing that would have to be counted: a heartbeat, or an interim response.
    Handled,
    /// A message that nobody asked for and that does not count. A login takes it for its answer.
    Unasked,
    /// The same where it counts.
    Received {
        /// When it was sent, where it says so: ns since 1970 (UTC).
        sent_unix_ns: Option<u64>,
    },
    /// The server ends the connection.
    Closed {
        /// Why, where it says so.
        code: Option<u16>,
    },
}

/// Describes the answer that a connection waits for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The source of payloads.
    pub letters: &'a Letters,
    /// The connection's number.
    pub connection: u32,
    /// The oldest request without an answer.
    pub next: u64,
    /// Requests without an answer.
    pub outstanding: u64,
    /// Bytes of a payload.
    pub size: usize,
}

impl<'a> Expected<'a> {
    /// Returns the payload of the request `ahead` after the oldest, where that was sent.
    #[must_use]
    pub fn payload(&self, ahead: u64) -> Option<&'a [u8]> {
        let sent = ahead < self.outstanding;
        sent.then(|| self.letters.payload(self.connection, self.next + ahead, self.size))
    }
}

/// An answer with bytes that it should not have, or to nothing that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;
