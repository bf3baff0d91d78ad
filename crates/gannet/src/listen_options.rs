//! The settings of one listener beside its address.

use std::net::UdpSocket;
use std::time::Duration;

use rustix::io::Errno;

use crate::address::Address;
use crate::error::Result;
use crate::limits::Timeouts;
use crate::proxy_protocol::ProxyProtocol;

/// Describes a listener: its address and its own settings. [`Engine::listen`](crate::Engine::listen) also takes the URL alone.
///
/// ```
/// use std::time::Duration;
///
/// use gannet::ListenOptions;
///
/// let options = ListenOptions::at("tcp://127.0.0.1:7000").keepalive(Some(Duration::from_secs(60)));
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a service listens with them"]
pub struct ListenOptions {
    pub(crate) url: String,
    /// Where it is not the URL.
    pub(crate) name: Option<String>,
    pub(crate) operational: bool,
    /// Connections at a time; 0 is no limit.
    pub(crate) connections: u32,
    pub(crate) connections_per_peer: u32,
    /// Where it is not the engine's.
    pub(crate) keepalive: Option<Option<Duration>>,
    /// Where they are not the engine's.
    pub(crate) timeouts: Option<Timeouts>,
    pub(crate) unix: UnixAccess,
    pub(crate) proxy: Option<ProxyProtocol>,
}

/// Who may connect to a Unix socket, where that is not what the process's umask says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnixAccess {
    pub(crate) mode: Option<u32>,
    pub(crate) group: Option<u32>,
}

impl ListenOptions {
    /// Describes a listener on a URL: `tcp://host:port`, `tls://host:port`, `unix:///path` or `udp://host:port`.
    ///
    /// A host name stands for all of its addresses that this machine has. The URL is not checked here, but by
    /// [`Engine::listen`](crate::Engine::listen) and its siblings.
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: None,
            operational: false,
            connections: 0,
            connections_per_peer: 0,
            keepalive: None,
            timeouts: None,
            unix: UnixAccess::default(),
            proxy: None,
        }
    }

    /// Names the listener (default: its URL as it was given). A [`Plan`](crate::Plan) refers to listeners by name.
    ///
    /// All addresses of a host name have the same name. Several listeners may share one; what a plan says of it concerns all
    /// of them.
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Marks the listener as operational: for health checks, metrics and operators, who must reach a server that is full.
    ///
    /// The listener may exceed the engine's limits on connections by [`Limits::operational_reserve`](crate::Limits), and as
    /// many descriptors are kept for it. The limit on accepts per second does not apply to it. Its connections count like
    /// all others, so choose an address that only operators can reach.
    ///
    /// While the engine drains or shuts down, the listener still accepts until the last client of the others has left. Its
    /// own connections are told to leave after these, whatever the spread.
    pub fn operational(mut self) -> Self {
        self.operational = true;
        self
    }

    /// Limits the connections of this listener at a time; 0 is no limit (default). The engine's limit applies too.
    ///
    /// A further connection is refused by a reset, or with the text of [`Service::refusal`](crate::Service::refusal), and
    /// counted as [`RefusalReason::Listener`](crate::RefusalReason::Listener). Each address of a host name has the limit for itself.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// Limits the connections of this listener from one IP address at a time; 0 is no limit (default). The engine's limit
    /// applies too.
    ///
    /// A further connection is refused by a reset, or with the text of [`Service::refusal`](crate::Service::refusal), and
    /// counted as [`RefusalReason::ListenerPeer`](crate::RefusalReason::ListenerPeer).
    pub fn connections_per_peer(mut self, most: u32) -> Self {
        self.connections_per_peer = most;
        self
    }

    /// Sets the silence after which the kernel probes the TCP peers of this listener; `None` turns keepalive off for it.
    ///
    /// The default is that of [`Engine::keepalive`](crate::Engine::keepalive), which also gives the range.
    pub fn keepalive(mut self, after: Option<Duration>) -> Self {
        self.keepalive = Some(after);
        self
    }

    /// Takes the address of each peer from the PROXY protocol, which is required then (default: no PROXY protocol).
    ///
    /// Datagrams have no such header; a listener for them ignores this.
    pub fn proxy_protocol(mut self, proxy: ProxyProtocol) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets the deadlines of the connections of this listener.
    ///
    /// The default is that of [`Engine::timeouts`](crate::Engine::timeouts). What the service has of its own in
    /// [`Service::timeouts`](crate::Service::timeouts) counts more.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = Some(timeouts);
        self
    }
}

impl ListenOptions {
    /// Sets the mode of a Unix socket's file, for example `0o660` (default: what the process's umask leaves of `0o777`).
    ///
    /// A process that may write the file may connect. The mode is set before the socket listens, so no other process
    /// connects meanwhile.
    pub fn unix_mode(mut self, mode: u32) -> Self {
        self.unix.mode = Some(mode);
        self
    }

    /// Sets the group of a Unix socket's file, by its number (default: the process's). The process has to be a member of the
    /// group, or privileged.
    pub fn unix_group(mut self, group: u32) -> Self {
        self.unix.group = Some(group);
        self
    }

    /// Returns the URL that these options were made with.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the name: what [`named`](Self::named) gave, or the URL.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }

    /// Splits options for a host name into options for each of its addresses that this machine has.
    ///
    /// [`Engine::listen`](crate::Engine::listen) does this by itself. With port 0, each address gets a port of its own. The
    /// name is looked up here, which may block for as long as the system's resolver does.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub fn resolve(self) -> Result<Vec<Self>> {
        let addresses = self.addresses()?.into_iter();
        let name = Some(self.name().to_owned());
        Ok(addresses.map(|address| Self { url: address.to_string(), name: name.clone(), ..self.clone() }).collect())
    }

    pub(crate) fn addresses(&self) -> Result<Vec<Address>> {
        let all = Address::all(&self.url)?;
        let here: Vec<Address> = all.iter().filter(|address| is_here(address)).cloned().collect();
        // Where none is, listening says what is wrong.
        Ok(if here.is_empty() { all } else { here })
    }
}

/// Whether this machine has an address. Names often stand for IPv6 addresses where IPv6 is turned off.
fn is_here(address: &Address) -> bool {
    let (Address::Tcp(socket) | Address::Tls(socket) | Address::Udp(socket)) = address else { return true };
    let mut any_port = *socket;
    any_port.set_port(0);
    match UdpSocket::bind(any_port) {
        Ok(_) => true,
        Err(error) => !matches!(
            Errno::from_io_error(&error),
            Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT)
        ),
    }
}

impl From<&str> for ListenOptions {
    fn from(url: &str) -> Self {
        Self::at(url)
    }
}

impl From<&String> for ListenOptions {
    fn from(url: &String) -> Self {
        Self::at(url)
    }
}

impl From<String> for ListenOptions {
    fn from(url: String) -> Self {
        Self::at(url)
    }
}
