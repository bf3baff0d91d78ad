//! Whether all reactors turn, as a watchdog asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{Address, Context, Engine, Service, Shutdown};
use gannet_testing::PATIENCE;

use super::drivers;

/// Holds its reactor up until it is let go, and lets no client go at a shutdown.
#[derive(Clone)]
struct Holds {
    holds: Sender<()>,
    may_go: Arc<Mutex<Receiver<()>>>,
}

impl Service for Holds {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        let _ = self.holds.send(());
        let _ = self.may_go.lock().expect("no panic").recv_timeout(PATIENCE);
        cx.send(&[b"gone on"]);
    }

    fn shutdown(&mut self, (): &mut (), _: &mut Context<'_, Self>) -> Shutdown {
        Shutdown::GoOn
    }
}

#[test]
fn reactors_are_responsive_until_one_is_held_up_and_while_others_have_ended() {
    for driver in drivers() {
        let ((holding, held), (go, may_go)) = (channel(), channel());
        let service = Holds { holds: holding, may_go: Arc::new(Mutex::new(may_go)) };
        let engine = Engine::new().driver(driver).reactors(2).drain_timeout(PATIENCE);
        let running =
            engine.listen("tcp://127.0.0.1:0", move || service.clone()).and_then(Engine::start).expect("it starts");
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
        let remote = running.remote();
        assert!(remote.is_responsive(PATIENCE), "both sleep, and are woken");
        let mut client = TcpStream::connect(address).expect("it listens");
        client.write_all(b"hold\n").expect("it is taken");
        held.recv_timeout(PATIENCE).expect("the service is called");
        assert!(!remote.is_responsive(Duration::from_millis(20)), "one of two stands still");
        go.send(()).expect("it waits");
        client.read_exact(&mut [0; 8]).expect("it goes on");
        assert!(remote.is_responsive(PATIENCE));
        // The reactor without a client ends, and the other one goes on.
        remote.stop();
        for _ in 0..3 {
            assert!(remote.is_responsive(PATIENCE), "what has ended is not waited for");
        }
        drop(client);
        running.join().expect("it ends");
    }
}
