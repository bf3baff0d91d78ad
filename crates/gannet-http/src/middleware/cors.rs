//! Lets pages of other origins read responses.

use std::sync::Arc;

use gannet::proto::http::Method;

use crate::cx::Cx;
use crate::draft::Draft;
use crate::layer::Layer;

/// How long a browser may keep the answer to its check, in seconds.
const MAX_AGE_S: &str = "600";

/// Lets pages of other origins read responses (CORS, the Fetch standard §3.2), and answers browsers' preflight requests.
/// Requests with cookies are not allowed.
///
/// Put it outside of groups: preflight requests use `OPTIONS`, which seldom has a route of its own.
#[derive(Clone, Debug)]
pub struct Cors {
    /// None is any.
    origins: Option<Arc<[String]>>,
}

impl Cors {
    /// Allows any origin.
    #[must_use]
    pub fn any() -> Self {
        Self { origins: None }
    }

    /// Allows these origins only, such as `https://example.org`.
    ///
    /// Write the scheme, the host in lower case, and the port unless it is the scheme's default; no slash at the end.
    #[must_use]
    pub fn origins<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Self { origins: Some(origins.into_iter().map(Into::into).collect()) }
    }

    /// What the browser is told for the origin of a request, if it has one that is allowed.
    #[inline]
    fn allowed<'a>(&'a self, cx: &Cx<'a>) -> Option<&'a [u8]> {
        cx.request_header("origin").and_then(|origin| self.allows(origin))
    }

    /// What the browser is told for this origin.
    fn allows<'a>(&self, origin: &'a [u8]) -> Option<&'a [u8]> {
        match &self.origins {
            None => Some(b"*"),
            Some(origins) => origins.iter().any(|own| own.as_bytes() == origin).then_some(origin),
        }
    }

    /// Says who may read the response, which is there.
    fn say(&self, draft: &mut Draft, allowed: Option<&[u8]>) {
        if self.origins.is_some() {
            // Its name and value are fine.
            let _ = draft.headers.add("Vary", b"Origin");
        }
        if let Some(origin) = allowed {
            // It came in a header field.
            let _ = draft.headers.set("Access-Control-Allow-Origin", origin);
        }
    }
}

impl Layer for Cors {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        let allowed = self.allowed(cx);
        if !answers_check(cx, allowed) {
            next(cx);
        }
        if cx.is_deferred() {
            // What makes the response may set `Vary` itself.
            let (cors, allowed) = (self.clone(), allowed.map(<[u8]>::to_vec));
            cx.finally(move |reply| cors.say(reply.draft, allowed.as_deref()));
        } else {
            self.say(cx.draft, allowed);
        }
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let allowed = self.allowed(cx);
        let answered = answers_check(cx, allowed);
        if answered {
            self.say(cx.draft, allowed);
        }
        !answered
    }
}

/// Answers a browser's check, if it is one and the origin is allowed.
#[inline]
fn answers_check(cx: &mut Cx<'_>, allowed: Option<&[u8]>) -> bool {
    let asked = cx.request_header("access-control-request-method");
    let (Method::Options, Some(_), Some(method)) = (cx.method(), allowed, asked) else { return false };
    cx.status(204);
    cx.header("Access-Control-Allow-Methods", method);
    if let Some(fields) = cx.request_header("access-control-request-headers") {
        cx.header("Access-Control-Allow-Headers", fields);
    }
    cx.header("Access-Control-Max-Age", MAX_AGE_S);
    true
}
