//! Filters that do what no filter should: it ends their own connection, and nothing of it is left.

use std::sync::Arc;

use super::filters::{DATA, UnitFilter, Units, greeted, unit};
use super::rig::{Ending, Setup};
use super::script::{Script, SharedLog};
use super::{Client, Net, on_every_driver};
use crate::{CloseReason, Filter, FilterError, FilterFactory, FilterOutput, FilterProgress};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    FailsToSend,
    PanicsInSend,
    PanicsInEnd,
    PanicsInReceive,
    ConsumesMoreThanThereIs,
    ConsumesNothing,
}

impl FilterFactory for Fault {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Ok(Box::new(Faulty { filter: UnitFilter::new(&Units::default()), fault: *self }))
    }
}

/// A good filter, but for the fault.
struct Faulty {
    filter: UnitFilter,
    fault: Fault,
}

impl Filter for Faulty {
    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        let ready = self.filter.ready;
        match self.fault {
            Fault::PanicsInReceive if ready => {
                out.wire.extend_from_slice(b"begun");
                panic!("a filter that panics");
            }
            Fault::ConsumesNothing if ready => Ok(FilterProgress::new(0).ready(true)),
            Fault::ConsumesMoreThanThereIs => {
                let mut filtered = self.filter.receive(received, out)?;
                filtered.consumed += usize::from(filtered.consumed == received.len());
                Ok(filtered)
            }
            _ => self.filter.receive(received, out),
        }
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        self.filter.send(plain, wire)?;
        assert!(self.fault != Fault::PanicsInSend, "a filter that panics");
        if self.fault == Fault::FailsToSend { Err(FilterError::new("it fails to send")) } else { Ok(()) }
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        self.filter.end(wire);
        assert!(self.fault != Fault::PanicsInEnd, "a filter that panics");
    }
}

/// How a connection ends that sends so much and is answered, while another one stays.
fn ending<N: Net>(net: N, fault: Fault, sent: &[u8]) -> (CloseReason, Ending) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script::new(&log)).filtered(Arc::new(fault)).on(net);
    let other = greeted(&mut rig);
    let mut client = greeted(&mut rig);
    rig.write_some(&mut client, sent);
    let (_, ending) = rig.read_to_end(&mut client);
    drop(client);
    rig.until("the end of the connection", |_| (!log.borrow().closed.is_empty()).then_some(()));
    assert_eq!(log.borrow().closed.len(), 1, "the other one is still there");
    let reason = log.borrow().closed[0];
    other.reset();
    rig.finish();
    (reason, ending)
}

fn asks_and_ends() -> Vec<u8> {
    unit(DATA, b"echo something\nclose_flushed\n")
}

fn a_filter_that_fails_to_send_ends_its_connection<N: Net>(net: N) {
    assert_eq!(ending(net, Fault::FailsToSend, &asks_and_ends()), (CloseReason::Filter, Ending::Reset));
}

fn a_filter_that_panics_in_sending_ends_its_connection<N: Net>(net: N) {
    assert_eq!(ending(net, Fault::PanicsInSend, &asks_and_ends()), (CloseReason::Filter, Ending::Reset));
}

fn a_filter_that_panics_at_the_end_has_sent_what_went_before<N: Net>(net: N) {
    assert_eq!(ending(net, Fault::PanicsInEnd, &asks_and_ends()), (CloseReason::Service, Ending::Finished));
}

fn a_filter_that_panics_in_receiving_ends_its_connection<N: Net>(net: N) {
    assert_eq!(ending(net, Fault::PanicsInReceive, &asks_and_ends()), (CloseReason::Filter, Ending::Finished));
}

fn a_filter_that_consumes_more_than_there_is_is_taken_to_have_consumed_all<N: Net>(net: N) {
    let (reason, ending) = ending(net, Fault::ConsumesMoreThanThereIs, &asks_and_ends());
    assert_eq!((reason, ending), (CloseReason::Service, Ending::Finished));
}

fn a_filter_that_consumes_nothing_does_not_hold_more_and_more<N: Net>(net: N) {
    let (reason, _) = ending(net, Fault::ConsumesNothing, &unit(DATA, &[b'x'; 300_000]));
    assert_eq!(reason, CloseReason::Filter);
}

on_every_driver!(
    a_filter_that_fails_to_send_ends_its_connection,
    a_filter_that_panics_in_sending_ends_its_connection,
    a_filter_that_panics_at_the_end_has_sent_what_went_before,
    a_filter_that_panics_in_receiving_ends_its_connection,
    a_filter_that_consumes_more_than_there_is_is_taken_to_have_consumed_all,
    a_filter_that_consumes_nothing_does_not_hold_more_and_more,
);
