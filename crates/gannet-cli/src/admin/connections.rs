//! `GET /connections`: who is connected, and who was. `POST /kick`: who is to go.

use std::time::Duration;

use gannet::{ClosedConnection, ConnectionInfo, InspectError, Page, Query, Selection, Sort};
use gannet_http::{Cx, Later, Rejection, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::orders::body;
use super::who::{operator, who};
use crate::control::{Control, Listening, Outcome, Refused};

/// How long the reactors may take. A million connections take a second.
const LONGEST: Duration = Duration::from_secs(30);

/// The most closed connections of one answer: as many as the engine remembers.
const MOST_CLOSED: usize = 10_000;

/// The query of `/connections`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    sort: By,
    #[serde(default)]
    closed: bool,
    limit: Option<usize>,
    after: Option<String>,
    handle: Option<String>,
    service: Option<String>,
    cidr: Option<String>,
    user: Option<String>,
    channel: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    #[default]
    Pending,
    Idle,
    Age,
}

/// Which connections are meant: in the query of `/connections`, and in the body of `/kick`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, default)]
struct Which {
    handle: Option<String>,
    service: Option<String>,
    cidr: Option<String>,
    user: Option<String>,
    channel: Option<String>,
}

impl Which {
    fn is_all(&self) -> bool {
        let Self { handle, service, cidr, user, channel } = self;
        [handle, service, cidr, user, channel].into_iter().all(Option::is_none)
    }

    fn selection(&self, cx: &Cx<'_>, control: &Control) -> Result<Selection, Refused> {
        let mut select = Selection::default();
        if let Some(text) = &self.handle {
            let wrong = || Refused::new("invalid", format!("'{text}' is no handle: take it from 'gannet connections'"));
            select.handle = Some(cx.remote().handle(text).ok_or_else(wrong)?);
        }
        if let Some(name) = &self.service {
            select.services = Some(control.services(name)?);
        }
        if let Some(range) = &self.cidr {
            select.network = Some(range.parse().map_err(|why: String| Refused::new("invalid", why))?);
        }
        select.user = self.user.as_deref().map(Into::into);
        select.channel = self.channel.as_deref().map(Into::into);
        Ok(select)
    }
}

pub(super) fn routes(control: &Control) -> Router {
    let (list, closing) = (control.clone(), control.clone());
    Router::new()
        .get("/connections", move |cx| -> Result<(), Rejection> {
            let asked = cx.query_as()?;
            if let Err(refused) = connections(cx, &list, asked) {
                refuse(cx, refused);
            }
            Ok(())
        })
        .post("/kick", move |cx| -> Result<(), Rejection> {
            let which = body(cx)?;
            if let Err(refused) = kick(cx, &closing, &which) {
                refuse(cx, refused);
            }
            Ok(())
        })
}

pub(super) fn refuse(cx: &mut Cx<'_>, refused: Refused) {
    cx.reset();
    cx.finally(move |reply| answer::refuse(&refused, reply));
}

/// Why an order was not taken.
pub(super) fn not_taken(error: InspectError) -> Refused {
    match error {
        InspectError::Busy => Refused::new("busy", "too many orders wait already; try again").status(503),
        InspectError::Gone => Refused::new("gone", "there is no such connection").status(404),
        error => Refused::new("unavailable", error.to_string()).status(503),
    }
}

fn connections(cx: &mut Cx<'_>, control: &Control, asked: Asked) -> Result<(), Refused> {
    let Asked { sort, closed, limit, after, handle, service, cidr, user, channel } = asked;
    let which = Which { handle, service, cidr, user, channel };
    let select = which.selection(cx, control)?;
    let (remote, listening) = (cx.remote(), control.listening());
    if closed {
        if select.handle.is_some() || select.user.is_some() || select.channel.is_some() {
            let why = "of closed connections only the service and the address are known; leave out the rest";
            return Err(Refused::new("invalid", why));
        }
        let limit = limit.unwrap_or(100).min(MOST_CLOSED);
        let later = cx.defer(LONGEST);
        let done = move |all: Vec<ClosedConnection>| {
            let all: Vec<Value> = all.iter().map(|one| closed_as_json(one, &listening)).collect();
            answer(later, Ok(json!({ "closed": all })));
        };
        return remote.closed_connections(select, limit, done).map_err(not_taken);
    }
    let sort = match sort {
        By::Pending => Sort::Pending,
        By::Idle => Sort::Idle,
        By::Age => Sort::Age,
    };
    let mut query = Query::new(sort, select);
    query.limit = limit.unwrap_or(query.limit);
    if let Some(after) = after {
        query.after = Some(after.parse().map_err(|why: String| Refused::new("invalid", format!("after: {why}")))?);
    }
    let later = cx.defer(LONGEST);
    remote.connections(query, move |page| answer(later, Ok(page_as_json(&page, &listening)))).map_err(not_taken)
}

fn kick(cx: &mut Cx<'_>, control: &Control, which: &Which) -> Result<(), Refused> {
    if which.is_all() {
        let why = "say which connections: by handle, service, cidr, user or channel";
        return Err(Refused::new("invalid", why));
    }
    let select = which.selection(cx, control)?;
    let (remote, which, operator) = (cx.remote(), which.clone(), operator(cx));
    let (audit, who) = (control.audit(), who(cx));
    let later = cx.defer(LONGEST);
    let done = move |kicked: gannet::Kicked| {
        let Which { handle, service, cidr, user, channel } = which;
        let what = json!({
            "connections": kicked.connections,
            "handle": handle,
            "service": service,
            "cidr": cidr,
            "user": user,
            "channel": channel,
        });
        audit.done("kick", &who, what);
        tracing::info!(
            operator,
            connections = kicked.connections,
            handle,
            service,
            cidr,
            user,
            channel,
            "an operator has closed connections"
        );
        answer(later, Ok(json!({ "kicked": kicked.connections })));
    };
    remote.kick(select, done).map_err(not_taken)
}

fn answer(later: Later, outcome: Outcome) {
    // Where the client has gone, nobody wants to know.
    let _ = later.complete(move |reply| answer::outcome(outcome, reply));
}

fn page_as_json(page: &Page, listening: &[Option<Listening>]) -> Value {
    let all: Vec<Value> = page.connections.iter().map(|one| as_json(one, listening)).collect();
    json!({ "connections": all, "next": page.next.map(|next| next.to_string()), "selected": page.selected })
}

fn as_json(one: &ConnectionInfo, listening: &[Option<Listening>]) -> Value {
    let at = listening.get(one.service).and_then(Option::as_ref);
    let description = &one.description;
    json!({
        "handle": one.handle.to_string(),
        "service": at.map_or("outbound", |at| &at.service),
        "listener": at.map(|at| &*at.name),
        "peer": one.peer.to_string(),
        "state": one.state.name(),
        "age_ms": one.age.as_millis() as u64,
        "idle_ms": one.idle.as_millis() as u64,
        "pending_bytes": one.pending,
        "paused": one.is_paused,
        "protocol": description.protocol_name(),
        "tls": description.security_version(),
        "user": description.user_name(),
        "client": description.client_name(),
        "channels": description.channels(),
        "channel_count": description.channel_count(),
    })
}

fn closed_as_json(one: &ClosedConnection, listening: &[Option<Listening>]) -> Value {
    let at = listening.get(one.service).and_then(Option::as_ref);
    json!({
        "handle": one.handle.to_string(),
        "service": at.map_or("outbound", |at| &at.service),
        "listener": at.map(|at| &*at.name),
        "peer": one.peer.to_string(),
        "reason": one.reason.name(),
        "age_ms": one.age.as_millis() as u64,
        "ago_ms": one.ago.as_millis() as u64,
    })
}
