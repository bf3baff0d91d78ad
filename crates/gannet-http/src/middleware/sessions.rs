//! Sessions in signed cookies.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cookie::{Cookie, CookieJar, Key, SameSite};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock;
use crate::cx::Cx;
use crate::layer::Layer;
use crate::response::Reply;

/// Cookies over this are not kept by browsers (RFC 6265 §6.1), in bytes with name and attributes.
const LARGEST_COOKIE: usize = 4_096;

/// Keeps a value of the application for each client in a signed cookie (HMAC with SHA-256).
///
/// Only a server with the key can change the value; several servers may share a key. The server needs no memory for it. The
/// client can read the value, so do not put secrets into it.
///
/// Handlers read it with [`Cx::session`] and set it with [`Cx::set_session`]. The cookie has `HttpOnly`, `SameSite=Lax`,
/// `Path=/` and, unless [`insecure`](Self::insecure) is set, `Secure`.
///
/// A session ends after its time, which is signed too. The server cannot end it earlier: a client may keep a copy of the
/// cookie and send it again. If you have to revoke sessions, keep them short, or store a number in them that the server
/// checks.
///
/// # Limits
///
/// A session has to fit into a cookie of 4 KiB: about 2.9 KiB of JSON. For a larger one, [`Cx::set_session`] fails.
///
/// ```
/// use std::time::Duration;
///
/// use gannet_http::middleware::Sessions;
/// use gannet_http::{Cx, Router};
///
/// fn count(cx: &mut Cx<'_>) -> Result<String, gannet_http::middleware::SessionError> {
///     let visits = cx.session::<u32>().unwrap_or(0) + 1;
///     cx.set_session(&visits)?;
///     Ok(format!("visit {visits}\n"))
/// }
///
/// // In a real program: 64 random bytes, from a file that only the server can read.
/// let key = [7; 64];
/// let sessions = Sessions::new(&key).lasting(Duration::from_secs(3600));
/// let routes = Router::new().layer(sessions).get("/", count).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[derive(Clone)]
pub struct Sessions(Arc<Settings>);

#[derive(Clone)]
struct Settings {
    key: Key,
    name: String,
    lasts: Duration,
    secure: bool,
}

impl Sessions {
    /// Signs with this key, which has to be random and secret. Sessions last 24 h, in a cookie called `session`.
    ///
    /// # Panics
    ///
    /// The key has fewer than 64 bytes.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        let (name, lasts) = ("session".to_owned(), Duration::from_secs(24 * 60 * 60));
        Self(Arc::new(Settings { key: Key::from(key), name, lasts, secure: true }))
    }

    /// Sets how long a session lasts after it was last set (default 24 h).
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        self.set(|settings| settings.lasts = time)
    }

    /// Sets the name of the cookie (default `session`).
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.set(|settings| name.clone_into(&mut settings.name))
    }

    /// Lets clients send the cookie without TLS too, for development.
    #[must_use]
    pub fn insecure(self) -> Self {
        self.set(|settings| settings.secure = false)
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl Settings {
    /// The value of a cookie, where its signature is right and its time is not over. With it is signed when it ends, in seconds
    /// since 1970.
    fn verify<T: DeserializeOwned>(&self, cookie: Cookie<'_>) -> Option<T> {
        let jar = CookieJar::new();
        let cookie = jar.signed(&self.key).verify(cookie.into_owned())?;
        let text = crate::decode(cookie.value())?;
        let (ends, value): (u64, T) = serde_json::from_str(&text).ok()?;
        (since_1970(clock::time_of_day()) < ends).then_some(value)
    }

    fn sign<T: Serialize>(&self, value: &T) -> Result<Cookie<'static>, SessionError> {
        let ends = since_1970(clock::time_of_day()).saturating_add(self.lasts.as_secs());
        let text = serde_json::to_string(&(ends, value)).map_err(|error| SessionError::Value(error.to_string()))?;
        let lasts = cookie::time::Duration::try_from(self.lasts).unwrap_or(cookie::time::Duration::MAX);
        let mut jar = CookieJar::new();
        let cookie = self.cookie(encode(&text)).max_age(lasts).build();
        jar.signed_mut(&self.key).add(cookie);
        let cookie = jar.get(&self.name).cloned().ok_or(SessionError::NoLayer)?;
        let bytes = cookie.to_string().len();
        if bytes > LARGEST_COOKIE { Err(SessionError::TooLarge { bytes }) } else { Ok(cookie) }
    }

    fn cookie(&self, value: String) -> cookie::CookieBuilder<'static> {
        Cookie::build((self.name.clone(), value)).path("/").http_only(true).same_site(SameSite::Lax).secure(self.secure)
    }
}

/// Percent-encodes what a cookie cannot have (RFC 6265 §4.1.1).
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 3 / 2);
    for byte in text.bytes() {
        match byte {
            b'!' | b'#'..=b'$' | b'&'..=b'+' | b'-'..=b':' | b'<'..=b'[' | b']'..=b'~' => encoded.push(byte.into()),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

fn since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

impl Layer for Sessions {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        cx.insert(self.clone());
        next(cx);
    }
}

/// Sessions. Need the feature `sessions`, and the layer [`Sessions`] around the handler.
impl Cx<'_> {
    /// Returns the session of this client.
    ///
    /// The answer is `None` if there is none, or it is expired, forged or of another type. Of several cookies with the right
    /// name, the first valid one counts.
    #[must_use]
    pub fn session<T: DeserializeOwned>(&self) -> Option<T> {
        let Sessions(settings) = self.extension::<Sessions>().ok()?;
        let mut cookies = self.cookies().filter(|cookie| cookie.name() == settings.name);
        cookies.find_map(|cookie| settings.verify(cookie))
    }
}

macro_rules! session_methods {
    ($($type:ident)*) => {$(
        /// Sessions. Need the feature `sessions`, and the layer [`Sessions`] around the handler.
        impl $type<'_> {
            /// Sets the session of this client. Its time begins now.
            ///
            /// # Errors
            ///
            /// [`SessionError`] says why the session cannot be set; nothing is changed.
            pub fn set_session<T: Serialize>(&mut self, value: &T) -> Result<(), SessionError> {
                let Sessions(settings) = self.extension::<Sessions>().map_err(|_| SessionError::NoLayer)?;
                let cookie = settings.sign(value)?;
                self.set_cookie(cookie);
                Ok(())
            }

            /// Removes the session from the client.
            pub fn end_session(&mut self) {
                if let Ok(Sessions(settings)) = self.extension::<Sessions>() {
                    let cookie = settings.cookie(String::new());
                    self.remove_cookie(cookie);
                }
            }
        }
    )*};
}

session_methods!(Cx Reply);

/// Says why a session cannot be set. As a response it is a 500, and the log has the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The layer [`Sessions`] is not around the handler.
    #[error("the layer Sessions is not around the handler")]
    NoLayer,
    /// The value cannot be serialized.
    #[error("the session cannot be serialized: {0}")]
    Value(String),
    /// The cookie would be larger than browsers keep.
    #[error("the session needs a cookie of {bytes} bytes, where {LARGEST_COOKIE} are the most")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl crate::Respond for SessionError {
    fn respond(self, reply: &mut Reply<'_>) {
        tracing::error!(error = %self, "a session could not be set; answered with 500");
        reply.refuse(500, crate::draft::FAILED);
    }
}

/// Without the key.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("name", &self.0.name).field("lasts", &self.0.lasts).finish_non_exhaustive()
    }
}
