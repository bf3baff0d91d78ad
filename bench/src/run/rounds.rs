//! Rounds of measurements: their order, and which of them count.

use std::io;

use serde::Serialize;

use crate::noise::Lost;

/// The number of times that a run is repeated at once when the machine has disturbed it.
const REPEATS: usize = 2;

/// The result of one run, and how much of its processors was lost to others.
pub struct Run<O> {
    /// The result.
    pub outcome: O,
    /// What others took.
    pub lost: Lost,
}

/// How one comparison went.
#[derive(Clone, Debug, Serialize)]
pub struct Course {
    /// The subjects in the order of their table.
    pub subjects: Vec<String>,
    /// Rounds that count.
    pub rounds: usize,
    /// Rounds in which a run was disturbed each time that it was repeated.
    pub thrown_away: usize,
    /// Runs that were repeated.
    pub repeated: usize,
    /// The largest share of the processors that others took from a run that counts.
    pub lost_at_most: f64,
    /// No round was without disturbance, so the disturbed ones count.
    pub disturbed: bool,
}

/// Measures each case once a round, until there are as many rounds as wanted in which others took at most the share
/// `tolerated` of the processors from each run. Returns what came of each case, round by round, and how it went.
///
/// A disturbed run is repeated twice, and if all three were disturbed, its round is thrown away. After twice as many
/// rounds as wanted there are no more: the undisturbed ones count, or all if there is none.
pub fn undisturbed<C, O>(
    cases: &[C],
    wanted: usize,
    tolerated: f64,
    mut measure: impl FnMut(&C) -> io::Result<Run<O>>,
) -> io::Result<(Vec<Vec<O>>, Course)> {
    let (mut clean, mut spoiled) = (Vec::new(), Vec::new());
    let mut repeated = 0;
    for round in 0..2 * wanted {
        let mut runs: Vec<Option<Run<O>>> = cases.iter().map(|_| None).collect();
        let mut is_spoiled = false;
        for index in order(cases.len(), round) {
            let mut run = measure(&cases[index])?;
            for _ in 0..REPEATS {
                // A round that does not count need not be repeated in parts.
                if run.lost.share() <= tolerated || is_spoiled {
                    break;
                }
                repeated += 1;
                run = measure(&cases[index])?;
            }
            is_spoiled |= run.lost.share() > tolerated;
            runs[index] = Some(run);
        }
        let runs: Vec<Run<O>> = runs.into_iter().flatten().collect();
        if is_spoiled {
            spoiled.push(runs)
        } else {
            clean.push(runs)
        }
        if clean.len() == wanted {
            break;
        }
    }
    let disturbed = clean.is_empty() && !spoiled.is_empty();
    let thrown_away = if disturbed { 0 } else { spoiled.len() };
    let mut counted = if disturbed { spoiled } else { clean };
    // In place of all that was tried, as many as were wanted: the least disturbed ones.
    let worst = |runs: &Vec<Run<O>>| runs.iter().map(|run| run.lost.share()).fold(0.0, f64::max);
    counted
        .sort_by(|one, other| if disturbed { worst(one).total_cmp(&worst(other)) } else { std::cmp::Ordering::Equal });
    counted.truncate(wanted);
    let course = Course {
        subjects: Vec::new(),
        rounds: counted.len(),
        thrown_away,
        repeated,
        lost_at_most: counted.iter().map(worst).fold(0.0, f64::max),
        disturbed,
    };
    let mut outcomes: Vec<Vec<O>> = cases.iter().map(|_| Vec::new()).collect();
    for runs in counted {
        for (of, run) in outcomes.iter_mut().zip(runs) {
            of.push(run.outcome);
        }
    }
    Ok((outcomes, course))
}

/// Measures each case once a round. Returns what came of each, round by round.
pub fn in_turn<C, O>(
    cases: &[C],
    rounds: usize,
    mut measure: impl FnMut(&C) -> io::Result<O>,
) -> io::Result<Vec<Vec<O>>> {
    let mut outcomes: Vec<Vec<O>> = cases.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for index in order(cases.len(), round) {
            outcomes[index].push(measure(&cases[index])?);
        }
    }
    Ok(outcomes)
}

/// The order of a round: A B, then B A, so that a drift of the machine meets both alike. After two rounds the next case
/// comes first.
pub fn order(count: usize, round: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(round / 2 % count.max(1));
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

impl Course {
    /// A sentence for people, where there is something to say.
    pub fn remark(&self, wanted: usize) -> Option<String> {
        let percent = self.lost_at_most * 100.0;
        if self.disturbed {
            return Some(format!(
                "NOT QUIET: no round was without disturbance, so these figures are of disturbed ones (others took up \
                 to {percent:.0} % of the processors)"
            ));
        }
        let Self { rounds, thrown_away, repeated, .. } = self;
        (*thrown_away > 0 || *repeated > 0).then(|| {
            format!(
                "{rounds} of {wanted} rounds count; {thrown_away} were thrown away and {repeated} runs repeated, \
                 because others took too much of the processors"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcome: usize, foreign: f64) -> io::Result<Run<usize>> {
        Ok(Run { outcome, lost: Lost { foreign, stolen: 0.0 } })
    }

    #[test]
    fn two_cases_are_measured_a_b_b_a() {
        let mut seen = Vec::new();
        let note = |case: &char| {
            seen.push(*case);
            Ok(())
        };
        in_turn(&['a', 'b'], 4, note).expect("nothing fails");
        assert_eq!(seen.iter().collect::<String>(), "abbabaab");
    }

    #[test]
    fn each_case_comes_first_in_its_turn_and_each_order_is_followed_by_its_reverse() {
        let orders: Vec<_> = (0..6).map(|round| order(3, round)).collect();
        assert_eq!(orders[..4], [vec![0, 1, 2], vec![2, 1, 0], vec![1, 2, 0], vec![0, 2, 1]]);
        assert_eq!(orders[4..], [vec![2, 0, 1], vec![1, 0, 2]]);
        assert_eq!(order(0, 3), Vec::<usize>::new());
    }

    #[test]
    fn a_disturbed_run_is_repeated_at_once() {
        let mut seen = Vec::new();
        let (outcomes, course) = undisturbed(&['a', 'b'], 1, 0.05, |case| {
            seen.push(*case);
            run(seen.len(), if seen.len() == 1 { 0.5 } else { 0.0 })
        })
        .expect("nothing fails");
        assert_eq!(seen, ['a', 'a', 'b']);
        assert_eq!(outcomes, [[2], [3]]);
        assert_eq!((course.rounds, course.thrown_away, course.repeated), (1, 0, 1));
        assert!(course.remark(1).expect("a remark").contains("1 of 1 rounds count"));
    }

    #[test]
    fn a_round_with_a_run_that_stays_disturbed_is_thrown_away_for_all() {
        let mut runs = 0;
        let (outcomes, course) = undisturbed(&['a', 'b'], 2, 0.05, |_| {
            runs += 1;
            // The first round: a, and b three times.
            run(runs, if (2..=4).contains(&runs) { 0.3 } else { 0.01 })
        })
        .expect("nothing fails");
        // Then b a twice.
        assert_eq!(outcomes, [[6, 8], [5, 7]]);
        assert_eq!((course.rounds, course.thrown_away, course.repeated), (2, 1, 2));
        assert!(!course.disturbed && course.lost_at_most < 0.02);
    }

    #[test]
    fn on_a_machine_that_is_never_quiet_the_least_disturbed_rounds_count_and_say_so() {
        let mut runs = 0;
        let (outcomes, course) = undisturbed(&['a'], 1, 0.05, |_| {
            runs += 1;
            run(runs, 0.9 - runs as f64 / 10.0)
        })
        .expect("nothing fails");
        // Two rounds of three runs each; the last run is the least disturbed one.
        assert_eq!(outcomes, [[6]]);
        assert!(course.disturbed && course.rounds == 1);
        assert!(course.remark(1).expect("a remark").starts_with("NOT QUIET"));
    }

    #[test]
    fn a_quiet_machine_needs_no_remark() {
        let (outcomes, course) = undisturbed(&['a', 'b'], 3, 0.05, |_| run(1, 0.0)).expect("nothing fails");
        assert_eq!(outcomes, [[1, 1, 1], [1, 1, 1]]);
        assert_eq!(course.remark(3), None);
    }
}
