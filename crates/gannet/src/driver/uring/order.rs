//! In which order receives are armed: who finds the buffers used up every time gets none of them, so it comes first.

use crate::ids::Token;

/// Connections whose receive is to be armed with the next wait.
#[derive(Default)]
pub(super) struct Order {
    /// Those that found no buffer, in the order in which they looked for one.
    starved: Vec<Token>,
    others: Vec<Token>,
    /// Who has taken the last buffer, and found no more.
    drained: Option<Token>,
    /// Who was the last to receive something.
    fed: Option<Token>,
}

impl Order {
    /// Notes that a connection has received something. Called in the order in which the kernel reports it.
    #[inline]
    pub(super) fn note_received(&mut self, token: Token) {
        self.fed = Some(token);
    }

    /// Has a connection received for.
    pub(super) fn add(&mut self, token: Token) {
        self.others.push(token);
    }

    /// The same for one whose receive ended because there was no buffer, which is reported right behind what it received.
    pub(super) fn add_without_buffer(&mut self, token: Token) {
        if self.fed == Some(token) && self.drained.is_none() {
            self.drained = Some(token);
        } else {
            self.starved.push(token);
        }
    }

    /// Whether anybody found no buffer in this turn.
    pub(super) fn ran_out(&self) -> bool {
        !self.starved.is_empty() || self.drained.is_some()
    }

    /// Whether this connection found none, and got none before.
    pub(super) fn is_starved(&self, token: Token) -> bool {
        self.starved.contains(&token)
    }

    /// Moves all of them to the end of `into`, in the order in which they are armed. What is there of buffers goes round:
    /// those that got none come before those that got some, and who took the last of them comes last.
    pub(super) fn take(&mut self, into: &mut Vec<Token>) {
        into.append(&mut self.starved);
        into.append(&mut self.others);
        into.extend(self.drained.take());
        self.fed = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many buffers for these: some take as many of them as they can get, up to a limit, the others one. Says who got
    /// some, in each turn.
    fn served(turns: usize, limit: usize, greedy: &[Token], modest: &[Token]) -> Vec<Vec<Token>> {
        let mut order = Order::default();
        greedy.iter().chain(modest).for_each(|token| order.add(*token));
        let turn = |_| {
            let (mut left, mut got, mut armed) = (16, Vec::new(), Vec::new());
            order.take(&mut armed);
            for token in armed {
                let wants = if greedy.contains(&token) { limit } else { 1 };
                if left > 0 {
                    order.note_received(token);
                    got.push(token);
                }
                if wants > left {
                    order.add_without_buffer(token);
                } else {
                    order.add(token);
                }
                left -= wants.min(left);
            }
            got
        };
        (0..turns).map(turn).collect()
    }

    #[test]
    fn who_takes_all_buffers_comes_after_those_that_got_none() {
        let served = served(20, usize::MAX, &[0], &[1, 2, 3]);
        assert_eq!(served[0], [0]);
        for got in &served[1..] {
            assert!(got.len() == 4 && got.last() == Some(&0), "{got:?}: all in every turn but the first");
        }
    }

    #[test]
    fn many_who_take_all_buffers_have_them_in_turn_and_others_theirs_in_between() {
        for limit in [4, 5, 16, usize::MAX] {
            let (turns, greedy) = (90, [0, 1, 2, 3, 4, 5, 6, 7, 8]);
            let served = served(turns, limit, &greedy, &[9]);
            let times = greedy.map(|token| served.iter().filter(|got| got.contains(&token)).count());
            let (least, most) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
            assert!(*least >= turns / greedy.len() - 1 && *most <= 3 * *least, "of {limit}: {times:?}");
            let longest = served.split(|got| got.contains(&9)).map(<[_]>::len).max();
            assert!(longest <= Some(greedy.len()), "of {limit}: one who wants a buffer waited for {longest:?} turns");
        }
    }

    #[test]
    fn only_those_that_got_nothing_for_want_of_a_buffer_are_starved() {
        let mut order = Order::default();
        order.add(1);
        order.note_received(2);
        order.add_without_buffer(2);
        order.add_without_buffer(3);
        order.add(4);
        assert!(order.ran_out() && order.is_starved(3));
        assert!(!order.is_starved(2) && !order.is_starved(4));
        let mut armed = Vec::new();
        order.take(&mut armed);
        assert_eq!(armed, [3, 1, 4, 2]);
        order.take(&mut armed);
        assert!(!order.ran_out() && armed.len() == 4);
    }
}
