//! One suite of behaviour for all drivers: each test runs a reactor on the test's thread, with clients around it.
//!
//! A test is a function of a [`Net`], and `on_every_driver!` makes one test a driver of it. What a test asserts is what a
//! client or a service would notice; at its end [`Rig::finish`](rig::Rig::finish) asserts that nothing is left.

mod access;
mod buffers;
mod causes;
mod changes;
mod closing;
mod deadlines;
mod drain;
mod fairness;
mod faulty_filters;
mod filtered_pressure;
mod filters;
mod forwarding;
mod groups;
mod half_close;
mod handles;
mod handshakes_in_line;
mod inspection;
mod kept;
mod large_messages;
mod limits;
mod messages;
mod outbound;
mod pressure;
mod proxy;
mod proxy_headers;
mod relations;
mod restless;
pub(crate) mod rig;
mod room;
mod script;
mod sessions;
mod shutdown_write;
mod simulated;
mod sockets;
mod streams;
mod timers;
mod typed;
mod waking;

use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::driver::Driver;
use crate::driver::sim::Answer;
use crate::ids::ListenerId;
use crate::listener::ListenSocket;

/// The world around one driver.
pub(crate) trait Net {
    /// Whether nobody waits while time passes: a deadline need not be short then, and should not, since turns take long.
    const TIME_IS_FREE: bool = false;

    type Driver: Driver;
    type Client: Client;

    /// The driver; asked for once.
    fn driver(&mut self) -> Self::Driver;

    /// Opens a listener on the driver.
    fn listen(&mut self, driver: &mut Self::Driver, listener: ListenerId);

    /// The socket of a listener that is added while the reactor runs.
    fn socket(&mut self, listener: ListenerId) -> ListenSocket;

    /// A client of a listener, from an address of this machine.
    fn connect_from(&mut self, listener: ListenerId, from: IpAddr) -> Self::Client {
        self.try_connect_from(listener, from).expect("the listener is there")
    }

    /// The same, where the listener may refuse: then there is no client, or one that is reset.
    fn try_connect_from(&mut self, listener: ListenerId, from: IpAddr) -> Option<Self::Client>;

    /// An address for the reactor to connect to, where this becomes of it.
    fn remote(&mut self, answer: Answer) -> SocketAddr;

    /// The next connection that the reactor made to an address, and where it came from.
    fn accept(&mut self, remote: SocketAddr) -> Option<(Self::Client, SocketAddr)>;
}

/// The other end of a connection. Nothing blocks: `WouldBlock` is an answer. Dropping it closes it.
pub(crate) trait Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// 0 is the end of the stream.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// Ends the client's direction of the stream.
    fn shutdown(&mut self);
    fn reset(self);
}

/// Makes a test of each function for each driver. The functions take a [`Net`].
macro_rules! on_every_driver {
    ($($name:ident),* $(,)?) => {
        mod poll {
            $(#[test]
            fn $name() {
                super::$name(crate::conformance::sockets::Sockets::new(crate::driver::poll::PollDriver::new));
            })*
        }

        mod sim {
            $(#[test]
            fn $name() {
                crate::conformance::simulated::on_some_seeds(|net| super::$name(net));
            })*
        }

        #[cfg(target_os = "linux")]
        mod uring {
            $(#[test]
            fn $name() {
                crate::conformance::sockets::on_uring(|net| super::$name(net));
            })*
        }
    };
}
use on_every_driver;
