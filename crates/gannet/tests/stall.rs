//! What blocks a reactor is counted and named. A file of its own, because the log of a process can be set once only.

// The service has to block for a time: that is what the test is about.
#![allow(clippy::disallowed_methods)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use gannet::proto::Lines;
use gannet::{Address, Context, Engine, Limits, OffloadFull, Service};
use gannet_testing::Log;

struct Slow;

impl Service for Slow {
    type Codec = Lines;
    type Session = ();

    fn name(&self) -> &str {
        "the slow one"
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        match line {
            b"block" => {
                let until = Instant::now() + Duration::from_millis(60);
                while Instant::now() < until {
                    std::hint::spin_loop();
                }
            }
            _ => {
                // The pool has room for one job, which waits for its end of the channel to go.
                let (go, wait) = std::sync::mpsc::channel::<()>();
                let work = move || wait.recv().is_err();
                let done = |_: &mut Self, (): &mut (), _, cx: &mut Context<'_, Self>| {
                    cx.send(&[b"done"]);
                };
                cx.offload(work, done).expect("the pool is empty");
                assert_eq!(cx.offload(|| (), |_, (), (), _| {}), Err(OffloadFull));
                drop(go);
            }
        }
        cx.send(&[b"answered"]);
    }
}

#[test]
fn a_service_that_blocks_its_reactor_is_named_and_too_much_offloaded_work_is_refused() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .with_ansi(false)
        .init();
    let mut limits = Limits::default();
    limits.offloads = 1;
    let engine = Engine::new().reactors(1).limits(limits).listen("tcp://127.0.0.1:0", || Slow).expect("an address");
    let running = engine.start().expect("the engine starts");
    let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
    let mut stream = TcpStream::connect(address).expect("the engine accepts");
    let mut expect = |request: &[u8], answer: &[u8]| {
        stream.write_all(request).expect("it is open");
        let mut got = vec![0; answer.len()];
        stream.read_exact(&mut got).expect("an answer comes");
        assert_eq!(got, answer);
    };
    expect(b"block\n", b"answered\n");
    // The turn that answers this begins after the stalled one has ended.
    expect(b"offload\n", b"answered\ndone\n");
    let stats = running.remote().stats().swap_remove(0);
    assert!(stats.stalls >= 1);
    let quicker = stats.turns.cumulative().take_while(|(bound, _)| *bound < Duration::from_millis(60)).last();
    let slow = stats.turns.count() - quicker.expect("some bounds are lower").1;
    assert!(slow >= 1 && stats.turns.sum() >= Duration::from_millis(60), "{:?}", stats.turns);
    assert!(stats.turns.count() > slow, "most turns are quick: {:?}", stats.turns);
    let log = log.text();
    assert!(log.contains("stalled its reactor") && log.contains("the slow one"), "{log}");
}
