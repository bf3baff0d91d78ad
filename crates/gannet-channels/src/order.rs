//! Orders: what the server API wants done with the clients of a user, or with one client.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::client::{ClientId, ClientKey};
use crate::subscribe::Subscribe;
use crate::time::Time;

/// Whose clients an order is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The clients of a user that are connected when the order is given.
    User {
        /// The user; the empty one has the anonymous clients.
        user: Arc<str>,
        /// Only this client of the user.
        client: Option<ClientId>,
        /// Only the client with this session. The space knows no sessions: whoever carries the order out compares.
        session: Option<Arc<str>>,
    },
    /// One client.
    Client(ClientId),
}

/// What is to be done with a client. The space carries orders to their clients and keeps them in order with publications.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Order {
    /// Subscribe the client to a channel.
    Subscribe {
        /// The channel.
        channel: Arc<str>,
        /// How.
        request: Subscribe,
        /// What the client receives with the subscription.
        data: Option<Bytes>,
        /// When the subscription ends.
        expire_at: Option<Time>,
    },
    /// End the client's subscription to a channel.
    Unsubscribe {
        /// The channel.
        channel: Arc<str>,
        /// The code that the client is told.
        code: u32,
        /// The reason that the client is told.
        reason: Arc<str>,
    },
    /// Close the client.
    Disconnect {
        /// The code that the client is told.
        code: u32,
        /// The reason that the client is told.
        reason: Arc<str>,
        /// Clients that stay. The space leaves them out.
        except: Vec<ClientId>,
    },
    /// Change what the client's token said.
    Refresh {
        /// The connection ends now.
        expired: bool,
        /// When the connection ends.
        expire_at: Option<Time>,
        /// What others learn of the client from now on.
        info: Option<Bytes>,
    },
    /// Anything else, which the space only carries.
    Custom(Arc<dyn Any + Send + Sync>),
}

/// An order on its way.
#[derive(Debug)]
pub(crate) struct Issued {
    /// Counts orders of the space: clients that connected later than this are not meant.
    pub(crate) number: u64,
    pub(crate) target: Target,
    pub(crate) order: Order,
}

/// An order for clients of this reactor, which [`Roster::deliver`](crate::Roster::deliver) returns.
///
/// Everything that was published before the order has been pushed to these clients, and nothing that came after it.
#[derive(Debug)]
pub struct Ordered {
    pub(crate) clients: Vec<ClientKey>,
    pub(crate) issued: Arc<Issued>,
}

impl Ordered {
    /// Returns the clients that it is for.
    #[must_use]
    pub fn clients(&self) -> &[ClientKey] {
        &self.clients
    }

    /// Returns what is to be done.
    #[must_use]
    pub fn order(&self) -> &Order {
        &self.issued.order
    }

    /// Returns the target that was given, with the session that it names.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.issued.target
    }
}
