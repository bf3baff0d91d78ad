//! Values that connections of one reactor give each other.

use std::cell::RefCell;
use std::rc::Rc;

use super::Net;
use super::on_every_driver;
use super::rig::Setup;
use crate::proto::Lines;
use crate::{Context, Handle, Notice, NotifyError, Refused, SendError, Service};

/// Everybody who came, of any service.
type Opened = Rc<RefCell<Vec<Handle>>>;

/// Tells the first connection what a line says.
struct Teller {
    opened: Opened,
}

/// A service of another type.
struct Stranger {
    opened: Opened,
}

impl Service for Teller {
    type Codec = Lines;
    type Session = Vec<String>;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Vec<String>, Refused> {
        self.opened.borrow_mut().push(cx.handle());
        Ok(Vec::new())
    }

    fn message(&mut self, _: &mut Vec<String>, line: &[u8], cx: &mut Context<'_, Self>) {
        let line = String::from_utf8(line.to_vec()).expect("lines here are text");
        let first = self.opened.borrow()[0];
        let said = match line.split_once(' ') {
            Some(("tell", what)) => {
                let sent = cx.send_to(first, &[b"before"]);
                let told = cx.notify_other::<Self, _>(first, what.to_owned());
                format!("{sent:?} {told:?} {:?}", cx.send_to(first, &[b"after"]))
            }
            Some(("flood", count)) => {
                let count: usize = count.parse().expect("a number");
                let told = (0..count).map(|number| cx.notify_other::<Self, _>(first, number.to_string()));
                let refused: Vec<_> = told.filter_map(Result::err).collect();
                format!("{:?}", refused.iter().map(|error| (&*error.value, error.reason)).collect::<Vec<_>>())
            }
            Some(("count", number)) => {
                let number = number.parse::<u64>().expect("a number");
                format!("{:?}", cx.notify_other::<Self, _>(first, number))
            }
            _ => line,
        };
        cx.send(&[said.as_bytes()]);
    }
}

impl Notice<String> for Teller {
    fn notice(&mut self, told: &mut Vec<String>, value: String, cx: &mut Context<'_, Self>) {
        cx.send(&[b"told ", value.as_bytes()]);
        told.push(value);
    }
}

impl Notice<u64> for Teller {
    /// Tells itself once less, so that there are as many rounds.
    fn notice(&mut self, _: &mut Vec<String>, left: u64, cx: &mut Context<'_, Self>) {
        match left.checked_sub(1) {
            Some(left) => cx.notify_other::<Self, _>(cx.handle(), left).expect("it is here"),
            None => {
                cx.send(&[b"counted"]);
            }
        }
    }
}

impl Service for Stranger {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.borrow_mut().push(cx.handle());
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

fn teller(opened: &Opened) -> Teller {
    Teller { opened: opened.clone() }
}

fn a_value_for_another_connection_comes_in_order_with_what_is_sent_to_it<N: Net>(net: N) {
    let mut rig = Setup::new().listen(teller(&Opened::default())).on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, "tell news"), "Ok(Queued) Ok(()) Ok(Queued)");
    let lines = ["before", "told news", "after"];
    lines.into_iter().for_each(|wanted| assert_eq!(rig.line(&mut first), wanted));
    // Also to itself, after the callback.
    rig.write(&mut first, b"tell itself\n");
    let said = (0..4).map(|_| rig.line(&mut first)).collect::<Vec<_>>();
    assert!(said.iter().position(|line| line == "told itself") > said.iter().position(|line| line.starts_with("Ok(")));
    assert_eq!(rig.remote.stats()[0].letters, 0, "nothing took the mailbox");
    drop((first, second));
    rig.finish();
}

fn a_value_for_a_connection_that_is_gone_comes_back<N: Net>(net: N) {
    let mut rig = Setup::new().listen(teller(&Opened::default())).on(net);
    let (mut first, mut second) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut first, "here"), "here");
    assert_eq!(rig.ask(&mut second, "here"), "here");
    drop(first);
    rig.until("the first to be gone", |rig| (rig.stats(0).connections == 1).then_some(()));
    assert_eq!(rig.ask(&mut second, "flood 1"), r#"[("0", Gone)]"#);
    drop(second);
    rig.finish();
}

fn a_value_for_a_service_of_another_type_is_dropped_and_counted<N: Net>(net: N) {
    let opened = Opened::default();
    let setup = Setup::new().listen(Stranger { opened: opened.clone() }).listen(teller(&opened));
    let mut rig = setup.on(net);
    let stranger = rig.connect();
    rig.until("the stranger to be open", |_| (opened.borrow().len() == 1).then_some(()));
    let mut second = rig.net.connect_from(1, std::net::Ipv4Addr::LOCALHOST.into());
    assert_eq!(rig.ask(&mut second, "flood 3"), "[]");
    assert_eq!(rig.remote.stats()[0].stale_handles, 3);
    drop((stranger, second));
    rig.finish();
}

fn more_values_than_a_mailbox_holds_are_given_back_and_counted<N: Net>(net: N) {
    let setup = Setup::new().limits(|limits| limits.mailbox = 4).listen(teller(&Opened::default()));
    let mut rig = setup.on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, "flood 6"), r#"[("4", MailboxFull), ("5", MailboxFull)]"#);
    (0..4).for_each(|number| assert_eq!(rig.line(&mut first), format!("told {number}")));
    assert_eq!(rig.remote.stats()[0].mailbox_full, 2);
    // There is room again.
    assert_eq!(rig.ask(&mut second, "flood 4"), "[]");
    drop((first, second));
    rig.finish();
}

fn values_that_lead_to_values_do_not_hold_a_turn_for_ever<N: Net>(net: N) {
    let mut rig = Setup::new().listen(teller(&Opened::default())).on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let before = rig.remote.stats()[0].wakeups;
    assert_eq!(rig.ask(&mut first, "count 1000"), "Ok(())");
    assert_eq!(rig.line(&mut first), "counted");
    let turns = rig.remote.stats()[0].wakeups - before;
    assert!(turns >= 1_000 / 257, "all in {turns} turns");
    drop(first);
    rig.finish();
}

fn a_value_for_another_engine_comes_back<N: Net>(net: N) {
    let opened = Opened::default();
    let mut rig = Setup::new().listen(teller(&opened)).on(net);
    let mut client = rig.connect();
    rig.until("it to be open", |_| (opened.borrow().len() == 1).then_some(()));
    let here = opened.borrow()[0];
    opened.borrow_mut()[0] = Handle { engine: here.engine.wrapping_add(1), ..here };
    assert_eq!(rig.ask(&mut client, "flood 1"), r#"[("0", OtherEngine)]"#);
    opened.borrow_mut()[0] = Handle { reactor: 7, ..here };
    assert_eq!(rig.ask(&mut client, "flood 1"), r#"[("0", NotRunning)]"#, "there is no such reactor");
    let error = NotifyError { value: (), reason: SendError::OtherEngine };
    assert!(error.to_string().contains("another engine"));
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_value_for_another_connection_comes_in_order_with_what_is_sent_to_it,
    a_value_for_a_connection_that_is_gone_comes_back,
    a_value_for_a_service_of_another_type_is_dropped_and_counted,
    more_values_than_a_mailbox_holds_are_given_back_and_counted,
    values_that_lead_to_values_do_not_hold_a_turn_for_ever,
    a_value_for_another_engine_comes_back,
);
