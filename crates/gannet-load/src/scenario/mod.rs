//! What a simulated client says and what it must hear. Adding a scenario is one file here and one entry in `config.rs`
//! and `run.rs`.

mod echo;
mod frames;
mod lines;
pub mod redis;

use gannet::proto::Codec;
use gannet::{Context, Service};

pub use self::echo::Echo;
pub use self::frames::Frames;
pub use self::lines::Lines;
pub use self::redis::Redis;

use crate::letters::Letters;

/// The protocol of a scenario: how a request is written and how an answer is checked, byte for byte.
pub trait Scenario: Clone + Send + Sync + 'static {
    /// The codec of both directions.
    type Codec: Codec;

    /// How far the answer that is being received has come.
    type Progress: Default + Send + 'static;

    /// The codec, with limits for this scenario.
    fn codec(&self) -> Self::Codec;

    /// Writes one request with a payload.
    fn request<S: Service<Codec = Self::Codec>>(&self, payload: &[u8], cx: &mut Context<'_, S>);

    /// Writes the request of a connection that has this number: by default one with the payload of that number, which
    /// has as many bytes as the letters were made for.
    fn ask<S: Service<Codec = Self::Codec>>(
        &self,
        letters: &Letters,
        connection: u32,
        request: u64,
        cx: &mut Context<'_, S>,
    ) {
        self.request(letters.payload(connection, request, letters.size()), cx);
    }

    /// The kind of error, where a message is the server's refusal of the oldest request: the connection goes on.
    fn refusal<'m>(&self, message: &'m <Self::Codec as Codec>::Message<'_>) -> Option<&'m [u8]> {
        let _ = message;
        None
    }

    /// Whether a message is the server's heartbeat, which is answered with an empty message and is no answer itself.
    fn is_ping(&self, message: &<Self::Codec as Codec>::Message<'_>) -> bool {
        let _ = message;
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

/// What a connection waits for.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Where payloads come from.
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
    /// The payload of the request `ahead` after the oldest, where that was sent.
    #[must_use]
    pub fn payload(&self, ahead: u64) -> Option<&'a [u8]> {
        let sent = ahead < self.outstanding;
        sent.then(|| self.letters.payload(self.connection, self.next + ahead, self.size))
    }
}

/// An answer with bytes that it should not have, or to nothing that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;
