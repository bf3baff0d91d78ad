//! The admin page at `/admin`: a password opens it, and it shows and changes what runs.
//!
//! The page is three files that are a part of the program; it loads nothing from elsewhere. What it asks for comes from
//! `/admin/api`, as JSON, and only with the cookie of a session. Changes go through the same functions as the server API.

mod channels;
mod clients;
mod live;
mod origin;

use std::sync::Arc;

use gannet_http::middleware::RateLimit;
use gannet_http::{Cx, Layer, Reply, Router};
use serde::Deserialize;
use serde_json::Value;

use crate::audit::{Audited, Credential};
use crate::clock::time_of_day;
use crate::gateway::Gateway;
use crate::operators::sessions;

/// What a browser may do for the page: nothing that is not from here, and no script or style inside of it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Logins of one address (IPv6: one /64) a minute, and at once.
const LOGINS_PER_MINUTE: u32 = 10;
const LOGINS_AT_ONCE: u32 = 5;

/// Addresses whose logins are counted at a time. Further ones share what these have.
const ADDRESSES: usize = 1_024;

/// Bytes of a login.
const LOGIN_BYTES: usize = 1_024;

/// Methods of the server API that the page may call.
const METHODS: [&str; 4] = ["publish", "disconnect", "unsubscribe", "history_remove"];

/// Returns the routes of the page, and of what it asks for.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Router {
    let of = || gateway.clone();
    let (login_of, logout_of) = (of(), of());
    let limit = RateLimit::per_minute(LOGINS_PER_MINUTE).burst(LOGINS_AT_ONCE).keys(ADDRESSES);
    Router::new()
        .get("/admin", |cx| {
            cx.header("Content-Security-Policy", POLICY);
            cx.header("X-Frame-Options", "DENY");
            asset(cx, "text/html; charset=utf-8", include_str!("admin.html"));
        })
        .get("/admin/", |cx| {
            cx.status(308);
            cx.header("Location", "/admin");
        })
        .get("/admin/admin.js", |cx| asset(cx, "text/javascript; charset=utf-8", include_str!("admin.js")))
        .get("/admin/plot.js", |cx| asset(cx, "text/javascript; charset=utf-8", include_str!("plot.js")))
        .get("/admin/admin.css", |cx| asset(cx, "text/css; charset=utf-8", include_str!("admin.css")))
        .group("/admin/login", |login| login.layer(Own).layer(limit).post("", move |cx| log_in(cx, &login_of)))
        .group("/admin/logout", |logout| logout.layer(Own).post("", move |cx| log_out(cx, &logout_of)))
        .group("/admin/api", |api| {
            let [live, channels, channel, clients, client, call] = [(); 6].map(|()| of());
            api.layer(Own)
                .layer(LoggedIn(of()))
                .get("/live", move |cx| live::answer(cx, &live))
                .get("/channels", move |cx| channels::search(cx, &channels))
                .get("/channel", move |cx| channels::inspect(cx, &channel))
                .get("/clients", move |cx| clients::search(cx, &clients))
                .get("/client", move |cx| clients::inspect(cx, &client))
                .post("/call/{method}", move |cx| carry_out(cx, &call))
        })
}

fn asset(cx: &mut Cx<'_>, kind: &str, text: &str) {
    cx.header("Content-Type", kind);
    cx.header("X-Content-Type-Options", "nosniff");
    cx.header("Referrer-Policy", "no-referrer");
    cx.header("Cache-Control", "no-cache");
    cx.text(text);
}

/// Lets only the page itself change something: see [`origin::is_own`].
#[derive(Clone, Debug)]
struct Own;

impl Layer for Own {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.admit(cx) {
            next(cx);
        }
        // Of answers that are made later too: nobody but the page may keep what is in them.
        cx.header("Cache-Control", "no-store");
        cx.header("X-Content-Type-Options", "nosniff");
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let origins = cx.request().headers().filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
        let origins = origins.map(|(_, value)| value);
        let own = origin::is_own(origins, cx.request_header("sec-fetch-site"), cx.request_header("host"));
        if !own {
            cx.refuse(403, "only the admin page itself may ask for this; a proxy in front has to pass the header Host on as it came\n");
        }
        own
    }
}

/// Lets only those pass who have the cookie of a session.
#[derive(Clone)]
struct LoggedIn(Arc<Gateway>);

impl Layer for LoggedIn {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.admit(cx) {
            next(cx);
        }
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let known = self.0.operators().sessions().knows(tokens(cx), time_of_day());
        if !known {
            cx.refuse(401, "log in first\n");
        }
        known
    }
}

/// The tokens that came with a request.
fn tokens<'a>(cx: &Cx<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let fields = cx.request().headers().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
    sessions::tokens(fields.map(|(_, value)| value))
}

/// Whether the browser has come over TLS, to this server or to a proxy in front of it. Who lies about the latter gets a
/// cookie that its own browser does not send.
fn is_secure(cx: &Cx<'_>) -> bool {
    cx.filter_info::<gannet_tls::TlsInfo>().is_some()
        || cx.request_header("x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Login<'a> {
    #[serde(borrow)]
    password: std::borrow::Cow<'a, str>,
}

fn log_in(cx: &mut Cx<'_>, gateway: &Gateway) {
    let operators = gateway.operators();
    let body = cx.request_body();
    let Some(Login { password }) = (body.len() <= LOGIN_BYTES).then(|| serde_json::from_slice(body).ok()).flatten()
    else {
        return cx.refuse(400, "a login is a JSON object with a password\n");
    };
    let peer = cx.peer();
    if !operators.is_password(password.as_bytes()) {
        tracing::warn!(%peer, "a wrong password for the admin page");
        gateway.audit(&Audited::new("login", Credential::Password, peer, false));
        return cx.refuse(403, "this is not the password\n");
    }
    let Some(token) = operators.sessions().open(time_of_day()) else {
        tracing::error!("the system gives no random bytes for a session of the admin page");
        return cx.refuse(500, "no session can be made\n");
    };
    tracing::info!(%peer, "a login to the admin page");
    gateway.audit(&Audited::new("login", Credential::Password, peer, true));
    let secure = is_secure(cx);
    cx.status(204);
    cx.header("Set-Cookie", sessions::set_cookie(Some(&token), secure));
}

fn log_out(cx: &mut Cx<'_>, gateway: &Gateway) {
    gateway.operators().sessions().close(tokens(cx));
    gateway.audit(&Audited::new("logout", Credential::Session, cx.peer(), true));
    let secure = is_secure(cx);
    cx.status(204);
    cx.header("Set-Cookie", sessions::set_cookie(None, secure));
}

/// Carries out a method of the server API.
fn carry_out(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let method = cx.param("method");
    if !METHODS.contains(&method) {
        return cx.refuse(404, "the admin page has no such method\n");
    }
    let trace = cx.extension::<gannet_http::Trace>().ok().copied();
    match crate::api::run(gateway, method, cx.request_body(), trace.as_ref()) {
        Ok(answer) => {
            tracing::info!(peer = %cx.peer(), method, "called by the admin page");
            gateway.audit(&Audited::new("page", Credential::Session, cx.peer(), true).method(method));
            json(cx, &answer);
        }
        Err(why) => cx.refuse(400, &format!("{why}\n")),
    }
}

/// What an answer is written into.
trait Body {
    fn json(&mut self, text: &[u8]);
}

macro_rules! body {
    ($($type:ident)*) => {$(
        impl Body for $type<'_> {
            fn json(&mut self, text: &[u8]) {
                self.header("Content-Type", "application/json");
                self.bytes(text);
            }
        }
    )*};
}

body!(Cx Reply);

/// Answers with a value.
fn json(to: &mut impl Body, value: &Value) {
    to.json(value.to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    /// Ways in which a text would become markup or code.
    const WAYS: [&str; 12] = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "createContextualFragment",
        "DOMParser",
        "setHTMLUnsafe",
        "srcdoc",
        "eval(",
        "Function(",
        "javascript:",
        "setAttribute(\"on",
    ];

    #[test]
    fn the_page_has_no_way_to_make_markup_or_code_of_a_text() {
        for script in [include_str!("admin.js"), include_str!("plot.js")] {
            for way in WAYS {
                assert!(!script.contains(way), "{way}");
            }
        }
    }

    #[test]
    fn the_page_has_nothing_inside_that_its_policy_refuses_and_loads_nothing_from_elsewhere() {
        let page = include_str!("admin.html");
        for refused in ["<style", " style=", " onclick", " onsubmit", "javascript:", "http://", "https://", "//"] {
            assert!(!page.contains(refused), "{refused}");
        }
        let scripts = page.matches("<script").count();
        assert_eq!(scripts, page.matches("<script src=\"/admin/").count());
        let style = include_str!("admin.css");
        assert!(!style.contains("@import") && !style.contains("url("));
    }
}
