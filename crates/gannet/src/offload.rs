//! The offload pool: where work goes that would hold up a reactor. Bounded, and made only when first used.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::context::OffloadFull;

/// A private pool of threads and a bound on what waits for them.
pub(crate) struct Offload {
    pool: OnceLock<Option<rayon::ThreadPool>>,
    pending: Arc<AtomicUsize>,
    limit: usize,
}

impl Offload {
    pub(crate) fn new(limit: usize) -> Self {
        Self { pool: OnceLock::new(), pending: Arc::default(), limit }
    }

    /// Jobs that wait or run.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Runs a job on the pool. A panic in it is logged and ends the job only.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), OffloadFull> {
        if self.pending.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.pending.fetch_sub(1, Ordering::Relaxed);
            return Err(OffloadFull);
        }
        let counted = Counted(Arc::clone(&self.pending));
        match self.pool.get_or_init(build) {
            Some(pool) => {
                pool.spawn(move || {
                    let _counted = counted;
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
                        tracing::error!("an offloaded job panicked; its result is lost");
                    }
                });
                Ok(())
            }
            None => Err(OffloadFull),
        }
    }
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn build() -> Option<rayon::ThreadPool> {
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|index| format!("gannet-offload-{index}")).build();
    pool.inspect_err(|error| tracing::error!(%error, "the offload pool could not start; offloading is refused")).ok()
}
