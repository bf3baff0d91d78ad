//! `POST /reload`, `/drain` and `/upgrade`: orders that [`Control`] carries out, each on a thread of its own, since they
//! block.

use std::time::Duration;

use gannet_http::{Cx, Rejection, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer;
use super::who::who;
use crate::control::{Control, DrainOrder, Outcome, Refused, ReloadOrder, UpgradeOrder};

/// The longest that an order may take. A new process has a minute to start.
const LONGEST: Duration = Duration::from_secs(120);

/// The body of `/reload`.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, default)]
struct Reload {
    strict: bool,
}

/// The body of `/drain`.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, default)]
struct Drain {
    listener: Option<String>,
    cancel: bool,
    spread_ms: Option<u64>,
}

/// The body of `/upgrade`.
#[derive(Debug, Default, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields, default)]
struct Upgrade {
    start_timeout_ms: Option<u64>,
}

pub(super) fn routes(control: &Control) -> Router {
    let (reload, drain, upgrade) = (control.clone(), control.clone(), control.clone());
    Router::new()
        .post("/reload", move |cx| -> Result<(), Rejection> {
            let Reload { strict } = body(cx)?;
            let what = json!({ "strict": strict });
            order(cx, &reload, ("reload", what), move |control| control.reload(ReloadOrder { strict }));
            Ok(())
        })
        .post("/drain", move |cx| -> Result<(), Rejection> {
            let Drain { listener, cancel, spread_ms } = body(cx)?;
            let what = json!({ "listener": listener, "cancel": cancel, "spread_ms": spread_ms });
            let asked = DrainOrder { listener, cancel, spread: spread_ms.map(Duration::from_millis) };
            order(cx, &drain, ("drain", what), move |control| control.drain(asked));
            Ok(())
        })
        .post("/upgrade", move |cx| -> Result<(), Rejection> {
            let Upgrade { start_timeout_ms } = body(cx)?;
            let asked = UpgradeOrder { start_timeout: start_timeout_ms.map(Duration::from_millis) };
            let what = json!({ "start_timeout_ms": start_timeout_ms });
            order(cx, &upgrade, ("upgrade", what), move |control| control.upgrade(asked));
            Ok(())
        })
}

/// Reads a body as JSON; none is an empty object.
pub(super) fn body<T: Default + serde::de::DeserializeOwned>(cx: &Cx<'_>) -> Result<T, Rejection> {
    if cx.request_body().is_empty() { Ok(T::default()) } else { cx.json() }
}

/// Has an order carried out on another thread, answers with what comes of it, and records it under a name with its object.
fn order(
    cx: &mut Cx<'_>,
    control: &Control,
    (action, what): (&'static str, Value),
    run: impl FnOnce(&Control) -> Outcome + Send + 'static,
) {
    let later = cx.defer(LONGEST);
    let (control, who) = (control.clone(), who(cx));
    let work = move || {
        let outcome = run(&control);
        control.audit().order(action, &who, what, &outcome);
        // Where the client has gone, nobody wants to know.
        let _ = later.complete(move |reply| answer::outcome(outcome, reply));
    };
    if let Err(error) = std::thread::Builder::new().name("gannet-admin".to_owned()).spawn(work) {
        // The token for the response has gone with the closure; this response takes its place.
        let refused = Refused::new("unavailable", format!("no thread can be started: {error}; try again")).status(503);
        tracing::warn!(%error, "an order of the admin socket has no thread");
        cx.finally(move |reply| answer::refuse(&refused, reply));
    }
}
