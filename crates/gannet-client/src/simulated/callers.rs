//! Sessions that call through a pool, and give up what they wait for at any await.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use gannet::Random;
use gannet::proto::Lines;
use gannet::session::{self, Connection, first, sleep, within};

use super::ledger::Ledger;
use super::speech::Speech;
use crate::client::Pool;
use crate::lease::PoolLease;
use crate::shared::CallOptions;

/// Where and when something begins.
#[derive(Clone, Copy)]
struct At {
    reactor: usize,
    now: Duration,
}

/// What sessions do things with.
pub(super) struct Desk<S: Speech> {
    pub(super) pool: Pool<S>,
    pub(super) ledger: Ledger,
    pub(super) timeout: Duration,
    /// How long a wait for a lease may take.
    pub(super) waiting: Duration,
}

impl<S: Speech> Clone for Desk<S> {
    fn clone(&self) -> Self {
        Self { pool: self.pool.clone(), ledger: self.ledger.clone(), ..*self }
    }
}

/// Polls a future so often at most, and then drops it.
async fn cut<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let (mut future, mut left) = (std::pin::pin!(future), polls);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await
}

impl<S: Speech> Desk<S> {
    /// The body of a session: so many steps, each by chance.
    pub(super) async fn serve(self, mut connection: Connection<Lines>, seed: u64, steps: usize) -> session::Result {
        let mut random = Random::new(seed);
        for _ in 0..steps {
            let at = At { reactor: connection.reactor(), now: connection.now() };
            match random.below(9) {
                0..3 => self.call(at, &mut random).await,
                3 => _ = cut(random.below(4), self.call(at, &mut random)).await,
                4 => _ = within(random.up_to(self.timeout), self.call(at, &mut random)).await,
                5 => {
                    // Both are under way together; the second one is dropped with the first.
                    let mut other = Random::new(random.next());
                    first(self.call(at, &mut random), self.call(at, &mut other)).await;
                }
                6 => _ = first(self.call(at, &mut random), connection.next()).await,
                7 => self.lease(&connection, &mut random).await,
                _ => _ = cut(random.below(6), self.lease(&connection, &mut random)).await,
            }
            if random.below(3) == 0 {
                sleep(random.up_to(Duration::from_millis(20))).await;
            }
        }
        Ok(())
    }

    async fn call(&self, at: At, random: &mut Random) {
        let (options, timeout) = self.options(random);
        let open = self.ledger.begin(at.reactor, at.now, timeout);
        let outcome = S::call(&self.pool, open.text().as_bytes(), options).await;
        open.end(outcome, S::text);
    }

    fn options(&self, random: &mut Random) -> (CallOptions, Duration) {
        let mut options = CallOptions::default();
        if random.below(3) == 0 {
            options = options.idempotent();
        }
        let timeout = if random.below(4) == 0 { self.timeout / 4 } else { self.timeout };
        (options.timeout(timeout), timeout)
    }

    async fn lease(&self, connection: &Connection<Lines>, random: &mut Random) {
        let open = self.ledger.begin(connection.reactor(), connection.now(), self.waiting);
        let lease = match self.pool.lease("simulated").await {
            Ok(lease) => lease,
            Err(error) => return open.fail(error),
        };
        open.grant();
        for _ in 0..random.below(4) {
            match random.below(3) {
                0 => _ = cut(random.below(3), self.call_leased(&lease, connection, random)).await,
                _ => self.call_leased(&lease, connection, random).await,
            }
        }
        // Dropped here, perhaps in the middle of a request that was given up.
    }

    async fn call_leased(&self, lease: &PoolLease<S>, connection: &Connection<Lines>, random: &mut Random) {
        let (options, timeout) = self.options(random);
        let open = self.ledger.begin(connection.reactor(), connection.now(), timeout);
        let outcome = S::call_leased(lease, open.text().as_bytes(), options).await;
        open.end(outcome, S::text);
    }
}
