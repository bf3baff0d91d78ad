//! The case `slow` of `push`: what clients that never read cost the others, and the server's memory.

use std::io;
use std::time::Duration;

use serde::Serialize;

use super::{Options, channel, paced};
use crate::child::Server;
use crate::client::channels::{Audience, rest};
use crate::measure::{Spread, peak_resident_bytes, resident_bytes};
use crate::push::FULL;
use crate::subject::Subject;

/// Bytes of a publication's data.
const DATA_BYTES: usize = 16 << 10;

/// Publications a second, so that all readers have one before the next. A client that does not read is too slow after about 17 s.
const RATE: f64 = 5.0;

/// Publications of each half, so that the 99th percentile is the second slowest.
const PUBLICATIONS: u32 = 120;

/// Publications before counting starts.
const WARM_UP: u32 = 10;

/// One of so many clients never reads.
const SILENT_SHARE: usize = 10;

/// Bytes that the gateway keeps for a client at most: its outbox up to the high mark, what may follow, and one publication.
const MOST_BYTES_EACH: u64 = (256 << 10) + (1 << 20) + DATA_BYTES as u64;

/// The 99th percentile with clients that never read may be so many times the one without.
const MOST_RATIO: f64 = 2.0;

/// The close code of a client that was too slow.
const SLOW: u16 = 3_008;

/// Results of one subject; medians over the rounds.
#[derive(Serialize)]
pub struct Row {
    subject: &'static str,
    readers: usize,
    silent: usize,
    p99_ms_without: f64,
    p99_ms_with: f64,
    ratio: Spread,
    /// By how much the process grew for each client that never reads, at most.
    bytes_each: f64,
    /// Clients that were told 3008; the others were cut off after they took nothing for 30 s.
    told: usize,
}

/// One round of one subject.
struct Round {
    without: Duration,
    with: Duration,
    grown: u64,
    told: usize,
}

/// Measures, and prints unless `is_quiet`.
///
/// # Errors
///
/// Those of the run; and a bound that is not kept.
pub fn run(options: &Options, subjects: &[&'static Subject], is_quiet: bool) -> io::Result<Vec<Row>> {
    let total = options.slow_clients as usize;
    let silent = total / SILENT_SHARE;
    let readers = total - silent;
    let outcomes =
        options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| round(server, readers, silent))?;
    let row = |(subject, rounds): (&&'static Subject, &Vec<Round>)| {
        let ms = |of: fn(&Round) -> Duration| rounds.iter().map(|own| of(own).as_secs_f64() * 1e3).collect::<Vec<_>>();
        let (without, with) = (ms(|own| own.without), ms(|own| own.with));
        let median = |values: &[f64]| Spread::of(values.iter().copied()).map_or(f64::NAN, |spread| spread.median);
        let nothing = Spread { median: f64::NAN, min: f64::NAN, max: f64::NAN };
        Row {
            subject: subject.name,
            readers,
            silent,
            p99_ms_without: median(&without),
            p99_ms_with: median(&with),
            ratio: Spread::of_ratios(&with, &without).unwrap_or(nothing),
            bytes_each: rounds.iter().map(|own| own.grown).max().unwrap_or_default() as f64 / silent.max(1) as f64,
            told: rounds.iter().map(|own| own.told).min().unwrap_or_default(),
        }
    };
    let rows: Vec<Row> = subjects.iter().zip(&outcomes).map(row).collect();
    if !is_quiet {
        print(&rows);
    }
    // What others do with such clients is of interest, but is not promised here.
    for row in rows.iter().filter(|row| row.subject.starts_with("gannet")) {
        if row.told == 0 {
            let name = row.subject;
            return Err(io::Error::other(format!("{name}: no client that never reads was told why it was closed")));
        }
        if row.ratio.median > MOST_RATIO {
            let name = row.subject;
            let ratio = row.ratio.median;
            return Err(io::Error::other(format!(
                "{name}: the p99 is {ratio:.2} times the one without; {MOST_RATIO} is allowed"
            )));
        }
        if row.bytes_each > MOST_BYTES_EACH as f64 {
            let (name, bytes) = (row.subject, row.bytes_each);
            return Err(io::Error::other(format!(
                "{name}: {bytes:.0} bytes for each client that never reads; {MOST_BYTES_EACH} are allowed"
            )));
        }
    }
    Ok(rows)
}

fn round(server: &Server, readers: usize, silent: usize) -> io::Result<Round> {
    let mut audience = Audience::new(server.port, |_| vec![channel(FULL)])?.data_bytes(DATA_BYTES);
    audience.open_until(readers)?;
    paced(WARM_UP, RATE, || audience.publish_to_all())?;
    let without = paced(PUBLICATIONS, RATE, || audience.publish_to_all())?;
    let before = resident_bytes(server.pid())?;
    let deaf = audience.silent(silent)?;
    let with = paced(PUBLICATIONS, RATE, || audience.publish_to_all())?;
    let grown = peak_resident_bytes(server.pid())?.saturating_sub(before);
    let mut buffer = vec![0; 64 << 10];
    let mut told = 0;
    for fd in &deaf {
        // Fails where one was not ended.
        match rest(fd, &mut buffer)? {
            Some(SLOW) => told += 1,
            Some(code) => return Err(io::Error::other(format!("a client that never reads was closed with {code}"))),
            None => {}
        }
    }
    Ok(Round { without: p99(without), with: p99(with), grown, told })
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * 0.99).ceil() as usize;
    times.get(place.saturating_sub(1)).copied().unwrap_or_default()
}

fn print(rows: &[Row]) {
    println!(
        "\n**{RATE} publications a second of {DATA_BYTES} bytes, of whose subscribers one in {SILENT_SHARE} never reads**; \
         asked: p99 of the others at most {MOST_RATIO} times that without them, {MOST_BYTES_EACH} bytes for each of them\n"
    );
    println!("| subject | readers | never read | p99 ms without | p99 ms with | ratio | bytes for each | told 3008 |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in rows {
        let Row { subject, readers, silent, p99_ms_without, p99_ms_with, ratio, bytes_each, told } = row;
        let Spread { median, min, max } = ratio;
        println!(
            "| {subject} | {readers} | {silent} | {p99_ms_without:.1} | {p99_ms_with:.1} | {median:.2} ({min:.2} to {max:.2}) | \
             {bytes_each:.0} | {told} |"
        );
    }
}
