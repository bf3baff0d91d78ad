//! Reads the CPU time and memory of the load generator's threads and of the server's process from Linux's /proc;
//! elsewhere nothing is
//! known.

use std::collections::HashMap;
use std::time::Duration;

use crate::results::ServerUsage;

/// The shortest time that a share of it says anything about: the kernel counts a thread's time by ticks of up to 10 ms.
const SHORTEST: Duration = Duration::from_millis(100);

/// CPU time of this process's reactors, by thread.
pub(crate) struct Threads {
    cpu_ns: HashMap<String, u64>,
}

impl Threads {
    pub(crate) fn now() -> Self {
        let mut cpu_ns = HashMap::new();
        for thread in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            let is_reactor = name.trim().strip_prefix("gannet-").is_some_and(|rest| rest.parse::<u32>().is_ok());
            if let Some(ns) = schedstat(&thread.path()).filter(|_| is_reactor) {
                cpu_ns.insert(thread.file_name().to_string_lossy().into_owned(), ns);
            }
        }
        Self { cpu_ns }
    }

    /// The share of the time that the busiest reactor was on a processor since; nothing for a time that is too short.
    pub(crate) fn busy_since(&self, passed: Duration) -> Option<f64> {
        let now = Self::now();
        let used = |(thread, ns): (&String, &u64)| Some(ns.saturating_sub(*self.cpu_ns.get(thread)?));
        let most = now.cpu_ns.iter().filter_map(used).max()?;
        (passed >= SHORTEST).then(|| most as f64 / passed.as_nanos() as f64)
    }
}

/// Time on a processor, ns: the first figure of schedstat.
fn schedstat(task: &std::path::Path) -> Option<u64> {
    std::fs::read_to_string(task.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
}

/// CPU time and resident memory of a process of this machine.
pub(crate) fn server_usage(pid: u32) -> Option<ServerUsage> {
    let process = format!("/proc/{pid}");
    let mut cpu_ns = 0;
    for thread in std::fs::read_dir(format!("{process}/task")).ok()?.flatten() {
        cpu_ns += schedstat(&thread.path()).unwrap_or(0);
    }
    let pages: u64 =
        std::fs::read_to_string(format!("{process}/statm")).ok()?.split_whitespace().nth(1)?.parse().ok()?;
    let resident_bytes = pages * rustix::param::page_size() as u64;
    Some(ServerUsage { cpu: Duration::from_nanos(cpu_ns), resident_bytes })
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::sync::mpsc::channel;

    use gannet_testing::until;

    use super::*;

    #[test]
    fn of_a_time_shorter_than_the_kernel_counts_no_thread_is_said_to_be_busy() {
        let (sender, stop) = channel::<()>();
        let (begins, began) = channel();
        let reactor = std::thread::Builder::new().name("gannet-7".to_owned()).spawn(move || {
            begins.send(()).expect("the test waits");
            while stop.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {}
        });
        began.recv().expect("it begins");
        let threads = Threads::now();
        let second = Duration::from_secs(1);
        until("some work of the thread", || threads.busy_since(second).is_some_and(|busy| busy > 0.0));
        assert_eq!(threads.busy_since(Duration::from_millis(1)), None);
        drop(sender);
        reactor.expect("a thread").join().expect("it only works");
    }
}
