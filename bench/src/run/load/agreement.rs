//! Compares what `gannet load` reports with the server's own count, and with an independent client.
//!
//! In a closed loop a client's own cost is part of the rate, so that two clients that both tell the truth need not agree.
//! The server's count has no such part: it is what the reported rate has to be equal to.

use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::DriverChoice;
use gannet_load::plan::Phase;
use gannet_load::run::{Config, Moment};

use super::{Options, config, rate};
use crate::child::Server;
use crate::measure::Spread;
use crate::run::known;
use crate::run::rounds::order;

/// Longer than the measured time by what may lie outside the first and the last full second.
const MARGIN_SECONDS: u64 = 1;

/// Runs and prints.
pub(super) fn run(options: &Options) -> io::Result<()> {
    println!("\nagreement: messages that gannet load counts against those that floor-epoll counts at the same time");
    for (connections, depth) in [(100, 16), (50, 1)] {
        for (name, driver) in [("poll", DriverChoice::Poll), ("uring", DriverChoice::Uring)] {
            let ratios: io::Result<Vec<f64>> =
                (0..options.pairs.div_ceil(5)).map(|_| counted(driver, connections, depth, options)).collect();
            print(&format!("{connections} × {depth}, {name}"), Spread::of(ratios?));
        }
    }

    println!("\nagreement: ping-pong, 50 × 1, rate of gannet load (poll) against a bare epoll client's, pair by pair");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for pair in 0..options.pairs {
        let server = Server::start(known("floor-epoll")?, options.server_cpu)?;
        for index in order(2, pair) {
            if index == 0 {
                ours.push(rate(Some(DriverChoice::Poll), server.port, 50, 1, options.seconds)?);
            } else {
                theirs.push(rate(None, server.port, 50, 1, options.seconds)?);
            }
        }
    }
    print("50 × 1, poll", Spread::of_ratios(&ours, &theirs));
    Ok(())
}

/// Messages that a run reports for a while of its measured time, as a ratio to those that the floor counted in it.
fn counted(driver: DriverChoice, connections: u32, depth: u32, options: &Options) -> io::Result<f64> {
    let mut server = Server::start(known("floor-epoll")?, options.server_cpu)?;
    let config = Config {
        connections,
        depth,
        warmup: Duration::from_millis(500),
        duration: Duration::from_secs(options.seconds + MARGIN_SECONDS),
        ..config(driver, server.port)?
    };
    // What the floor had received when each second was reported, and what was reported for it.
    let mut seconds: Vec<(u64, u64)> = Vec::new();
    let mut failed = None;
    let mut watch = |moment: &Moment| {
        if moment.phase == Phase::Measure {
            match server.received() {
                Ok(received) => seconds.push((received, moment.second.answered)),
                Err(error) => failed = Some(error),
            }
        }
    };
    gannet_load::run::run(&config, &AtomicBool::new(false), &mut watch).map_err(io::Error::other)?;
    if let Some(error) = failed {
        return Err(error);
    }
    let [(first, _), .., (last, _)] = &seconds[..] else {
        return Err(io::Error::other("the run was too short to count in"));
    };
    let reported: u64 = seconds[1..].iter().map(|(_, answered)| answered).sum();
    let received = (last - first) as f64 / config.size as f64;
    Ok(reported as f64 / received)
}

fn print(what: &str, ratio: Option<Spread>) {
    if let Some(Spread { median, min, max }) = ratio {
        println!("{what:<16} {median:.4} ({min:.4} to {max:.4})");
    }
}
