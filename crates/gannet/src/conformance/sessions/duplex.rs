//! Sessions that receive while they wait to send.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use super::super::rig::{Ending as StreamEnding, Rig, Setup};
use super::super::script::numbered;
use super::super::{Client, Net, on_every_driver};
use super::{dialogues, serve};
use crate::driver::sim::Answer;
use crate::proto::Raw;
use crate::session::{self, Connection, Error, Upstreams, both, connect, sleep};
use crate::{Address, Connect, Outbound};

fn small_outbox() -> Setup {
    Setup::new().limits(|limits| {
        limits.outbox_high = 20_000;
        limits.outbox_hard = 60_000;
    })
}

fn a_session_reads_while_it_waits_for_a_peer_that_does_not<N: Net>(net: N) {
    /// Lines that shall come while the session waits to send.
    const MEANWHILE: usize = 50;
    let meanwhile = Rc::new(Cell::new(0));
    let mut rig = dialogues(small_outbox(), {
        let meanwhile = meanwhile.clone();
        move |mut connection| {
            let meanwhile = meanwhile.clone();
            async move {
                let waits = Cell::new(false);
                let (mut reader, mut writer) = connection.split();
                let receives = async {
                    let mut heard = 0;
                    while meanwhile.get() < MEANWHILE {
                        let Some(line) = reader.next().await? else { break };
                        assert_eq!(*line, *numbered(heard, 40).as_bytes());
                        heard += 1;
                        meanwhile.set(meanwhile.get() + usize::from(waits.get()));
                    }
                    Ok::<_, Error>(())
                };
                let sends = async {
                    let mut sent = 0;
                    while meanwhile.get() < MEANWHILE {
                        let sending = writer.send([numbered(sent, 999).as_bytes()]);
                        sent += 1;
                        waits.set(true);
                        sending.await?;
                        waits.set(false);
                    }
                    Ok(sent)
                };
                let ((), sent) = both(receives, sends).await?;
                connection.send([format!("{sent} lines").as_bytes()]).await
            }
        }
    })
    .on(net);
    let mut client = rig.connect();
    // The client reads nothing, so that sooner or later the session waits for it; and is told something nevertheless.
    let mut told = 0;
    while meanwhile.get() < MEANWHILE {
        assert!(told < 100_000, "the session hears nothing while it waits");
        rig.write(&mut client, (numbered(told, 40) + "\n").as_bytes());
        rig.turn();
        told += 1;
    }
    let (said, ending) = rig.read_to_end(&mut client);
    let lines: Vec<&[u8]> = said.split(|byte| *byte == b'\n').collect();
    let [sent @ .., last, b""] = &lines[..] else { panic!("no last line") };
    assert!(sent.iter().enumerate().all(|(index, line)| **line == *numbered(index, 999).as_bytes()));
    assert_eq!((*last, ending), (format!("{} lines", sent.len()).as_bytes(), StreamEnding::Finished));
    drop(client);
    rig.finish();
}

fn without_halves_nothing_is_read_while_the_session_waits_to_send<N: Net>(net: N) {
    let mut rig = dialogues(small_outbox(), |mut connection| async move {
        loop {
            connection.send([numbered(0, 999).as_bytes()]).await?;
        }
    })
    .on(net);
    let mut client = rig.connect();
    rig.until("the outbox to be over the high mark", |rig| (rig.reactor_stats().slow_readers == 1).then_some(()));
    // As much as there is room for: not all of it, since nobody takes it.
    let piece = [b'x'; 64 * 1024];
    rig.until("the kernel to take no more", |_| match client.write(&piece) {
        Ok(_) => None,
        Err(error) => {
            assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
            Some(())
        }
    });
    let held = rig.reactor.core().pools.carried();
    assert!(held <= 16 * 1024 + 64 * 1024, "{held} bytes wait for one session");
    drop(client);
    rig.finish();
}

pub(super) fn the_first_error_of_two_ends_both<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        let (mut reader, mut writer) = connection.split();
        let receives = async {
            let line = reader.next().await?;
            Err::<(), _>(Error::other(format!("heard {}", line.is_some())))
        };
        let sends = async {
            writer.send([b"hello"]).await?;
            sleep(Duration::from_secs(3_600)).await;
            Ok(())
        };
        let error = both(receives, sends).await.expect_err("one fails");
        // A value of one that was ready before is kept until then.
        let two = both(async { Ok::<_, Error>(2) }, async {
            sleep(Duration::from_millis(1)).await;
            Ok(3)
        })
        .await?;
        connection.send([format!("{error}, {two:?}").as_bytes()]).await
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    rig.write(&mut client, b"x\n");
    assert_eq!(rig.read_to_end(&mut client).0, b"heard true, (2, 3)\n");
    drop(client);
    rig.finish();
}

/// Copies both ways at once, and hands the end of each stream on.
async fn forward(mut client: Connection<Raw>, to: Connect) -> session::Result {
    let mut server = connect(Raw, &to).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        while let Some(bytes) = from_client.next().await? {
            to_server.send([&bytes]).await?;
        }
        to_server.shutdown_write();
        Ok::<_, Error>(())
    };
    let down = async {
        while let Some(bytes) = from_server.next().await? {
            to_client.send([&bytes]).await?;
        }
        to_client.shutdown_write();
        Ok(())
    };
    let done = both(up, down).await;
    if done.is_err() {
        client.reset();
    }
    done.map(|_| ())
}

fn forwarding<N: Net>(mut net: N) -> (Rig<N>, std::net::SocketAddr) {
    let address = net.remote(Answer::Accept);
    let to = Connect::to(Address::Tcp(address));
    let mut setup = small_outbox().listen(session::service(|| Raw, move |client| forward(client, to.clone())));
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    (setup.on(net), address)
}

/// One side of a pair: what it still sends, and what it has read.
struct Side<'b> {
    sends: &'b [u8],
    has_ended: bool,
    came: Vec<u8>,
    is_at_end: bool,
}

impl<'b> Side<'b> {
    fn new(sends: &'b [u8]) -> Self {
        Self { sends, has_ended: false, came: Vec::new(), is_at_end: false }
    }

    /// Sends and reads what goes.
    fn go_on(&mut self, client: &mut impl Client, piece: usize) {
        while !self.sends.is_empty()
            && let Ok(count) = client.write(&self.sends[..self.sends.len().min(piece)])
        {
            self.sends = &self.sends[count..];
        }
        if self.sends.is_empty() && !self.has_ended {
            self.has_ended = true;
            client.shutdown();
        }
        let mut buffer = [0; 4_096];
        match client.read(&mut buffer) {
            Ok(0) => self.is_at_end = true,
            Ok(count) => self.came.extend_from_slice(&buffer[..count]),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
}

fn a_session_copies_both_ways_at_once_and_hands_the_ends_on<N: Net>(net: N) {
    let (mut rig, address) = forwarding(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    let (up, down): (Vec<u8>, Vec<u8>) = (0..300_000_u32).map(|at| ((at % 251) as u8, (at % 241) as u8)).unzip();
    let (mut near, mut far) = (Side::new(&up), Side::new(&down[..200_000]));
    rig.until("all bytes", |_| {
        near.go_on(&mut client, 30_000);
        far.go_on(&mut server, 7_000);
        (near.is_at_end && far.is_at_end).then_some(())
    });
    assert!(far.came == up && near.came == down[..200_000], "{} and {}", far.came.len(), near.came.len());
    drop((client, server));
    rig.finish();
}

fn an_outbound_connection_that_breaks_is_no_end_of_its_stream<N: Net>(net: N) {
    let (mut rig, address) = forwarding(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    rig.write(&mut client, b"ask");
    assert_eq!(rig.read(&mut server, 3), b"ask");
    rig.write(&mut server, b"half of the ans");
    assert_eq!(rig.read(&mut client, 15), b"half of the ans");
    server.reset();
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Reset));
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_session_reads_while_it_waits_for_a_peer_that_does_not,
    without_halves_nothing_is_read_while_the_session_waits_to_send,
    the_first_error_of_two_ends_both,
    a_session_copies_both_ways_at_once_and_hands_the_ends_on,
    an_outbound_connection_that_breaks_is_no_end_of_its_stream,
);
