//! Where an outbound connection goes, from where, and how long that may take. Made on any thread.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::address::{Address, Target};
use crate::filter::FilterFactory;
use crate::route::Route;
use crate::wheel::milliseconds;

/// Describes an outbound connection: its target, its source address, its filter, and how long connecting may take.
///
/// ```no_run
/// use std::time::Duration;
///
/// use gannet::proto::Lines;
/// use gannet::{Connect, Context, Engine, Service};
///
/// struct Asker;
///
/// impl Service for Asker {
///     type Codec = Lines;
///     type Session = ();
///
///     fn connected(&mut self, _: &mut (), cx: &mut Context<'_, Self>) {
///         cx.send(&[b"hello"]);
///     }
///
///     fn connect_failed(&mut self, _: (), error: &std::io::Error, cx: &mut Context<'_, Self>) {
///         eprintln!("nobody is there: {error}");
///         cx.remote().stop();
///     }
///
///     fn message(&mut self, _: &mut (), answer: &[u8], cx: &mut Context<'_, Self>) {
///         println!("{}", String::from_utf8_lossy(answer));
///         cx.remote().stop();
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut engine = Engine::new().reactors(1);
/// let asker = engine.outbound(|| Asker)?;
/// let running = engine.start()?;
/// // Over TLS: `tls://`, and `.through(Arc::new(client))` with a `TlsClient` of `gannet-tls`.
/// let connect = Connect::resolve("tcp://localhost:7000")?.timeout(Duration::from_secs(2));
/// running.remote().connect(0, asker, &connect, ())?;
/// running.join()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Connect {
    /// In the order in which they are tried.
    to: Vec<Address>,
    from: Option<SocketAddr>,
    through: Option<Arc<dyn FilterFactory>>,
    timeout: Duration,
    keepalive: Option<Option<Duration>>,
}

impl Connect {
    /// Connects to this address, from a source that the system chooses, within 10 s.
    ///
    /// [`Connect::resolve`] takes a URL instead, and looks its host up.
    #[must_use]
    pub fn to(address: Address) -> Self {
        Self::to_any([address])
    }

    /// Connects to a URL within 10 s: `tcp://host:port`, `tls://host:port` or `unix:///path`.
    ///
    /// A name with several addresses is tried as in [`Connect::to_any`], IPv6 and IPv4 in turn. The name is looked up in
    /// this call, which may block for as long as the system's resolver does.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub fn resolve(url: &str) -> crate::Result<Self> {
        Ok(Self::to_any(Address::all(url)?))
    }

    /// Connects to the first of these addresses that answers, within 10 s, as in RFC 8305 ("Happy Eyeballs").
    ///
    /// They are tried in this order. The next attempt starts as soon as one fails, or beside it after 250 ms without an
    /// answer. The service hears of one connection only. If all fail,
    /// [`connect_failed`](crate::Service::connect_failed) gets the error of the first attempt that failed.
    #[must_use]
    pub fn to_any(addresses: impl IntoIterator<Item = Address>) -> Self {
        let to = addresses.into_iter().collect();
        Self { to, from: None, through: None, timeout: Duration::from_secs(10), keepalive: None }
    }

    /// Sets the source address. With port 0, the system chooses the port.
    ///
    /// The port is chosen when the connection is made (IP_BIND_ADDRESS_NO_PORT), so one port can serve for connections to
    /// different targets. Targets of the other address family are then left out.
    #[must_use]
    pub fn from(mut self, source: SocketAddr) -> Self {
        self.from = Some(source);
        self
    }

    /// Puts a filter between the connection and its codec, for example TLS. Required for `tls://` addresses.
    ///
    /// `filters` makes the filter of each connection.
    #[must_use]
    pub fn through(mut self, filters: Arc<dyn FilterFactory>) -> Self {
        self.through = Some(filters);
        self
    }

    /// Sets the time for connecting (default 10 s), the filter's handshake included. Over it, connecting fails with
    /// [`TimedOut`](std::io::ErrorKind::TimedOut).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the silence after which the kernel probes this TCP peer; `None` turns keepalive off for it.
    ///
    /// The default is that of [`Engine::keepalive`](crate::Engine::keepalive), which also gives the range.
    #[must_use]
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = Some(after);
        self
    }

    pub(crate) fn route(&self) -> Result<(Route, u32), crate::Error> {
        let keepalive = self.keepalive.map(crate::keepalive::checked).transpose()?;
        let refused =
            |address: &Address, why: &str| Err(crate::Error::Address { url: address.to_string(), why: why.to_owned() });
        let mut sockets = Vec::new();
        let mut path = None;
        for address in &self.to {
            match address {
                Address::Tls(_) if self.through.is_none() => {
                    return refused(address, "tls:// needs a filter; give one with Connect::through");
                }
                Address::Tcp(socket) | Address::Tls(socket) => sockets.push(*socket),
                Address::Unix(socket) => path = Some(socket),
                Address::Udp(_) => return refused(address, "a connection goes to tcp://, tls:// or unix://"),
            }
        }
        // Who comes from an address of one family cannot go to the other one.
        if let Some(from) = self.from
            && sockets.iter().any(|to| to.is_ipv4() == from.is_ipv4())
        {
            sockets.retain(|to| to.is_ipv4() == from.is_ipv4());
        }
        let to = match (path, sockets.first()) {
            (Some(path), None) => Target::Unix(path.clone()),
            (None, Some(first)) => Target::Tcp(*first),
            (Some(path), Some(_)) => {
                return refused(&Address::Unix(path.clone()), "a connection goes to it alone, or to others");
            }
            (None, None) => return Err(crate::Error::Setting("there is no address to connect to".to_owned())),
        };
        let others = sockets.get(1..).unwrap_or_default().to_vec();
        let from = self.from.map(|from| with_zone(from, sockets.first()));
        let route = Route { to, others, from, keepalive, through: self.through.clone() };
        Ok((route, milliseconds(self.timeout)))
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("to", &self.to)
            .field("from", &self.from)
            .field("through", &self.through.as_ref().map(|_| "a filter"))
            .field("timeout", &self.timeout)
            .field("keepalive", &self.keepalive)
            .finish()
    }
}

/// A link-local source address is one of the interface that its target is on.
fn with_zone(from: SocketAddr, to: Option<&SocketAddr>) -> SocketAddr {
    match (from, to) {
        (SocketAddr::V6(mut from), Some(SocketAddr::V6(to)))
            if from.scope_id() == 0 && from.ip().is_unicast_link_local() =>
        {
            from.set_scope_id(to.scope_id());
            from.into()
        }
        _ => from,
    }
}
