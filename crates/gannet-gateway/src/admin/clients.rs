//! Clients: who is connected, and what one of them does. Each reactor looks at its own clients; the last one answers.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gannet_channels::{ClientId, ClientKey};
use gannet_http::{Cx, Later, Reply};
use serde_json::{Map, Value, json};

use crate::api::client_info;
use crate::gateway::Gateway;
use crate::hub::Hub;
use crate::pump::{Look, Post};
use crate::session::Flags;

/// Searches at a time.
const MOST_SEARCHES: usize = 8;

/// How long all reactors together may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Clients in an answer.
const MOST_CLIENTS: usize = 100;

/// Clients that a search for a part of a name looks at on each reactor: a few milliseconds.
const LOOKED_AT: usize = 50_000;

/// Channels of a client in an answer.
const MOST_CHANNELS: usize = 500;

/// What one reactor has found.
#[derive(Debug, Default)]
struct Found {
    clients: Vec<Value>,
    /// There are more, or there may be.
    more: bool,
}

/// Answers with the clients that `?q=` means: a client's identifier, a user, or a part of one of both.
pub(super) fn search(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let query = cx.query_value("q").unwrap_or_default().trim().to_owned();
    gather(
        cx,
        gateway,
        move |hub| find(hub, &query),
        |parts, reply| {
            let more = parts.iter().any(|part: &Found| part.more);
            let mut clients: Vec<Value> = parts.into_iter().flat_map(|part| part.clients).collect();
            let more = more || clients.len() > MOST_CLIENTS;
            clients.truncate(MOST_CLIENTS);
            super::json(reply, &json!({ "clients": clients, "more": more }));
        },
    );
}

/// Answers with everything about the client `?id=`.
pub(super) fn inspect(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let id = cx.query_value("id").and_then(|id| id.parse::<ClientId>().ok());
    let Some(id) = id else { return cx.refuse(400, "a client's identifier has the form of a UUID\n") };
    let look = move |hub: &mut Hub| hub.roster.find(id).and_then(|key| inside(hub, key));
    gather(cx, gateway, look, |parts, reply| match parts.into_iter().flatten().next() {
        Some(value) => super::json(reply, &value),
        None => reply.refuse(404, "this client is not connected any more\n"),
    });
}

/// The clients of a reactor that a search means.
fn find(hub: &mut Hub, query: &str) -> Found {
    let roster = &hub.roster;
    let mut keys: Vec<ClientKey> = match query.parse::<ClientId>() {
        Ok(id) => roster.find(id).into_iter().collect(),
        Err(_) if query.is_empty() => roster.clients().take(MOST_CLIENTS + 1).collect(),
        Err(_) => roster.clients_of(query).take(MOST_CLIENTS + 1).collect(),
    };
    let mut more = keys.len() > MOST_CLIENTS;
    if !query.is_empty() && query.parse::<ClientId>().is_err() && !more {
        let is_identifier = query.len() >= 4 && query.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
        let means = |key: &ClientKey| {
            let user = roster.user(*key).unwrap_or_default();
            let by_user = user != query && user.contains(query);
            by_user || is_identifier && roster.id(*key).is_some_and(|id| id.to_string().starts_with(query))
        };
        let room = MOST_CLIENTS + 1 - keys.len();
        keys.extend(roster.clients().take(LOOKED_AT).filter(means).take(room));
        more = keys.len() > MOST_CLIENTS || roster.len() > LOOKED_AT;
    }
    keys.truncate(MOST_CLIENTS);
    Found { clients: keys.into_iter().filter_map(|key| row(hub, key)).map(Value::Object).collect(), more }
}

/// What is told of each client in a list.
fn row(hub: &mut Hub, key: ClientKey) -> Option<Map<String, Value>> {
    let (id, user) = (hub.roster.id(key)?, hub.roster.user(key)?.to_owned());
    let channels = hub.roster.channels(key).count();
    let client = hub.roster.value(key)?;
    let mut map = Map::new();
    map.insert("client".to_owned(), id.to_string().into());
    map.insert("user".to_owned(), user.into());
    map.insert("transport".to_owned(), client.wire.transport().into());
    map.insert("format".to_owned(), client.wire.protocol().into());
    map.insert("since_s".to_owned(), client.since_s.into());
    map.insert("channels".to_owned(), channels.into());
    Some(map)
}

/// Everything about a client.
fn inside(hub: &mut Hub, key: ClientKey) -> Option<Value> {
    let mut map = row(hub, key)?;
    let channels = hub.roster.channels(key).take(MOST_CHANNELS);
    let channels = channels.map(|(name, server_side)| json!({ "channel": name, "server_side": server_side }));
    map.insert("list".to_owned(), channels.collect::<Vec<_>>().into());
    // Of a channel with this name there is none, so it is what holds for all channels.
    if let Some(info) = hub.roster.info(key, "")
        && let Value::Object(info) = client_info(&info)
    {
        map.extend(info.into_iter().filter(|(name, _)| name.ends_with("conn_info")));
    }
    map.insert("reactor".to_owned(), hub.reactor.into());
    let client = hub.roster.value(key)?;
    map.insert("expires_s".to_owned(), client.expires_s.into());
    map.insert("behind".to_owned(), client.flags.has(Flags::FULL).into());
    Some(map.into())
}

/// A search under way.
struct Gather<T, L, E> {
    look: L,
    state: Mutex<State<T, E>>,
    /// Counts it as long as it is under way.
    _permit: Permit,
}

struct State<T, E> {
    /// Reactors that have not looked.
    left: usize,
    parts: Vec<T>,
    /// Makes the answer of all parts.
    end: Option<(Later, E)>,
}

/// Has each reactor look, and the answer made of what all have found.
fn gather<T, L, E>(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, look: L, end: E)
where
    T: Send + 'static,
    L: Fn(&mut Hub) -> T + Send + Sync + 'static,
    E: FnOnce(Vec<T>, &mut Reply<'_>) + Send + 'static,
{
    let Some(permit) = Permit::take(gateway) else {
        cx.refuse(503, "too many searches at a time\n");
        return cx.header("Retry-After", "1");
    };
    let reactors = gateway.space().reactors();
    let later = cx.defer(PATIENCE);
    let state = State { left: reactors, parts: Vec::new(), end: Some((later, end)) };
    let gather = Arc::new(Gather { look, state: Mutex::new(state), _permit: permit });
    for reactor in 0..reactors {
        let gather = gather.clone();
        gateway.post(reactor, Post::Look(Look(Box::new(move |hub| gather.look(hub)))));
    }
}

impl<T, L, E> Gather<T, L, E>
where
    T: Send + 'static,
    L: Fn(&mut Hub) -> T,
    E: FnOnce(Vec<T>, &mut Reply<'_>) + Send + 'static,
{
    fn look(&self, hub: &mut Hub) {
        let part = (self.look)(hub);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.parts.push(part);
        state.left -= 1;
        if state.left == 0
            && let Some((later, end)) = state.end.take()
        {
            let parts = std::mem::take(&mut state.parts);
            // Whoever asked may have gone.
            let _ = later.complete(move |reply| end(parts, reply));
        }
    }
}

/// The right to search.
struct Permit(Arc<Gateway>);

impl Permit {
    fn take(gateway: &Arc<Gateway>) -> Option<Self> {
        let searches = &gateway.operators().searches;
        let took =
            searches.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| (now < MOST_SEARCHES).then_some(now + 1));
        took.is_ok().then(|| Self(gateway.clone()))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.operators().searches.fetch_sub(1, Ordering::Relaxed);
    }
}
