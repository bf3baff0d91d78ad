//! Sequential sessions: what a dialogue notices of its peer, its reactor, and its end.

mod callers;
mod cancel_safety;
mod connections;
mod dropping;
mod duplex;
mod ends;
mod messages;
mod outbound;
mod requests;
mod waiting;

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;

use super::rig::{Ending as StreamEnding, Rig, Setup};
use super::script::lines;
use super::{Net, on_every_driver};
use crate::CloseReason;
use crate::proto::Lines;
use crate::session::{self, Connection};

/// What sessions note for their test.
type Notes = Rc<RefCell<Vec<String>>>;

/// A service of sessions of lines.
fn dialogues<M, F>(setup: Setup, session: M) -> Setup
where
    M: Fn(Connection<Lines>) -> F + 'static,
    F: Future<Output = session::Result> + 'static,
{
    setup.listen(session::service(lines, session))
}

fn serve<N: Net, M, F>(net: N, session: M) -> Rig<N>
where
    M: Fn(Connection<Lines>) -> F + 'static,
    F: Future<Output = session::Result> + 'static,
{
    dialogues(Setup::new(), session).on(net)
}

async fn echo(mut connection: Connection<Lines>) -> session::Result {
    while let Some(line) = connection.next().await? {
        connection.send([b"echo: ", &line]).await?;
    }
    Ok(())
}

/// Notes when the session that holds it is dropped.
struct Gone(Notes);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.borrow_mut().push("gone".to_owned());
    }
}

fn a_dialogue_greets_asks_and_answers_in_turn<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        for attempt in 1..=3 {
            connection.send([b"password?"]).await?;
            match connection.next().await? {
                Some(line) if *line == *b"secret" => return connection.send([b"welcome"]).await,
                Some(_) => connection.send([format!("wrong {attempt}").as_bytes()]).await?,
                None => return Ok(()),
            }
        }
        connection.close_because("three wrong passwords");
        Ok(())
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "password?");
    assert_eq!(rig.ask(&mut client, "guess"), "wrong 1");
    assert_eq!(rig.line(&mut client), "password?");
    assert_eq!(rig.ask(&mut client, "secret"), "welcome");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
    let mut other = rig.connect();
    rig.write(&mut other, b"a\nb\nc\n");
    let (said, _) = rig.read_to_end(&mut other);
    assert_eq!(said, b"password?\nwrong 1\npassword?\nwrong 2\npassword?\nwrong 3\n");
    drop((client, other));
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Other("three wrong passwords")), 1);
}

on_every_driver!(a_dialogue_greets_asks_and_answers_in_turn);

/// On one network that does nothing of its own: what Miri has time for.
mod calm {
    use std::time::Duration;

    use crate::conformance::simulated::{Simulated, on_network};
    use crate::driver::sim::Faults;
    use crate::session::within;

    fn net() -> Simulated {
        on_network(0, Faults::none())
    }

    #[test]
    fn a_message_that_came_in_time_wins_over_a_deadline_that_the_reactor_is_late_for() {
        let mut rig = super::serve(net(), |mut connection| async move {
            connection.send([b"hello"]).await?;
            let line = within(Duration::from_millis(10), connection.next()).await;
            connection.send([if line.is_ok() { b"in time" } else { b"too late" }]).await
        });
        let mut client = rig.connect();
        assert_eq!(rig.line(&mut client), "hello");
        rig.write(&mut client, b"x\n");
        rig.net.stall(Duration::from_millis(50));
        assert_eq!(rig.line(&mut client), "in time");
        drop(client);
        rig.finish();
    }

    #[test]
    fn a_future_is_polled_and_dropped_where_it_lies() {
        super::a_dialogue_greets_asks_and_answers_in_turn(net());
        super::ends::the_peers_end_waits_for_a_session_that_does_something_else(net());
        super::ends::a_reset_drops_the_session_where_it_waits_with_what_it_spawned(net());
        super::ends::a_session_that_panics_is_closed_alone(net());
        super::messages::a_session_may_answer_what_its_codec_rejects(net());
        super::duplex::the_first_error_of_two_ends_both(net());
        super::waiting::many_timers_of_a_session_fire_in_the_order_of_their_moments(net());
        super::waiting::sessions_of_a_reactor_hand_each_other_values_and_join_a_group(net());
    }
}
