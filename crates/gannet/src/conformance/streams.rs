//! Connections of sessions as streams of bytes: nothing is lost on the way in or out, whoever stops polling when.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use gannet_proto::Codec;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::{Client, Net};
use crate::driver::sim::{Answer, Random};
use crate::proto::{LengthPrefixed, Lines, Raw};
use crate::session::{self, Connection, Either, Error, Stream, Upstreams, connect, draining, first, sleep};
use crate::{Address, CloseReason, Connect, Outbound};

/// Bytes of which each says where it is.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index % 251) as u8).collect()
}

fn serve<N: Net, C, M, F>(net: N, setup: Setup, codec: fn() -> C, session: M) -> Rig<N>
where
    C: Codec,
    M: Fn(Connection<C>) -> F + 'static,
    F: Future<Output = session::Result> + 'static,
{
    setup.listen(session::service(codec, session)).on(net)
}

/// Reads once.
async fn take(stream: &mut Stream, room: usize) -> io::Result<Vec<u8>> {
    poll_fn(|cx| poll_take(stream, cx, room)).await
}

fn poll_take(stream: &mut Stream, cx: &TaskContext<'_>, room: usize) -> Poll<io::Result<Vec<u8>>> {
    let mut bytes = Vec::new();
    let polled = stream.poll_take(cx, room, &mut |more| bytes.extend_from_slice(more));
    polled.map_ok(|count| {
        assert!(count == bytes.len() && count <= room);
        bytes
    })
}

/// Writes once.
async fn put(stream: &mut Stream, bytes: &[u8]) -> io::Result<usize> {
    poll_fn(|cx| stream.poll_put(cx, [bytes])).await
}

async fn put_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = &bytes[put(stream, bytes).await?..];
    }
    Ok(())
}

/// Polls a future once and drops it.
fn once<F: Future>(future: F) -> impl Future<Output = Option<F::Output>> {
    let mut future = Some(Box::pin(future));
    poll_fn(move |cx| match future.take() {
        Some(mut future) => match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        },
        None => Poll::Ready(None),
    })
}

fn bytes_that_no_message_was_made_of_are_the_first_of_a_stream<N: Net>(net: N) {
    let frames = || LengthPrefixed::u32_be().limit(1 << 20);
    let mut rig = serve(net, Setup::new(), frames, |mut connection| async move {
        while let Some(frame) = connection.next().await? {
            connection.send([&frame]).await?;
            if *frame == *b"switch" {
                break;
            }
        }
        // It has seen the header, and waits for many more bytes than there will be.
        assert!(matches!(first(connection.next(), sleep(Duration::from_millis(20))).await, Either::Right(())));
        let mut stream = connection.into_stream();
        loop {
            let bytes = take(&mut stream, 7).await?;
            if bytes.is_empty() {
                return Ok(());
            }
            put_all(&mut stream, &bytes).await?;
        }
    });
    let mut client = rig.connect();
    let rest = [b"\0\x08\0\0".to_vec(), pattern(50_000)].concat();
    rig.write(&mut client, b"\0\0\0\x03one\0\0\0\x06switch");
    rig.write(&mut client, &rest);
    assert_eq!(rig.read(&mut client, 17), b"\0\0\0\x03one\0\0\0\x06switch");
    assert!(rig.read(&mut client, rest.len()) == rest);
    rig.write(&mut client, b"and what comes later");
    assert_eq!(rig.read(&mut client, 20), b"and what comes later");
    drop(client);
    rig.finish();
}

fn a_stream_whose_reads_and_writes_are_dropped_at_every_await_loses_no_byte<N: Net>(net: N) {
    let seed = Rc::new(Cell::new(1));
    let setup = Setup::new().limits(|limits| limits.outbox_high = 3_000);
    let mut rig = serve(
        net,
        setup,
        || Raw,
        move |connection| {
            seed.set(seed.get() + 1);
            let mut random = Random::new(seed.get());
            async move {
                let mut stream = connection.into_stream();
                let (mut unsent, mut is_over) = (Vec::new(), false);
                while !is_over || !unsent.is_empty() {
                    let is_dropped = random.below(2) == 0;
                    if !is_over && (unsent.is_empty() || random.below(2) == 0) {
                        let room = 1 + random.below(5_000);
                        let read = if is_dropped { once(take(&mut stream, room)).await } else { None };
                        let read = match read {
                            Some(read) => read,
                            None if unsent.is_empty() => take(&mut stream, room).await,
                            None => continue,
                        }?;
                        is_over = read.is_empty();
                        unsent.extend_from_slice(&read);
                    } else {
                        let count = match once(put(&mut stream, &unsent)).await {
                            Some(count) => count?,
                            None if is_dropped => continue,
                            None => put(&mut stream, &unsent).await?,
                        };
                        unsent.drain(..count);
                    }
                }
                stream.end_writing();
                Ok(())
            }
        },
    );
    let sent = pattern(150_000);
    for pieces in [1, 977, 50_000] {
        let mut client = rig.connect();
        let mut said = Vec::new();
        let mut rest = &sent[..if pieces == 1 { 200 } else { sent.len() }];
        let whole = rest;
        let mut buffer = [0; 10_000];
        rig.until("all to be written and read", |_| {
            if !rest.is_empty()
                && let Ok(count) = client.write(&rest[..rest.len().min(pieces)])
            {
                rest = &rest[count..];
                if rest.is_empty() {
                    client.shutdown();
                }
            }
            match client.read(&mut buffer) {
                Ok(0) => Some(()),
                Ok(count) => {
                    said.extend_from_slice(&buffer[..count]);
                    None
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
                Err(error) => panic!("after {} bytes: {error}", said.len()),
            }
        });
        assert!(said == whole, "{} of {} bytes came back", said.len(), whole.len());
    }
    rig.finish();
}

fn the_peers_end_is_the_end_of_a_stream_and_ours_leaves_it_readable<N: Net>(net: N) {
    let mut rig = serve(
        net,
        Setup::new(),
        || Raw,
        |connection| async move {
            let mut stream = connection.into_stream();
            put_all(&mut stream, b"this is all").await?;
            stream.end_writing();
            assert_eq!(put(&mut stream, b"more").await.map_err(|error| error.kind()), Err(io::ErrorKind::BrokenPipe));
            stream.end_writing();
            let mut count = 0;
            loop {
                let bytes = take(&mut stream, 3_000).await?;
                if bytes.is_empty() {
                    break;
                }
                count += bytes.len();
                if count < 20_000 {
                    sleep(Duration::from_millis(2)).await;
                }
            }
            assert_eq!(count, 100_000);
            assert!(take(&mut stream, 10).await?.is_empty(), "it stays so");
            Ok(())
        },
    );
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client), (b"this is all".to_vec(), Ending::Finished));
    rig.write(&mut client, &pattern(100_000));
    client.shutdown();
    rig.until_closed(CloseReason::Peer, 1);
    drop(client);
    rig.finish();
}

/// Runs two futures, and polls each only if it was woken itself: as combinators do that have wakers of their own.
struct Apart<A, B> {
    futures: (Pin<Box<A>>, Pin<Box<B>>),
    woken: [Arc<Woken>; 2],
    is_done: [bool; 2],
}

struct Woken {
    is_woken: AtomicBool,
    outer: Waker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.outer.wake_by_ref();
    }
}

async fn apart(a: impl Future<Output = ()>, b: impl Future<Output = ()>) {
    let outer = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
    let woken = || Arc::new(Woken { is_woken: AtomicBool::new(true), outer: outer.clone() });
    Apart { futures: (Box::pin(a), Box::pin(b)), woken: [woken(), woken()], is_done: [false, false] }.await;
}

impl<A: Future<Output = ()>, B: Future<Output = ()>> Future for Apart<A, B> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<()> {
        let this = &mut *self;
        let futures: [Pin<&mut dyn Future<Output = ()>>; 2] = [this.futures.0.as_mut(), this.futures.1.as_mut()];
        for (index, future) in futures.into_iter().enumerate() {
            if !this.is_done[index] && this.woken[index].is_woken.swap(false, Ordering::SeqCst) {
                let waker = Waker::from(this.woken[index].clone());
                this.is_done[index] = future.poll(&mut TaskContext::from_waker(&waker)).is_ready();
            }
        }
        if this.is_done == [true, true] { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn a_stream_reads_while_it_waits_to_write_and_holds_no_more_than_the_high_mark<N: Net>(net: N) {
    const HIGH: usize = 20_000;
    const BYTES: usize = 300_000;
    let (waited, has_read) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = HIGH;
        limits.outbox_hard = HIGH + 1_000;
    });
    let mut rig = serve(net, setup, || Raw, {
        let (waited, has_read) = (waited.clone(), has_read.clone());
        move |connection| {
            let (waited, has_read) = (waited.clone(), has_read.clone());
            async move {
                let stream = Rc::new(RefCell::new(connection.into_stream()));
                let sent = pattern(100_000);
                let write = async {
                    let mut written = 0;
                    while !has_read.get() {
                        let count = poll_fn(|cx| {
                            let polled = stream.borrow_mut().poll_put(cx, [&sent[written % 251..]]);
                            waited.set(waited.get() + usize::from(polled.is_pending()));
                            polled
                        });
                        let count = count.await.expect("it is open");
                        assert!(count <= HIGH + 1, "a write of {count} bytes was taken");
                        written += count;
                    }
                    stream.borrow_mut().end_writing();
                };
                let read = async {
                    let mut all = Vec::new();
                    while all.len() < BYTES {
                        let more = poll_fn(|cx| poll_take(&mut stream.borrow_mut(), cx, 10_000)).await;
                        all.extend_from_slice(&more.expect("it is open"));
                    }
                    assert!(all == pattern(BYTES));
                    has_read.set(true);
                };
                apart(write, read).await;
                Ok(())
            }
        }
    });
    let mut client = rig.connect();
    // The session has to take all of it before the client reads anything.
    rig.write(&mut client, &pattern(BYTES));
    rig.until("the session to read", |_| has_read.get().then_some(()));
    assert!(rig.reactor_stats().outbox_bytes <= HIGH as u64 + 1);
    let (said, _) = rig.read_to_end(&mut client);
    assert!(said == pattern(said.len()) && said.len() > HIGH);
    assert!(waited.get() > 0, "the outbox was never full");
    drop(client);
    rig.finish();
}

fn a_stream_that_is_not_read_slows_its_peer_down<N: Net>(net: N) {
    const BYTES: usize = 12_000_000;
    let may_go_on = Rc::new(Cell::new(false));
    let mut rig = serve(net, Setup::new(), || Raw, {
        let may_go_on = may_go_on.clone();
        move |connection| {
            let may_go_on = may_go_on.clone();
            async move {
                let mut stream = connection.into_stream();
                let mut count = take(&mut stream, 1).await?.len();
                while !may_go_on.get() {
                    sleep(Duration::from_millis(1)).await;
                }
                while count < BYTES {
                    count += poll_fn(|cx| stream.poll_take(cx, 1 << 20, &mut |_| ())).await?;
                }
                put_all(&mut stream, b"all of it").await?;
                Ok(())
            }
        }
    });
    let mut client = rig.connect();
    let flood = vec![b'x'; BYTES];
    let (mut written, mut refused) = (0, 0);
    while written < BYTES {
        match client.write(&flood[written..]) {
            Ok(count) => (written, refused) = (written + count, 0),
            Err(_) => refused += 1,
        }
        rig.turn();
        // 16 KiB, and what the driver had received before it heard of it, which may fill all of its buffers (1 MiB) before
        // and once more while the receive is being stopped; the sockets have the rest.
        let carried = rig.reactor.core().pools.carried();
        assert!(may_go_on.get() || carried <= (16 << 10) + (2 << 20), "{carried} bytes wait");
        if refused > 50 {
            may_go_on.set(true);
        }
    }
    assert!(may_go_on.get(), "the client was never slowed down");
    assert_eq!(rig.read_to_end(&mut client).0, b"all of it");
    drop(client);
    rig.finish();
}

fn a_drain_leaves_a_stream_open_and_is_heard_beside_it<N: Net>(net: N) {
    let mut rig = serve(
        net,
        Setup::new(),
        || Raw,
        |connection| async move {
            let mut stream = connection.into_stream();
            while let Either::Left(bytes) = first(take(&mut stream, 100), draining()).await {
                put_all(&mut stream, &bytes?).await?;
            }
            put_all(&mut stream, b"one more?").await?;
            let mut last = Vec::new();
            while last.len() < 3 {
                let more = take(&mut stream, 100).await?;
                assert!(!more.is_empty(), "a drain is no end of the stream");
                last.extend_from_slice(&more);
            }
            assert_eq!(last, b"yes");
            put_all(&mut stream, b"good-bye").await?;
            draining().await;
            Ok(())
        },
    );
    let mut client = rig.connect();
    rig.write(&mut client, b"hello");
    assert_eq!(rig.read(&mut client, 5), b"hello");
    rig.remote.stop();
    assert_eq!(rig.read(&mut client, 9), b"one more?");
    rig.write(&mut client, b"yes");
    assert_eq!(rig.read_to_end(&mut client), (b"good-bye".to_vec(), Ending::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Shutdown), 1);
}

fn an_outbound_stream_has_what_the_codec_left_and_both_ends<N: Net>(mut net: N) {
    let address = net.remote(Answer::Accept);
    let mut setup = Setup::new().listen(session::service(
        || Raw,
        move |connection| async move {
            let mut upstream = connect(Lines::new(), &Connect::to(Address::Tcp(address))).await?;
            let greeting = upstream.next().await?.expect("the server greets");
            let (mut inner, mut outer) = (connection.into_stream(), upstream.into_stream());
            put_all(&mut inner, &greeting).await?;
            // What this connection says until it ends, then what the other one says until that ends.
            loop {
                let bytes = take(&mut inner, 1_000).await?;
                if bytes.is_empty() {
                    break;
                }
                put_all(&mut outer, &bytes).await?;
            }
            outer.end_writing();
            loop {
                let bytes = take(&mut outer, 1_000).await?;
                if bytes.is_empty() {
                    return Ok(());
                }
                put_all(&mut inner, &bytes).await?;
            }
        },
    ));
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    rig.write(&mut server, b"hello\nno line:");
    assert_eq!(rig.read(&mut client, 5), b"hello");
    let sent = pattern(60_000);
    rig.write(&mut client, &sent);
    assert!(rig.read(&mut server, sent.len()) == sent);
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut server), (Vec::new(), Ending::Finished));
    rig.write(&mut server, &sent);
    server.shutdown();
    let (said, ending) = rig.read_to_end(&mut client);
    assert!(said == [b"no line:".to_vec(), sent].concat() && ending == Ending::Finished, "{} bytes", said.len());
    drop((client, server));
    rig.finish();
}

fn an_outbound_stream_that_is_reset_is_an_error_and_not_an_end<N: Net>(mut net: N) {
    let address = net.remote(Answer::Accept);
    let mut setup = Setup::new().listen(session::service(
        || Raw,
        move |connection| async move {
            let mut outer = connect(Raw, &Connect::to(Address::Tcp(address))).await?.into_stream();
            let mut inner = connection.into_stream();
            put_all(&mut outer, b"hello").await?;
            let read = take(&mut outer, 100).await.map_err(|error| error.kind());
            let written = put(&mut outer, b"more").await.map_err(|error| error.kind());
            put_all(&mut inner, format!("{read:?} {written:?}").as_bytes()).await?;
            Ok::<_, Error>(())
        },
    ));
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    assert_eq!(rig.read(&mut server, 5), b"hello");
    server.reset();
    let (said, _) = rig.read_to_end(&mut client);
    assert_eq!(String::from_utf8_lossy(&said), "Err(ConnectionReset) Err(ConnectionReset)");
    drop(client);
    rig.finish();
}

on_every_driver!(
    bytes_that_no_message_was_made_of_are_the_first_of_a_stream,
    a_stream_whose_reads_and_writes_are_dropped_at_every_await_loses_no_byte,
    the_peers_end_is_the_end_of_a_stream_and_ours_leaves_it_readable,
    a_stream_reads_while_it_waits_to_write_and_holds_no_more_than_the_high_mark,
    a_stream_that_is_not_read_slows_its_peer_down,
    a_drain_leaves_a_stream_open_and_is_heard_beside_it,
    an_outbound_stream_has_what_the_codec_left_and_both_ends,
    an_outbound_stream_that_is_reset_is_an_error_and_not_an_end,
);
