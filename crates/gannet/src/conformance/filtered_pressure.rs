//! Peers that do not read, with a filter between: both what waits for it and what it made count.

use super::filters::{DATA, END, greeted, read_data, read_unit, scripted, unit};
use super::script::{SharedLog, numbered};
use super::{Net, on_every_driver};
use crate::{CloseReason, Overflow};

fn a_peer_that_does_not_read_meets_the_limits_of_its_outbox<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| {
        setup.limits(|limits| (limits.outbox_high, limits.outbox_hard) = (64 << 10, 8 << 20))
    });
    let mut client = greeted(&mut rig);
    let mut other = greeted(&mut rig);
    rig.write_some(&mut client, &unit(DATA, b"flood 20000 1000\n"));
    rig.until_closed(CloseReason::Slow, 1);
    rig.write(&mut other, &unit(DATA, b"echo still here\n"));
    assert_eq!(read_data(&mut rig, &mut other, 11), b"still here\n");
    drop((client, other));
    rig.finish();
}

fn what_is_dropped_for_a_peer_that_does_not_read_is_whole_messages<N: Net>(net: N) {
    const BYTES: usize = 10_000;
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| {
        setup.limits(|limits| {
            (limits.outbox_high, limits.outbox_hard) = (16 << 10, 256 << 10);
            limits.overflow = Overflow::DropOldest;
        })
    });
    let mut slow = greeted(&mut rig);
    rig.write(&mut slow, &unit(DATA, b"join\n"));
    assert_eq!(read_data(&mut rig, &mut slow, 7), b"joined\n");
    let mut speaker = greeted(&mut rig);
    let mut said = 0;
    // However much the kernel takes at first, it ends.
    while rig.stats(0).dropped < 20 {
        rig.write(&mut speaker, &unit(DATA, format!("say {}\necho said\n", numbered(said, BYTES)).as_bytes()));
        assert_eq!(read_data(&mut rig, &mut speaker, 5), b"said\n");
        said += 1;
    }
    rig.write(&mut slow, &unit(END, b""));
    let (mut heard, mut came) = (Vec::new(), (DATA, Vec::new()));
    while came.0 == DATA {
        heard.extend(came.1);
        came = read_unit(&mut rig, &mut slow);
    }
    assert_eq!(came, (END, Vec::new()));
    let heard = String::from_utf8(heard).expect("nothing of a unit is missing");
    let mut numbers = 0..said;
    for line in heard.lines() {
        let number = numbers.find(|number| line == numbered(*number, BYTES));
        assert!(number.is_some(), "a message that was said, whole and in order: {line:.20}");
    }
    assert_eq!(numbers.next(), None, "the newest came");
    assert_eq!(heard.lines().count() as u64 + rig.stats(0).dropped, said as u64);
    drop((slow, speaker));
    rig.finish();
}

fn reading_goes_on_when_a_full_outbox_has_drained<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup.limits(|limits| limits.outbox_high = 32 << 10));
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &unit(DATA, b"flood 400 1000\necho after\npause 20\necho resumed\n"));
    let expected = 400 * 1_001 + 6;
    assert!(read_data(&mut rig, &mut client, expected).ends_with(b"after\n"));
    assert_eq!(read_data(&mut rig, &mut client, 8), b"resumed\n");
    assert!(log.borrow().writable > 0);
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_peer_that_does_not_read_meets_the_limits_of_its_outbox,
    what_is_dropped_for_a_peer_that_does_not_read_is_whole_messages,
    reading_goes_on_when_a_full_outbox_has_drained,
);
