//! Public keys that are fetched by URL (JWK Set, RFC 7517), on a thread of their own.
//!
//! The thread fetches at the start, again after [`JwksSettings::refresh`], and when a token names a key that is not known. It
//! rests for [`JwksSettings::pause`] after each fetch, so tokens of unknown keys cost the server of the keys at most one
//! request in that time. Where a fetch fails, the keys that are known stay.

use std::borrow::Cow;
use std::fmt::{self, Debug, Formatter};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::{Algorithm, Key, TokenError};
use crate::outgoing::{Endpoint, Outgoing, OutgoingError, Trust};

/// Threads that may wait for a fetch at a time; further ones do not wait.
pub(crate) const WAITERS: usize = 16;

/// After a fetch that failed, the next one waits twice as long at least, whatever the settings say.
const SHORTEST_RETRY: Duration = Duration::from_millis(10);

/// Where keys come from, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksSettings {
    /// The URL of the set.
    pub url: Endpoint,
    /// Whose certificates are accepted.
    pub trust: Trust,
    /// How long a set is used before it is fetched again; 10 minutes by default. A key that was withdrawn counts so long.
    pub refresh: Duration,
    /// The time between two fetches at least; 10 s by default.
    pub pause: Duration,
    /// How long a response is waited for; 5 s by default.
    pub timeout: Duration,
    /// The largest set in bytes; 256 KiB by default.
    pub largest: usize,
    /// The most keys in a set; 64 by default.
    pub keys: usize,
}

impl JwksSettings {
    /// Fetches from a URL, with defaults for the rest.
    #[must_use]
    pub fn new(url: Endpoint) -> Self {
        Self {
            url,
            trust: Trust::System,
            refresh: Duration::from_secs(600),
            pause: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            largest: 256 << 10,
            keys: 64,
        }
    }
}

/// The counters of a [`Jwks`] at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksStats {
    /// Gauge: keys that are known.
    pub keys: usize,
    /// Counter: fetches that brought keys.
    pub fetched: u64,
    /// Counter: fetches that failed; the old keys stayed.
    pub failed: u64,
    /// Counter: keys in fetched sets that cannot be used for tokens.
    pub skipped: u64,
}

/// Keys by URL. It ends its thread when it is dropped.
pub struct Jwks {
    inner: Arc<Inner>,
}

struct Inner {
    settings: JwksSettings,
    keys: RwLock<Arc<[Key]>>,
    state: Mutex<State>,
    /// For the thread: somebody wants keys, or it shall end.
    wanted: Condvar,
    /// For those who wait: a fetch has ended.
    ended: Condvar,
    fetched: AtomicU64,
    failed: AtomicU64,
    skipped: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// A fetch is under way, or the thread is about to begin it.
    Fetching,
    /// A fetch begins when the keys are old, or when somebody wants it and the last one has not ended too lately.
    Idle,
}

struct State {
    phase: Phase,
    /// Until then no fetch begins because somebody wants it.
    rests_until: Instant,
    has_failed: bool,
    waiting: usize,
    is_over: bool,
}

impl Jwks {
    /// Starts to fetch.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub fn start(settings: JwksSettings) -> std::io::Result<Self> {
        let rests_until = now();
        let state = State { phase: Phase::Fetching, rests_until, has_failed: false, waiting: 0, is_over: false };
        let inner = Arc::new(Inner {
            settings,
            keys: RwLock::new(Arc::new([])),
            state: Mutex::new(state),
            wanted: Condvar::new(),
            ended: Condvar::new(),
            fetched: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
        });
        let fetching = inner.clone();
        std::thread::Builder::new().name("gannet-jwks".to_owned()).spawn(move || fetching.run())?;
        Ok(Self { inner })
    }

    /// The keys that are known.
    pub(super) fn keys(&self) -> Arc<[Key]> {
        self.inner.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that a token's key is not known, and says what becomes of the token. One that names no key makes the set be fetched
    /// only where the last fetch has failed.
    pub(super) fn want(&self, is_named: bool) -> TokenError {
        let mut state = self.inner.lock();
        match state.phase {
            Phase::Fetching => TokenError::KeysWanted,
            // By the clock, as the thread may be late to see that its rest is over.
            Phase::Idle if (is_named || state.has_failed) && now() >= state.rests_until => {
                state.phase = Phase::Fetching;
                self.inner.wanted.notify_all();
                TokenError::KeysWanted
            }
            _ if state.has_failed => TokenError::KeysUnavailable,
            _ => TokenError::Signature,
        }
    }

    /// Blocks until no fetch is under way; with [`WAITERS`] others, or after the time of a fetch, it returns at once.
    pub(crate) fn wait(&self) {
        let mut state = self.inner.lock();
        if state.waiting >= WAITERS {
            return;
        }
        state.waiting += 1;
        let longest = self.inner.settings.timeout + Duration::from_secs(1);
        let is_fetching = |state: &mut State| state.phase == Phase::Fetching && !state.is_over;
        let waited = self.inner.ended.wait_timeout_while(state, longest, is_fetching);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
    }

    /// Returns the counters.
    #[must_use]
    pub fn stats(&self) -> JwksStats {
        JwksStats {
            keys: self.keys().len(),
            fetched: self.inner.fetched.load(Ordering::Relaxed),
            failed: self.inner.failed.load(Ordering::Relaxed),
            skipped: self.inner.skipped.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Jwks {
    fn drop(&mut self) {
        self.inner.lock().is_over = true;
        self.inner.wanted.notify_all();
        self.inner.ended.notify_all();
    }
}

impl Debug for Jwks {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks").field("url", &self.inner.settings.url).finish_non_exhaustive()
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let settings = &self.settings;
        let client = Outgoing::new(&[&settings.url], &settings.trust, settings.timeout, settings.largest, 1);
        let mut failures = 0_u32;
        loop {
            let outcome = client.get(&settings.url).and_then(|response| match response.status {
                200 => read(&response.body, settings.keys),
                status => Err(OutgoingError::Status(status)),
            });
            let next = match outcome {
                Ok(set) => {
                    if failures > 0 {
                        tracing::info!(url = %settings.url, keys = set.keys.len(), "the keys for tokens were fetched again");
                    }
                    failures = 0;
                    self.fetched.fetch_add(1, Ordering::Relaxed);
                    self.skipped.fetch_add(set.skipped, Ordering::Relaxed);
                    *self.keys.write().unwrap_or_else(PoisonError::into_inner) = set.keys.into();
                    settings.refresh
                }
                Err(error) => {
                    self.failed.fetch_add(1, Ordering::Relaxed);
                    let known = self.keys.read().unwrap_or_else(PoisonError::into_inner).len();
                    tracing::warn!(url = %settings.url, %error, known, "the keys for tokens cannot be fetched; those that are known stay");
                    failures = failures.saturating_add(1);
                    settings.pause.max(SHORTEST_RETRY).saturating_mul(1 << failures.min(8)).min(settings.refresh)
                }
            };
            let mut state = self.lock();
            state.has_failed = failures > 0;
            state.phase = Phase::Idle;
            state.rests_until = now() + settings.pause;
            self.ended.notify_all();
            let is_idle = |state: &mut State| !state.is_over && state.phase == Phase::Idle;
            let waited = self.wanted.wait_timeout_while(state, next.max(settings.pause), is_idle);
            let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if state.is_over {
                return;
            }
            state.phase = Phase::Fetching;
        }
    }
}

/// The time by which fetches rest.
#[expect(clippy::disallowed_methods, reason = "keys are fetched on a thread, which no reactor's time reaches")]
fn now() -> Instant {
    Instant::now()
}

struct Set {
    keys: Vec<Key>,
    skipped: u64,
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawSet<'a> {
    #[serde(borrow)]
    keys: Vec<RawKey<'a>>,
}

/// A key of a set (RFC 7517 §4, RFC 7518 §6). All but the type is optional, and what is of no use is skipped.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawKey<'a> {
    #[serde(borrow)]
    kty: Cow<'a, str>,
    #[serde(borrow)]
    kid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    alg: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "use")]
    purpose: Option<Cow<'a, str>>,
    key_ops: Option<Vec<String>>,
    #[serde(borrow)]
    crv: Option<Cow<'a, str>>,
    #[serde(borrow)]
    n: Option<Cow<'a, str>>,
    #[serde(borrow)]
    e: Option<Cow<'a, str>>,
    #[serde(borrow)]
    x: Option<Cow<'a, str>>,
    #[serde(borrow)]
    y: Option<Cow<'a, str>>,
}

impl RawKey<'_> {
    /// The key, if it is one for tokens. A secret (`oct`) is none: who publishes it by URL has none any more.
    fn key(&self) -> Option<Key> {
        if self.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if self.key_ops.as_ref().is_some_and(|operations| !operations.iter().any(|operation| operation == "verify")) {
            return None;
        }
        let number = |text: &Option<Cow<'_, str>>| URL_SAFE_NO_PAD.decode(text.as_deref()?.trim_end_matches('=')).ok();
        let key = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&number(&self.n)?, &number(&self.e)?),
            ("EC", Some("P-256")) => Key::ecdsa(Algorithm::ES256, &number(&self.x)?, &number(&self.y)?),
            ("EC", Some("P-384")) => Key::ecdsa(Algorithm::ES384, &number(&self.x)?, &number(&self.y)?),
            ("EC", Some("P-521")) => Key::ecdsa(Algorithm::ES512, &number(&self.x)?, &number(&self.y)?),
            ("OKP", Some("Ed25519")) => Key::ed25519(&number(&self.x)?),
            _ => None,
        }?;
        let key = match &self.kid {
            Some(kid) => key.with_id(&**kid),
            None => key,
        };
        match self.alg.as_deref() {
            None => Some(key),
            Some(name) => {
                let own = serde_json::from_value::<Algorithm>(name.into()).ok()?;
                key.is_for(own).then(|| key.only(own))
            }
        }
    }
}

fn read(json: &[u8], most: usize) -> Result<Set, OutgoingError> {
    let malformed = |why: String| OutgoingError::Malformed(why);
    let raw: RawSet<'_> =
        serde_json::from_slice(json).map_err(|error| malformed(format!("not a JWK set ({error})")))?;
    if raw.keys.len() > most {
        return Err(malformed(format!("more than {most} keys")));
    }
    let keys: Vec<Key> = raw.keys.iter().filter_map(RawKey::key).collect();
    if keys.is_empty() {
        return Err(malformed(format!("none of its {} keys can verify a token", raw.keys.len())));
    }
    let skipped = (raw.keys.len() - keys.len()) as u64;
    Ok(Set { keys, skipped })
}
