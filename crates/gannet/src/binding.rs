//! Binding the sockets of listeners, or adopting them: at the start of an engine, and for plans that add listeners.

use std::time::Duration;

use crate::acceptor::{Balance, Central};
use crate::address::Address;
use crate::adoption::{Adopted, Estate, Inherited};
use crate::error::{Error, Result};
use crate::ids::ListenerId;
use crate::listener::{OwnSocket, SocketFile, bind_udp, listen_tcp, listen_unix, retry_in_use};
use crate::service_plan::ServicePlan;

/// How an engine spreads its connections.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) reactors: usize,
    pub(crate) balance: Balance,
}

/// What is bound for one listener.
pub(crate) struct Bound {
    pub(crate) address: Address,
    pub(crate) file: Option<SocketFile>,
    /// By reactor.
    pub(crate) own: Vec<Option<OwnSocket>>,
    /// For the acceptor.
    pub(crate) central: Vec<Central>,
    /// Another process may have the sockets too.
    pub(crate) is_shared: bool,
    /// They belong to the service manager.
    pub(crate) is_lent: bool,
}

impl Bound {
    /// Listens where a service wants to, with the sockets of an estate where it has some for that address.
    pub(crate) fn new(
        id: ListenerId,
        service: &ServicePlan,
        address: &Address,
        spread: Spread,
        keepalive: Option<Duration>,
        estate: &mut Estate,
    ) -> Result<Self> {
        let failed = |error| Error::Listen { url: address.to_string(), error };
        let keepalive = service.keepalive.unwrap_or(keepalive);
        let operational = service.is_operational();
        let inherited = estate.take(&service.name, &service.url, address);
        if !inherited.is_empty() {
            let is_lent = inherited.iter().any(Inherited::is_lent);
            let adopted =
                Adopted::new(inherited, address, keepalive, spread.balance, spread.reactors).map_err(failed)?;
            let central = |socket| Central::new(id, socket, operational, true);
            return Ok(Self {
                address: adopted.address,
                file: None,
                own: by_reactor(adopted.own, spread.reactors),
                central: adopted.central.into_iter().map(central).collect(),
                is_shared: true,
                is_lent,
            });
        }
        let central = |socket| Central::new(id, socket, operational, false);
        let mut bound = Self {
            address: address.clone(),
            file: None,
            own: Vec::new(),
            central: Vec::new(),
            is_shared: false,
            is_lent: false,
        };
        let own = match address {
            Address::Tcp(bind) | Address::Tls(bind) => {
                let is_spread = spread.balance == Balance::ReusePort || spread.reactors == 1;
                let count = if is_spread { spread.reactors } else { 1 };
                let (at, sockets) = retry_in_use(|| listen_tcp(*bind, count, keepalive)).map_err(failed)?;
                let is_tls = matches!(address, Address::Tls(_));
                bound.address = if is_tls { Address::Tls(at) } else { Address::Tcp(at) };
                if is_spread {
                    sockets.into_iter().map(OwnSocket::Listen).collect()
                } else {
                    bound.central = sockets.into_iter().map(central).collect();
                    Vec::new()
                }
            }
            Address::Unix(path) => {
                let (file, socket) = retry_in_use(|| listen_unix(path, service.unix)).map_err(failed)?;
                bound.file = file;
                if spread.reactors == 1 {
                    vec![OwnSocket::Listen(socket)]
                } else {
                    bound.central = vec![central(socket)];
                    Vec::new()
                }
            }
            Address::Udp(bind) => {
                let count = if spread.balance == Balance::ReusePort { spread.reactors } else { 1 };
                let (at, sockets) = retry_in_use(|| bind_udp(*bind, count)).map_err(failed)?;
                bound.address = Address::Udp(at);
                sockets.into_iter().map(OwnSocket::Datagram).collect()
            }
        };
        bound.own = by_reactor(own, spread.reactors);
        Ok(bound)
    }
}

/// The sockets of a listener, of which there may be fewer than reactors, by reactor.
fn by_reactor(sockets: Vec<OwnSocket>, reactors: usize) -> Vec<Option<OwnSocket>> {
    let mut sockets = sockets.into_iter();
    (0..reactors).map(|_| sockets.next()).collect()
}

/// The places of services in the order in which they are bound.
///
/// Unix sockets come last: a signal that ends the process while another address is tried again leaves no file.
pub(crate) fn binding_order(services: &[ServicePlan]) -> impl Iterator<Item = (usize, &ServicePlan)> {
    let is_unix = |service: &ServicePlan| matches!(service.address, Some(Address::Unix(_)));
    let all = || services.iter().enumerate();
    all().filter(move |(_, service)| !is_unix(service)).chain(all().filter(move |(_, service)| is_unix(service)))
}
