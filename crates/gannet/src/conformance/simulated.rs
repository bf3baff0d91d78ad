//! The simulated network as the suite's world.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Net;
use crate::driver::sim::{Answer, Faults, Random, SimClient, SimDriver, SimNet};
use crate::ids::ListenerId;
use crate::listener::{ListenSocket, listen_tcp};

/// Seeds that each test runs with.
const SEEDS: u64 = 8;

/// Runs a test on the networks of some seeds. A failure says which seed it was.
pub(super) fn on_some_seeds(test: impl Fn(Simulated)) {
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let faults = Faults::gentle(&mut Random::new(seed)).roomy();
        test(Simulated { net: SimNet::new(seed, faults), ports: 10_000 });
    }
}

/// One network of a seed that does this.
pub(super) fn on_network(seed: u64, faults: Faults) -> Simulated {
    Simulated { net: SimNet::new(seed, faults), ports: 10_000 }
}

struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("it failed on the simulated network of seed {}", self.0);
        }
    }
}

pub(super) struct Simulated {
    net: SimNet,
    ports: u16,
}

impl Simulated {
    /// The reactor stands still for so long.
    pub(super) fn stall(&self, time: std::time::Duration) {
        self.net.stall(time);
    }

    fn port(&mut self) -> u16 {
        // More clients than ports come from several addresses.
        self.ports = self.ports.checked_add(1).unwrap_or(10_000);
        self.ports
    }
}

impl Net for Simulated {
    const TIME_IS_FREE: bool = true;

    type Driver = SimDriver;
    type Client = SimClient;

    fn driver(&mut self) -> SimDriver {
        self.net.driver()
    }

    fn listen(&mut self, driver: &mut SimDriver, listener: ListenerId) {
        driver.listen_here(listener);
    }

    fn socket(&mut self, _: ListenerId) -> ListenSocket {
        // The driver wants one, and opens one of its own.
        let (_, mut sockets) = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 1, None).expect("a free port");
        sockets.remove(0)
    }

    fn try_connect_from(&mut self, listener: ListenerId, from: IpAddr) -> Option<SimClient> {
        let from = SocketAddr::new(from, self.port());
        Some(self.net.connect(listener, from))
    }

    fn remote(&mut self, answer: Answer) -> SocketAddr {
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), self.port());
        self.net.answer(address, answer);
        address
    }

    fn accept(&mut self, remote: SocketAddr) -> Option<(SimClient, SocketAddr)> {
        let client = self.net.accept(remote)?;
        let from = client.address();
        Some((client, from))
    }
}

impl super::Client for SimClient {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write(bytes)
    }

    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.read(into)
    }

    fn shutdown(&mut self) {
        self.shutdown();
    }

    fn reset(self) {
        self.reset();
    }
}
