//! A call in the steady state allocates nothing: counted over a whole process with one reactor.

use std::sync::mpsc::{Sender, channel};

use gannet::proto::resp::{Commands, Reply, Value};
use gannet::{Address, Context, Engine, Service};
use gannet_client::{CallError, Handler, Pool, PoolContext, Redis};
use gannet_testing::{Counting, drivers};

#[global_allocator]
static COUNTING: Counting = Counting::new();

/// Answers every command with the same string.
struct Same;

impl Service for Same {
    type Codec = Commands;
    type Session = ();

    fn message(&mut self, (): &mut (), _: gannet::Message<'_, Self>, cx: &mut Context<'_, Self>) {
        cx.send(Reply::from(Value::Bulk(b"a value of some bytes")));
    }
}

struct Caller {
    answered: u64,
    before: u64,
    done: Sender<u64>,
}

/// Calls until buffers have their sizes, and those that are counted.
const WARM_UP: u64 = 20_000;
const COUNTED: u64 = 50_000;

impl Handler<Redis> for Caller {
    fn started(&mut self, cx: &mut PoolContext<'_, Redis>) {
        (0..64).for_each(|tag| cx.call(&[b"GET", b"key"], tag).expect("it may wait"));
    }

    fn answered(&mut self, tag: u64, result: Result<Value<'_>, CallError>, cx: &mut PoolContext<'_, Redis>) {
        if self.answered == WARM_UP + COUNTED {
            // The engine is ending.
            return;
        }
        assert_eq!(result, Ok(Value::Bulk(b"a value of some bytes")));
        self.answered += 1;
        match self.answered {
            WARM_UP => self.before = COUNTING.allocations(),
            all if all == WARM_UP + COUNTED => {
                // The test may have failed by now.
                let _ = self.done.send(COUNTING.allocations() - self.before);
                return;
            }
            _ => {}
        }
        cx.call(&[b"GET", b"key"], tag).expect("there is room");
    }
}

#[test]
fn calls_of_a_handler_allocate_nothing() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(1).listen("tcp://127.0.0.1:0", || Same).expect("a port");
        // Its port is known when it has started, so the pool has an engine of its own.
        let mut clients = Engine::new().driver(driver).reactors(1);
        let server = engine.start().expect("it starts");
        let Some(Address::Tcp(at)) = server.addresses().next().cloned() else { panic!("it listens") };
        let (done, counted) = channel();
        let _pool = Pool::builder(Redis::new())
            .endpoint(format!("tcp://{at}"))
            .attach_with(&mut clients, move || Caller { answered: 0, before: 0, done: done.clone() })
            .expect("a pool");
        let running = clients.start().expect("it starts");
        let allocations = counted.recv().expect("it ends");
        // Both engines count, and what runs once a second.
        assert!(allocations < COUNTED / 1_000, "{allocations} allocations in {COUNTED} calls");
        drop((running, server));
    }
}
