//! The gateway of a process: what all reactors share, and how it becomes a part of an engine.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use gannet::{Engine, Outbound, Plan, Remote};
use gannet_channels::{Current, Seen, Space, Time};
use gannet_http::{Cx, Tracer};

use crate::application::Application;
use crate::askers::{Askers, Job};
use crate::audit::{Audited, Auditor};
use crate::clock::time_of_day;
use crate::live::{Live, SettingsInForce};
use crate::metrics::Metrics;
use crate::operators::Operators;
use crate::pump::{Post, Pump};
use crate::rules::Question;
use crate::secret::Secret;
use crate::session::Place;
use crate::settings::{Settings, SettingsError};
use crate::token::Tokens;

/// Bytes that are sent to a client after its outbox has gone over its high mark. Over it, the namespace's policy for
/// slow clients decides.
const SLOW_BYTES: u32 = 1 << 20;

/// The answer to a request that names another host than this one.
pub(crate) const FOREIGN_HOST: &str = "Host is no address, not localhost, and of no allowed origin: allow its origin, or configure tokens and an API key\n";

/// What all reactors share of the gateway. Every method may be called on every thread.
pub struct Gateway {
    live: Current<Live>,
    askers: Askers,
    space: Arc<Space>,
    seed: u64,
    node: String,
    began: Time,
    pub(crate) metrics: Metrics,
    operators: Operators,
    posts: Box<[Mutex<VecDeque<Post>>]>,
    /// Said when the engine starts.
    remote: OnceLock<Remote>,
    /// Where a Redis client reaches the same channels, if it does.
    redis: OnceLock<SocketAddr>,
    /// Said when the gateway becomes part of an engine.
    pump: OnceLock<Outbound<Pump>>,
    /// Said where traces are recorded.
    pub(crate) tracer: OnceLock<Tracer>,
    /// Said where an audit log is kept.
    auditor: OnceLock<Auditor>,
}

impl Gateway {
    /// Makes the gateway of an engine with so many reactors. `seed` is drawn anew for each process.
    ///
    /// # Errors
    ///
    /// A setting cannot work.
    pub fn new(settings: Settings, reactors: usize, seed: u64) -> Result<Arc<Self>, GatewayError> {
        settings.check()?;
        let space = Space::new(settings.channels.clone(), reactors, seed)?;
        let live = Live::new(settings, None)?;
        let settings = &live.settings;
        let operators = Operators::new(settings.admin.password.clone()).ok_or(GatewayError::Random)?;
        Ok(Arc::new(Self {
            space,
            operators,
            seed,
            node: format!("{:016x}", seed.rotate_left(17) ^ 0x6761_6e6e_6574),
            began: time_of_day(),
            metrics: Metrics::new(reactors),
            posts: (0..reactors).map(|_| Mutex::default()).collect(),
            remote: OnceLock::new(),
            redis: OnceLock::new(),
            pump: OnceLock::new(),
            tracer: OnceLock::new(),
            auditor: OnceLock::new(),
            askers: Askers::new(settings.application.concurrent + crate::token::KEY_WAITERS),
            live: Current::new(live),
        }))
    }

    /// Makes the gateway a part of an engine, which has to have as many reactors as were said. Listeners that serve its
    /// routes or its devices come to the same engine.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::outbound`].
    pub fn install(self: &Arc<Self>, mut engine: Engine) -> gannet::Result<Engine> {
        let gateway = self.clone();
        let pump = engine.outbound(move || Pump::new(&gateway))?;
        // It is a part of one engine.
        let _ = self.pump.set(pump);
        Ok(engine)
    }

    /// Makes the gateway a part of an engine that runs, when the plan is applied. [`install`](Self::install) says the rest.
    ///
    /// If the plan fails, drop the gateway: another plan needs another one.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::outbound`].
    pub fn install_in(self: &Arc<Self>, plan: Plan) -> gannet::Result<Plan> {
        let (gateway, own) = (self.clone(), self.clone());
        plan.outbound(
            move || Pump::new(&gateway),
            move |pump| {
                // It is a part of one engine.
                let _ = own.pump.set(pump);
            },
        )
    }

    /// Returns the channels.
    #[must_use]
    pub fn space(&self) -> &Arc<Space> {
        &self.space
    }

    /// Returns the name of this node, which clients repeat where their commands come by requests.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Returns what verifies tokens at this moment.
    #[must_use]
    pub fn tokens(&self) -> Arc<Tokens> {
        self.live().tokens.clone()
    }

    /// Returns the application that is asked about clients at this moment.
    #[must_use]
    pub fn application(&self) -> Arc<Application> {
        self.live().application.clone()
    }

    /// Returns the settings that are in force.
    #[must_use]
    pub fn settings(&self) -> SettingsInForce {
        SettingsInForce(self.live())
    }

    pub(crate) fn live(&self) -> Seen<Live> {
        self.live.get()
    }

    /// A number that differs after each change of [`live`](Self::live).
    pub(crate) fn generation(&self) -> u64 {
        self.live.generation()
    }

    pub(crate) fn set_live(&self, live: Live) {
        self.live.set(live);
    }

    pub(crate) fn askers(&self) -> &Askers {
        &self.askers
    }

    pub(crate) fn slow_bytes(&self) -> u32 {
        SLOW_BYTES
    }

    /// Returns whether the page that a request comes from may use the gateway.
    pub(crate) fn allows_origin(&self, cx: &Cx<'_>) -> bool {
        let mut origins = cx.request().headers().filter(|(name, _)| name.eq_ignore_ascii_case("origin"));
        let origin = origins.next().map(|(_, value)| value);
        origins.next().is_none() && self.live().settings.origins.allows(origin)
    }

    /// Returns whether a request may be meant for another site, by the name that it gives the server.
    pub(crate) fn is_for_another_host(&self, cx: &Cx<'_>) -> bool {
        !crate::host::is_own(cx.request_header("host"), &self.live().settings.origins)
    }

    /// Returns why a client may not connect, by the page that its request comes from and the name that it gives the server.
    pub(crate) fn refusal(&self, cx: &Cx<'_>) -> Option<&'static str> {
        if !self.allows_origin(cx) {
            return Some("the origin of this page is not allowed\n");
        }
        (self.live().settings.client.checks_host && self.is_for_another_host(cx)).then_some(FOREIGN_HOST)
    }

    /// Has somebody asked on a thread that may wait; the answer comes to the pump of the reactor. As many requests to the
    /// application are under way as have got a permit, each on a thread.
    pub(crate) fn ask(self: &Arc<Self>, reactor: usize, place: Place, question: Question) {
        self.ask_on(reactor, place, question, |job| self.askers.run(job));
    }

    /// Does the same on a thread that `start` finds.
    pub(crate) fn ask_on(
        self: &Arc<Self>,
        reactor: usize,
        place: Place,
        question: Question,
        start: impl FnOnce(Job) -> io::Result<()>,
    ) {
        let (gateway, unanswered) = (self.clone(), question.unanswered());
        let asked = start(Box::new(move || {
            let answer = question.ask(&gateway);
            gateway.post(reactor, Post::Answer { place, answer });
        }));
        if let Err(error) = asked {
            tracing::debug!(%error, "nobody can be asked: no thread is free");
            self.post(reactor, Post::Answer { place, answer: unanswered });
        }
    }

    /// Writes what the gateway counts, in Prometheus's text format.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write_metrics(&self, out: &mut String) -> std::fmt::Result {
        self.metrics.write(out, &self.space)?;
        self.metrics.write_logins(out, self.operators.logins())?;
        let live = self.live();
        crate::metrics::checks::write(out, &live.tokens, &live.application)
    }

    /// Has an audit log told who logs in to the admin page, what is done there, and which keys of the server API were wrong.
    /// Only the first call counts. `auditor` is called on reactors, so it must not wait.
    pub fn set_auditor(&self, auditor: impl Fn(&Audited<'_>) + Send + Sync + 'static) {
        let _ = self.auditor.set(Box::new(auditor));
    }

    pub(crate) fn audit(&self, audited: &Audited<'_>) {
        if let Some(auditor) = self.auditor.get() {
            auditor(audited);
        }
    }

    /// Says where Redis clients reach the same channels, for the page to show. Only the first call counts.
    pub fn set_redis_address(&self, address: SocketAddr) {
        let _ = self.redis.set(address);
    }

    pub(crate) fn redis_address(&self) -> Option<SocketAddr> {
        self.redis.get().copied()
    }

    /// Returns the password of the admin page if the start made it, for the operator to see once.
    #[must_use]
    pub fn made_admin_password(&self) -> Option<Secret> {
        self.operators.made_password()
    }

    pub(crate) fn operators(&self) -> &Operators {
        &self.operators
    }

    /// Notes the figures of this moment for the admin page.
    pub(crate) fn sample(&self, now: Time) {
        self.operators.sample(self.metrics.clients(), &self.space.stats(), now);
    }

    pub(crate) fn began(&self) -> Time {
        self.began
    }

    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Notes how the engine is reached, and has the channel space wake the pump of a reactor.
    pub(crate) fn started(&self, reactor: usize, remote: &Remote) {
        let _ = self.remote.set(remote.clone());
        let Some(pump) = self.pump.get().copied() else { return };
        let remote = remote.clone();
        self.space.set_waker(
            reactor,
            Box::new(move || {
                // It runs, or there is nobody to be told.
                let _ = remote.wake_service(reactor, pump);
            }),
        );
    }

    /// Has something done on a reactor, for a client there.
    pub(crate) fn post(&self, reactor: usize, post: Post) {
        let Some(posts) = self.posts.get(reactor) else { return };
        let was_empty = {
            let mut posts = posts.lock().unwrap_or_else(PoisonError::into_inner);
            posts.push_back(post);
            posts.len() == 1
        };
        if was_empty {
            self.wake(reactor);
        }
    }

    /// Has the pump of a reactor look at what waits.
    pub(crate) fn wake(&self, reactor: usize) {
        if let (Some(remote), Some(pump)) = (self.remote.get(), self.pump.get()) {
            // It runs, or there is nobody to be told.
            let _ = remote.wake_service(reactor, *pump);
        }
    }

    /// Takes what was posted for a reactor.
    pub(crate) fn take_posts(&self, reactor: usize) -> VecDeque<Post> {
        let posts = self.posts.get(reactor).map(|posts| posts.lock().unwrap_or_else(PoisonError::into_inner));
        posts.map(|mut posts| std::mem::take(&mut *posts)).unwrap_or_default()
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Says why a gateway cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// A setting cannot work.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A setting of the channel space cannot work.
    #[error(transparent)]
    Channels(#[from] gannet_channels::SettingsError),
    /// The system gives no random bytes for a password.
    #[error("the system gives no random bytes for the password of the admin page; give one")]
    Random,
    /// The thread that fetches keys for tokens cannot start.
    #[error("the thread that fetches keys for tokens cannot start: {0}")]
    Keys(#[source] std::io::Error),
}
