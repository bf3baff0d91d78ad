//! Descriptions of services: those that [`Engine`](crate::Engine) starts with, and those that a [`Plan`](crate::Plan) adds.

use std::sync::Arc;
use std::time::Duration;

use gannet_proto::Codec;

use crate::address::Address;
use crate::error::{Error, Result};
use crate::filter::FilterFactory;
use crate::host::{HostOf, Served};
use crate::ids::ServiceId;
use crate::keepalive;
use crate::limits::Timeouts;
use crate::listen_options::{ListenOptions, UnixAccess};
use crate::quota::Quota;
use crate::service::{DatagramService, Service};
use crate::session;
use crate::steps::Factory;

/// The services that an engine can have: as many as there are numbers.
pub(crate) const MOST_SERVICES: usize = 1 << 16;

/// One service of an engine: where it listens, if it does, and how its instances are made.
pub(crate) struct ServicePlan {
    /// The name of its listener.
    pub(crate) name: String,
    /// The URL that it was described by.
    pub(crate) url: String,
    pub(crate) address: Option<Address>,
    pub(crate) keepalive: Option<Option<Duration>>,
    pub(crate) unix: UnixAccess,
    /// Of those that listen.
    pub(crate) quota: Option<Arc<Quota>>,
    pub(crate) factory: Factory,
    /// What stands between its connections and their codec.
    pub(crate) filters: Option<Arc<dyn FilterFactory>>,
}

impl ServicePlan {
    /// A service for outbound connections.
    fn outbound(factory: Factory) -> Self {
        let (name, url, unix) = (String::new(), String::new(), UnixAccess::default());
        Self { name, url, address: None, keepalive: None, unix, quota: None, factory, filters: None }
    }

    /// Whether it may go beyond limits.
    pub(crate) fn is_operational(&self) -> bool {
        self.quota.as_ref().is_some_and(|quota| quota.operational)
    }

    fn listeners(
        options: &ListenOptions,
        addresses: Vec<Address>,
        filters: Option<&Arc<dyn FilterFactory>>,
        factory: &Factory,
    ) -> Result<Vec<Self>> {
        let keepalive = options.keepalive.map(keepalive::checked).transpose()?;
        let of = |address| {
            let quota = Quota::new(options.operational, options.connections, options.connections_per_peer)
                .proxied(options.proxy.clone());
            Self {
                name: options.name().to_owned(),
                url: options.url.clone(),
                address: Some(address),
                keepalive,
                unix: options.unix,
                quota: Some(Arc::new(quota)),
                factory: with_timeouts(factory, options.timeouts),
                filters: filters.cloned(),
            }
        };
        Ok(addresses.into_iter().map(of).collect())
    }
}

/// A factory that gives its service the deadlines of a listener in place of the engine's.
fn with_timeouts(factory: &Factory, own: Option<Timeouts>) -> Factory {
    let factory = factory.clone();
    let Some(own) = own else { return factory };
    Arc::new(move |_| {
        let mut served = factory(own);
        if let Served::Connections(host) = &mut served {
            host.keep_timeouts();
        }
        served
    })
}

/// Makes instances of a service of connections.
fn connections<S: Service>(factory: impl Fn() -> S + Send + Sync + 'static) -> Factory {
    Arc::new(move |timeouts| Served::Connections(Box::new(HostOf::new(factory(), timeouts))))
}

/// Services in the order in which they were asked for: those that an engine starts with, or those that a plan adds.
#[derive(Default)]
pub(crate) struct Services {
    pub(crate) all: Vec<ServicePlan>,
    /// Where sessions find the number of the service of their outbound connections, if there are sessions.
    upstreams: Option<session::UpstreamsCell>,
}

impl Services {
    /// Adds connections to an address.
    pub(crate) fn listen<S: Service>(
        &mut self,
        options: ListenOptions,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<()> {
        let addresses = options.addresses()?;
        let why = match addresses.first() {
            Some(Address::Udp(_)) => "datagrams have listen_datagrams",
            Some(Address::Tls(_)) => "TLS needs a certificate: listen_filtered",
            _ => return self.extend(ServicePlan::listeners(&options, addresses, None, &connections(factory))?),
        };
        Err(Error::Address { url: options.url, why: why.to_owned() })
    }

    /// Adds connections to an address, through filters.
    pub(crate) fn listen_filtered<S: Service>(
        &mut self,
        options: ListenOptions,
        filters: &Arc<dyn FilterFactory>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<()> {
        let addresses = options.addresses()?;
        if matches!(addresses[..], [Address::Udp(_), ..]) {
            return Err(Error::Address { url: options.url, why: "datagrams have no filter".to_owned() });
        }
        self.extend(ServicePlan::listeners(&options, addresses, Some(filters), &connections(factory))?)
    }

    /// Adds datagrams to an address.
    pub(crate) fn listen_datagrams<S: DatagramService>(
        &mut self,
        options: ListenOptions,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<()> {
        let addresses = options.addresses()?;
        if !matches!(addresses[..], [Address::Udp(_), ..]) {
            return Err(Error::Address { url: options.url, why: "datagrams come to udp://host:port".to_owned() });
        }
        let factory: Factory = Arc::new(move |_| Served::Datagrams(Box::new(factory())));
        self.extend(ServicePlan::listeners(&options, addresses, None, &factory)?)
    }

    /// Adds connections to an address, with a future for each.
    pub(crate) fn sessions<C, M, F>(
        &mut self,
        options: ListenOptions,
        codec: impl Fn() -> C + Send + Sync + 'static,
        session: M,
    ) -> Result<()>
    where
        C: Codec,
        M: Fn(session::Connection<C>) -> F + Send + Sync + 'static,
        F: Future<Output = session::Result> + 'static,
    {
        let upstreams = self.upstreams.get_or_insert_default().clone();
        self.listen(options, session::factory(codec, session, upstreams))
    }

    /// Adds connections to an address, through filters, with a future for each.
    pub(crate) fn sessions_filtered<C, M, F>(
        &mut self,
        options: ListenOptions,
        filters: &Arc<dyn FilterFactory>,
        codec: impl Fn() -> C + Send + Sync + 'static,
        session: M,
    ) -> Result<()>
    where
        C: Codec,
        M: Fn(session::Connection<C>) -> F + Send + Sync + 'static,
        F: Future<Output = session::Result> + 'static,
    {
        let upstreams = self.upstreams.get_or_insert_default().clone();
        self.listen_filtered(options, filters, session::factory(codec, session, upstreams))
    }

    /// Adds a service for outbound connections, and says its place among these.
    pub(crate) fn outbound<S: Service>(
        &mut self,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> Result<ServiceId> {
        let place = ServiceId::try_from(self.all.len()).map_err(|_| Error::Setting(too_many()))?;
        self.all.push(ServicePlan::outbound(connections(factory)));
        Ok(place)
    }

    /// Tells the sessions which service their outbound connections have, and adds it where the engine has none yet. `first` is
    /// the number that the first of these services gets, and `known` that of the engine's. Says the number of then.
    pub(crate) fn connect_sessions(&mut self, first: usize, known: Option<ServiceId>) -> Result<Option<ServiceId>> {
        let Some(upstreams) = self.upstreams.take() else { return Ok(known) };
        let number = match known {
            Some(known) => known,
            None => {
                let number = first + usize::from(self.outbound(|| session::Upstreams)?);
                ServiceId::try_from(number).map_err(|_| Error::Setting(too_many()))?
            }
        };
        // It was taken: nobody else sets it.
        let _ = upstreams.set(number);
        Ok(Some(number))
    }

    fn extend(&mut self, more: Vec<ServicePlan>) -> Result<()> {
        if self.all.len() + more.len() > MOST_SERVICES {
            return Err(Error::Setting(too_many()));
        }
        self.all.extend(more);
        Ok(())
    }
}

pub(crate) fn too_many() -> String {
    "an engine can have at most 65,536 services, outbound and removed ones included; start a new one".to_owned()
}
