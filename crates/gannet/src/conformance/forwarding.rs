//! Received bytes that go to other connections: where they are large, out of the receive buffer.

use std::io;

use super::on_every_driver;
use super::rig::Setup;
use super::{Client, Net};
use crate::proto::Raw;
use crate::{Context, Handle, Refused, SendStatus, Service};

/// Sends what the first connection sends to all others.
struct Tee {
    opened: Vec<Handle>,
}

impl Service for Tee {
    type Codec = Raw;
    type Session = ();

    const AUTO_PAUSE: bool = false;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.push(cx.handle());
        Ok(())
    }

    fn message(&mut self, (): &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        for other in &self.opened[1..] {
            let sent = cx.send_to(*other, &[bytes]);
            assert!(matches!(sent, Ok(SendStatus::Queued | SendStatus::OverHigh)), "{sent:?}");
        }
    }
}

/// After so many bytes what is sent repeats itself.
const PERIOD: usize = 251;

fn pattern(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|at| (at % PERIOD) as u8).collect()
}

/// Reads what is there, looks at it, and says how much has come by now.
fn read_on(client: &mut impl Client, mut read: usize) -> usize {
    let mut buffer = vec![0; 256 << 10];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => panic!("the stream ended after {read} bytes"),
            Ok(count) => {
                assert!(buffer[..count] == pattern(read, count)[..], "wrong bytes from {read} on");
                read += count;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return read,
            Err(error) => panic!("broken off after {read} bytes: {error}"),
        }
    }
}

fn what_goes_to_others_out_of_the_receive_buffer_is_right_for_quick_and_slow_readers<N: Net>(net: N) {
    let limits = |limits: &mut crate::Limits| limits.outbox_hard = 64 << 20;
    let mut rig = Setup::new().limits(limits).listen(Tee { opened: Vec::new() }).on(net);
    let mut source = rig.connect();
    rig.until("the source to be open", |rig| (rig.stats(0).connections == 1).then_some(()));
    let (mut quick, mut slow) = (rig.connect(), rig.connect());
    rig.until("both readers to be open", |rig| (rig.stats(0).connections == 3).then_some(()));
    // More than a kernel keeps for one that does not read; in a simulated network, where windows are small, less will do.
    let total = if N::TIME_IS_FREE { 200 << 10 } else { 24 << 20 };
    let (mut written, mut read) = (0, 0);
    rig.until("the quick reader to get everything", |_| {
        while written < total {
            // From a few bytes to what fills a receive buffer more than once.
            let size = [100_000, 3, 9_000, 200_000, 17_000][written % 5].min(total - written);
            match source.write(&pattern(written, size)) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("broken off after {written} bytes were written: {error}"),
            }
        }
        read = read_on(&mut quick, read);
        (read == total).then_some(())
    });
    let mut read = 0;
    rig.until("the slow reader to get everything", |_| {
        read = read_on(&mut slow, read);
        (read == total).then_some(())
    });
    let lent = rig.reactor.core().pools.blocks.lent_to_others;
    // The simulated driver lends nothing.
    assert_eq!(lent > 0, !N::TIME_IS_FREE, "large pieces left out of the receive buffer {lent} times");
    drop((source, quick, slow));
    rig.finish();
}

on_every_driver!(what_goes_to_others_out_of_the_receive_buffer_is_right_for_quick_and_slow_readers);
