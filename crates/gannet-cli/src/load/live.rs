//! What is shown while a load runs: a few lines that change in a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use gannet_load::plan::Phase;
use gannet_load::run::{Config, Moment};
use gannet_load::units::{count, rate, span, time};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a line is printed where nobody looks at a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The shortest part of a second that says something about a whole one.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// Steps of the bar.
const STEPS: u64 = 1_000;

/// See the module.
pub(super) enum Live {
    /// Nothing is shown.
    Quiet,
    /// A bar with figures below it.
    Terminal { bar: ProgressBar, wanted: u32 },
    /// Lines, the next one at this time of the run.
    Lines { next: Duration, wanted: u32 },
}

impl Live {
    pub(super) fn new(quiet: bool, config: &Config) -> Self {
        let wanted = config.connections;
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { next: LINE_EVERY, wanted };
        }
        let bar = ProgressBar::with_draw_target(Some(STEPS), ProgressDrawTarget::stderr());
        // The template is one of ours; the crate's own would do as well.
        let style = ProgressStyle::with_template("{prefix:<11} [{bar:32}] {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(phase_name(Phase::Ramp));
        bar.set_message(format!("\n  connections  0 of {} up", count(wanted.into())));
        Self::Terminal { bar, wanted }
    }

    pub(super) fn show(&mut self, moment: &Moment) {
        if moment.second.lasted < LONG_ENOUGH {
            return;
        }
        match self {
            Self::Quiet => {}
            Self::Terminal { bar, wanted } => {
                let elapsed = moment.second.at;
                let share = elapsed.as_secs_f64() / (elapsed + moment.left).as_secs_f64().max(f64::EPSILON);
                bar.set_prefix(phase_name(moment.phase));
                bar.set_position((share * STEPS as f64) as u64);
                bar.set_message(format!(
                    "{}\n  connections  {}\n  last second  {}",
                    passed(moment),
                    connections(moment, *wanted),
                    latency(moment)
                ));
            }
            Self::Lines { next, wanted } => {
                if moment.second.at < *next {
                    return;
                }
                while *next <= moment.second.at {
                    *next += LINE_EVERY;
                }
                // Nobody looks where it cannot be written.
                let _ = writeln!(std::io::stderr(), "{}", line(moment, *wanted));
            }
        }
    }

    /// Takes the display away, so that the report stands alone.
    pub(super) fn end(&self) {
        if let Self::Terminal { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Ramp => "opening",
        Phase::Warmup => "warming up",
        Phase::Measure => "measuring",
        Phase::Hold => "holding",
        Phase::Finish | Phase::Over => "finishing",
    }
}

/// What has passed and what is left, in whole seconds.
fn passed(moment: &Moment) -> String {
    let seconds = |time: Duration| match time.as_secs_f64().round() as u64 {
        0 => "0 s".to_owned(),
        whole => span(Duration::from_secs(whole)),
    };
    // How long a ramp takes that has no pace, nobody knows.
    let about = if moment.phase == Phase::Ramp { "at least " } else { "" };
    format!("{}, {about}{} left", seconds(moment.second.at), seconds(moment.left))
}

/// What became of the connections.
fn connections(moment: &Moment, wanted: u32) -> String {
    let (up, wanted) = (count(moment.second.connections), count(wanted.into()));
    let why = moment.first_failure.iter().map(|why| format!(" ({why})")).collect::<String>();
    format!("{up} of {wanted} up, {} failed{why}, {} lost", count(moment.failed), count(moment.lost))
}

/// What the last second has brought.
fn latency(moment: &Moment) -> String {
    let second = &moment.second;
    let per_second = rate(second.answered as f64 / second.lasted.as_secs_f64());
    match second.answered {
        0 => "nothing answered".to_owned(),
        _ => format!("{per_second} messages/s, p50 {}, p99 {}", time(second.p50_ns), time(second.p99_ns)),
    }
}

fn line(moment: &Moment, wanted: u32) -> String {
    let (phase, passed) = (phase_name(moment.phase), passed(moment));
    format!("{phase}: {passed}; {}; {}", connections(moment, wanted), latency(moment))
}

#[cfg(test)]
mod tests {
    use gannet_load::results::Second;

    use super::*;

    fn moment(phase: Phase, answered: u64) -> Moment {
        let second = Second {
            at: Duration::from_millis(65_004),
            lasted: Duration::from_millis(500),
            connections: 997,
            answered,
            errors: 0,
            classes: [0; 4],
            p50_ns: 1_200_000,
            p99_ns: 8_000_000,
            max_ns: 9_000_000,
        };
        Moment { phase, second, failed: 2, first_failure: None, lost: 1, left: Duration::from_millis(9_996) }
    }

    #[test]
    fn a_line_says_all_there_is_to_know() {
        assert_eq!(
            line(&moment(Phase::Measure, 10_000), 1_000),
            "measuring: 1 min 5 s, 10 s left; 997 of 1,000 up, 2 failed, 1 lost; 20,000 messages/s, p50 1.2 ms, p99 8 ms"
        );
        assert_eq!(
            line(&moment(Phase::Ramp, 0), 1_000),
            "opening: 1 min 5 s, at least 10 s left; 997 of 1,000 up, 2 failed, 1 lost; nothing answered"
        );
        let mut failed = moment(Phase::Ramp, 0);
        failed.first_failure = Some("the server's certificate has expired".to_owned());
        let said = line(&failed, 1_000);
        assert!(said.contains("997 of 1,000 up, 2 failed (the server's certificate has expired), 1 lost"), "{said}");
    }
}
