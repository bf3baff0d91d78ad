//! What an audit log is told: who logged in to the admin page, what was done there, and which keys were wrong.

use gannet::Peer;

/// Reports something that an operator wanted to do, or somebody who is none.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Audited<'a> {
    /// What was wanted: `login`, `logout`, `page` (a method called by the admin page) or `api` (one of the server API).
    pub action: &'static str,
    /// What was to prove that they may.
    pub credential: Credential,
    /// Where the request came from.
    pub peer: Peer,
    /// Whether they may.
    pub allowed: bool,
    /// The method that was called, as far as one was.
    pub method: Option<&'a str>,
}

/// Says what is to prove that somebody may do a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// The password of the admin page.
    Password,
    /// The cookie of a session of the admin page.
    Session,
    /// A key of the server API.
    ApiKey,
}

/// Takes reports for an audit log. It is called on reactors, so it must not wait.
pub(crate) type Auditor = Box<dyn Fn(&Audited<'_>) + Send + Sync>;

impl<'a> Audited<'a> {
    /// Makes a report without a method.
    #[must_use]
    pub fn new(action: &'static str, credential: Credential, peer: Peer, allowed: bool) -> Self {
        Self { action, credential, peer, allowed, method: None }
    }

    /// Names the method that was called.
    #[must_use]
    pub fn method(self, method: &'a str) -> Self {
        Self { method: Some(method), ..self }
    }
}
