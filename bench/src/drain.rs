//! The drain of a subject: it begins when the subject is told so, and each second is counted how many are left.

use std::io::{self, BufRead as _, Write as _};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gannet::{Drain, Remote};
use serde::{Deserialize, Serialize};

/// The time between two counts.
const SECOND: Duration = Duration::from_secs(1);

/// Connections that a server still had in each second of a drain.
#[derive(Debug, Deserialize, Serialize)]
pub struct Counted {
    /// Milliseconds since the order, and connections that were left then; the first is the order itself.
    pub left: Vec<(u64, u64)>,
}

/// How evenly connections left.
#[derive(Debug, PartialEq, Serialize)]
pub struct Pace {
    /// Seconds over which they were to leave.
    pub spread_seconds: u64,
    /// Connections at the begin.
    pub connections: u64,
    /// Connections a second that were to leave.
    pub asked_per_second: f64,
    /// The second with the fewest, in proportion to that.
    pub slowest: f64,
    /// The second with the most, in proportion to that.
    pub quickest: f64,
    /// The time until the last had left.
    pub seconds: f64,
}

impl Counted {
    /// Compares each whole second of the spread with its pace.
    pub fn pace(&self, spread: Duration) -> Option<Pace> {
        let (&(_, connections), &(last_ms, _)) = (self.left.first()?, self.left.last()?);
        let asked_per_second = connections as f64 / spread.as_secs_f64();
        let ratios = self.left.windows(2).filter(|pair| u128::from(pair[1].0) <= spread.as_millis()).map(|pair| {
            let [(from_ms, before), (to_ms, after)] = [pair[0], pair[1]];
            let seconds = (to_ms - from_ms).max(1) as f64 / 1_000.0;
            before.saturating_sub(after) as f64 / seconds / asked_per_second
        });
        let (slowest, quickest) = ratios.fold((f64::INFINITY, 0.0), |(slowest, quickest): (f64, f64), ratio| {
            (slowest.min(ratio), quickest.max(ratio))
        });
        slowest.is_finite().then_some(Pace {
            spread_seconds: spread.as_secs(),
            connections,
            asked_per_second,
            slowest,
            quickest,
            seconds: last_ms as f64 / 1_000.0,
        })
    }
}

/// Returns the line that orders a server of the benchmark to drain.
pub fn order(spread: Duration) -> String {
    format!("drain {}", spread.as_secs())
}

/// Waits for the order on standard input, carries it out, and says on standard output what it has counted.
///
/// Join the thread before the process ends. It waits for ever where no order comes.
pub fn obey(remote: Remote) -> JoinHandle<io::Result<()>> {
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            if let Some(spread) = line?.strip_prefix("drain ").and_then(|spread| spread.parse().ok()) {
                let counted = drain(&remote, Duration::from_secs(spread))?;
                let mut out = io::stdout().lock();
                writeln!(out, "{}", serde_json::to_string(&counted)?)?;
                return out.flush();
            }
        }
        Ok(())
    })
}

fn drain(remote: &Remote, spread: Duration) -> io::Result<Counted> {
    let count = || {
        let reactors = remote.stats();
        reactors.iter().flat_map(|reactor| &reactor.services).map(|service| service.connections).sum::<u64>()
    };
    let began = Instant::now();
    let mut left = vec![(0, count())];
    remote.drain(&Drain::new().spread(spread)).map_err(io::Error::other)?;
    for second in 1.. {
        // The schedule of the counting: a count belongs to its second, and the order of the drain is the first.
        std::thread::sleep((SECOND * second).saturating_sub(began.elapsed()));
        let (at, now) = (began.elapsed().as_millis() as u64, count());
        left.push((at, now));
        if now == 0 {
            break;
        }
    }
    Ok(Counted { left })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_of_each_whole_second_is_compared_with_the_one_asked_for() {
        let left = vec![(0, 1_000), (1_000, 900), (2_000, 820), (4_000, 600), (9_000, 100), (11_000, 0)];
        let pace = Counted { left }.pace(Duration::from_secs(10)).expect("whole seconds");
        assert_eq!((pace.asked_per_second, pace.slowest, pace.quickest), (100.0, 0.8, 1.1));
        assert_eq!((pace.connections, pace.seconds), (1_000, 11.0));
        assert_eq!(Counted { left: vec![(0, 10)] }.pace(Duration::from_secs(10)), None);
    }
}
