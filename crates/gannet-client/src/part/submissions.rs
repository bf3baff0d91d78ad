//! What other threads want of a part: their calls, and their list of endpoints.

use std::time::Duration;

use gannet::{Address, Connect};

use super::{Caller, Part, Reach};
use crate::pool::Placed;
use crate::protocol::Protocol;
use crate::shared::Submission;

/// Calls of other threads that are taken in one turn.
const SUBMISSIONS: usize = 1_024;

impl<P: Protocol> Part<P> {
    /// Takes what other threads have submitted.
    pub(crate) fn take_submitted<X: Reach<P> + ?Sized>(&mut self, cx: &mut X) {
        let shared = self.shared.clone();
        let now = cx.now();
        for _ in 0..SUBMISSIONS {
            let Some(submission) = shared.next_submission(self.reactor) else { return };
            match submission {
                Submission::Call { request, key, terms, promise } => {
                    self.scratch.clear();
                    self.scratch.extend_from_slice(&request);
                    match self.pool.call(now, key, Caller::Elsewhere(promise), terms, || request) {
                        Ok(Placed::On(connection)) => self.write(cx, connection),
                        Ok(Placed::Waiting) => {}
                        Err((caller, error)) => self.fail(cx, caller, error),
                    }
                }
                Submission::Lease { label, promise } => {
                    let key = self.pool.next_key();
                    if let Err((caller, error)) = self.pool.lease(now, key, Caller::Lease(promise), label) {
                        self.fail(cx, caller, error);
                    }
                }
                Submission::LeasedCall { connection, request, key, timeout, promise } => {
                    match self.pool.call_leased(now, connection, key, Caller::Elsewhere(promise), timeout) {
                        Ok(()) => {
                            self.scratch.clear();
                            self.scratch.extend_from_slice(&request);
                            self.write(cx, connection);
                        }
                        Err((caller, error)) => self.fail(cx, caller, error),
                    }
                }
                Submission::Release { connection } => {
                    self.pushes.retain(|(of, _)| *of != connection);
                    self.pool.release(now, connection);
                }
            }
        }
        // Others have their turn first.
        self.soon = true;
    }

    /// Follows a list of endpoints that has changed.
    pub(crate) fn follow(&mut self, now: Duration, addresses: &[Address]) {
        for index in 0..self.endpoints.len() {
            let gone = |(address, _): &(Address, Connect)| !addresses.contains(address);
            if self.endpoints[index].as_ref().is_some_and(gone) {
                self.endpoints[index] = None;
                self.pool.remove_endpoint(now, index);
            }
        }
        for address in addresses {
            let known = self.endpoints.iter().flatten().any(|(known, _)| known == address);
            if !known {
                let index = self.pool.add_endpoint();
                if self.endpoints.len() <= index {
                    self.endpoints.resize(index + 1, None);
                }
                self.endpoints[index] = Some((address.clone(), self.shared.connect(address)));
            }
        }
        self.pool.start(now);
    }
}
