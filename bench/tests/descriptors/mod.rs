//! The limit of open descriptors, for tests that need more than many systems allow at first.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Has this process, and the programs that it starts, open so many descriptors. Says why, and returns false, where the
/// system does not permit that.
pub fn allow_descriptors(wanted: u64) -> bool {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= wanted) {
        return true;
    }
    let raised = maximum.is_none_or(|maximum| maximum >= wanted)
        && setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_ok();
    if !raised {
        eprintln!("skipped: it needs {wanted} descriptors, and the limit is {maximum:?} (ulimit -Hn)");
    }
    raised
}
