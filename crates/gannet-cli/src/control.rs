//! What can be asked of a running `gannet serve`: by the admin socket, by signals, by anything in the process.
//!
//! Whoever can do a thing says so once, when the server starts ([`Control::on_reload`] and its siblings). Until then the
//! answer is that this process cannot. An order blocks its caller, so it is never called on a reactor.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

use gannet::Remote;
use serde::Serialize;
use serde_json::Value;

use crate::audit::Audit;

/// What came of an order: a report for people and programs, as a JSON object.
pub(crate) type Outcome = Result<Value, Refused>;

/// An order that was not carried out. Nothing has changed then, unless the message says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refused {
    /// The status of the response over HTTP.
    #[serde(skip)]
    pub(crate) status: u16,
    /// A word for programs, as `unsupported`.
    pub(crate) code: &'static str,
    /// What was wrong, where, and what to do.
    pub(crate) message: String,
    /// More for programs and for `--json`, where there is more.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(crate) details: Value,
}

impl Refused {
    /// The order cannot be carried out as it is.
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: 422, code, message: message.into(), details: Value::Null }
    }

    /// The same, with another status.
    pub(crate) fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// The same, with more for programs.
    pub(crate) fn details(self, details: Value) -> Self {
        Self { details, ..self }
    }

    fn unsupported(what: &str) -> Self {
        Self::new("unsupported", format!("this process cannot {what}")).status(501)
    }

    fn busy(what: &str) -> Self {
        Self::new("busy", format!("another {what} is under way; wait for its end")).status(409)
    }
}

/// Reads the configuration again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadOrder {
    /// Changes nothing if a changed setting needs a restart.
    pub(crate) strict: bool,
}

/// Lets clients go to other servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DrainOrder {
    /// Only those of the listener with this name.
    pub(crate) listener: Option<String>,
    /// Ends a drain that is under way, in place of beginning one.
    pub(crate) cancel: bool,
    /// The time over which they are spread, if it is not that of the configuration.
    pub(crate) spread: Option<Duration>,
}

/// Puts a new process in the place of this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UpgradeOrder {
    /// How long the new process may take until it serves, if that is not the usual time.
    pub(crate) start_timeout: Option<Duration>,
}

type Order<T> = Box<dyn Fn(T) -> Outcome + Send + Sync>;

/// One kind of order: who carries it out, once at a time.
struct Slot<T> {
    order: OnceLock<Order<T>>,
    turn: Mutex<()>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { order: OnceLock::new(), turn: Mutex::new(()) }
    }
}

impl<T> Slot<T> {
    fn set(&self, order: impl Fn(T) -> Outcome + Send + Sync + 'static) {
        // Each is set once, by the part of the start that can do it.
        let _ = self.order.set(Box::new(order));
    }

    /// Who carries it out.
    fn order(&self, what: &str) -> Result<&Order<T>, Refused> {
        self.order.get().ok_or_else(|| Refused::unsupported(what))
    }

    fn run(&self, what: &str, with: T) -> Outcome {
        let order = self.order(what)?;
        let _turn = self.take_turn(what)?;
        order(with)
    }

    /// Waits until nobody else's order is under way, and keeps others from theirs.
    fn wait_for_turn(&self) -> MutexGuard<'_, ()> {
        // One that panicked is over.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_under_way(&self) -> bool {
        matches!(self.turn.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// Keeps others from carrying out such an order, unless somebody does already.
    fn take_turn(&self, what: &str) -> Result<MutexGuard<'_, ()>, Refused> {
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn),
            // One that panicked is over.
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => Err(Refused::busy(what)),
        }
    }
}

/// What the engine listens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listening {
    /// The service, as `redis`.
    pub(crate) service: String,
    /// What operators call the listener: its URL.
    pub(crate) name: String,
}

#[derive(Default)]
struct Inner {
    remote: OnceLock<Remote>,
    audit: OnceLock<Audit>,
    /// By their places in [`gannet::ReactorStats::services`]: a service that listens nowhere has one, too.
    listening: Mutex<Arc<[Option<Listening>]>>,
    reload: Slot<ReloadOrder>,
    drain: Slot<DrainOrder>,
    upgrade: Slot<UpgradeOrder>,
    /// A new process serves in place of this one.
    is_replaced: AtomicBool,
}

/// See the module. Cheap to clone; usable on any thread but a reactor's.
#[derive(Clone, Default)]
pub(crate) struct Control {
    inner: Arc<Inner>,
}

impl Control {
    /// Says that the engine has started.
    pub(crate) fn started(&self, remote: Remote) {
        let _ = self.inner.remote.set(remote);
    }

    /// Says where orders are recorded.
    pub(crate) fn audits(&self, audit: Audit) {
        let _ = self.inner.audit.set(audit);
    }

    /// Where orders are recorded: nowhere, until that was said.
    pub(crate) fn audit(&self) -> Audit {
        self.inner.audit.get().cloned().unwrap_or_default()
    }

    /// Says what listens, at the start and after each reload. What was removed keeps its place: its connections may still be
    /// there.
    pub(crate) fn listens(&self, remote: &Remote, service_of: impl Fn(&str) -> &'static str) {
        let mut all = self.listening().to_vec();
        let known = all.len();
        for one in remote.listeners().into_iter().filter(|one| one.service >= known) {
            all.resize(one.service, None);
            all.push(Some(Listening { service: service_of(&one.name).to_owned(), name: one.address.to_string() }));
        }
        self.set_listening(all);
    }

    fn set_listening(&self, all: Vec<Option<Listening>>) {
        *self.inner.listening.lock().unwrap_or_else(PoisonError::into_inner) = all.into();
    }

    /// What listens, by the numbers of services.
    pub(crate) fn listening(&self) -> Arc<[Option<Listening>]> {
        self.inner.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The places of a service, or of a listener.
    ///
    /// # Errors
    ///
    /// Nothing is called so.
    pub(crate) fn services(&self, name: &str) -> Result<Vec<usize>, Refused> {
        let all = self.listening();
        let is_called = |listening: &Listening| listening.service == name || listening.name == name;
        let found: Vec<usize> = (0..all.len()).filter(|place| all[*place].as_ref().is_some_and(is_called)).collect();
        if found.is_empty() {
            let mut names: Vec<&str> = all.iter().flatten().map(|listening| &*listening.service).collect();
            names.sort_unstable();
            names.dedup();
            let why = format!("no service or listener is called '{name}'; there are {}", names.join(", "));
            return Err(Refused::new("unknown", why));
        }
        Ok(found)
    }

    /// The engine, when it has started.
    pub(crate) fn remote(&self) -> Option<&Remote> {
        self.inner.remote.get()
    }

    /// Says who reads the configuration again.
    pub(crate) fn on_reload(&self, order: impl Fn(ReloadOrder) -> Outcome + Send + Sync + 'static) {
        self.inner.reload.set(order);
    }

    /// Says who lets clients go.
    pub(crate) fn on_drain(&self, order: impl Fn(DrainOrder) -> Outcome + Send + Sync + 'static) {
        self.inner.drain.set(order);
    }

    /// Says who replaces the process by a new one.
    pub(crate) fn on_upgrade(&self, order: impl Fn(UpgradeOrder) -> Outcome + Send + Sync + 'static) {
        self.inner.upgrade.set(order);
    }

    /// Reads the configuration again, and reports what has changed. Blocks until that is done.
    ///
    /// # Errors
    ///
    /// The process cannot, or another reload or an upgrade is under way, or the new configuration cannot be used.
    pub(crate) fn reload(&self, order: ReloadOrder) -> Outcome {
        let reload = self.inner.reload.order("reload")?;
        let turn = self.inner.reload.take_turn("reload");
        let _turn = turn.map_err(|busy| if self.inner.upgrade.is_under_way() { upgrading() } else { busy })?;
        self.check_replaced()?;
        reload(order)
    }

    /// Does the same as [`reload`](Self::reload), when a reload or an upgrade that is under way has ended.
    ///
    /// # Errors
    ///
    /// The process cannot, or a new one serves in its place, or the new configuration cannot be used.
    pub(crate) fn reload_in_turn(&self, order: ReloadOrder) -> Outcome {
        let reload = self.inner.reload.order("reload")?;
        let _turn = self.inner.reload.wait_for_turn();
        self.check_replaced()?;
        reload(order)
    }

    fn check_replaced(&self) -> Result<(), Refused> {
        if self.inner.is_replaced.load(Ordering::Relaxed) {
            let why = "a new process serves in place of this one, which keeps its configuration; reload that one";
            return Err(Refused::new("replaced", why).status(409));
        }
        Ok(())
    }

    /// Begins a drain, or ends one. Returns when it has begun or ended.
    ///
    /// # Errors
    ///
    /// The process cannot, or there is no such listener, or no drain to end, or an upgrade is under way.
    pub(crate) fn drain(&self, order: DrainOrder) -> Outcome {
        // Both processes of an upgrade have the sockets that a drain would close.
        let _turn = self.inner.upgrade.take_turn("upgrade")?;
        self.inner.drain.run("drain", order)
    }

    /// Starts a new process in place of this one. Blocks until that one serves, or has failed to.
    ///
    /// The new process reads the configuration when it starts, and what a reload does to the listeners of this one would not
    /// reach it: a reload that is under way is waited for, and no other begins.
    ///
    /// # Errors
    ///
    /// The process cannot, or another upgrade is under way, or the new process does not serve.
    pub(crate) fn upgrade(&self, order: UpgradeOrder) -> Outcome {
        let upgrade = self.inner.upgrade.order("upgrade")?;
        let _turn = self.inner.upgrade.take_turn("upgrade")?;
        let _no_reload = self.inner.reload.wait_for_turn();
        let outcome = upgrade(order);
        self.inner.is_replaced.fetch_or(outcome.is_ok(), Ordering::Relaxed);
        outcome
    }
}

/// Why nothing is reloaded during an upgrade.
fn upgrading() -> Refused {
    let why = "an upgrade is under way, and its new process may have read the configuration already; reload when it has ended";
    Refused::new("busy", why).status(409)
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use serde_json::json;

    use super::*;

    #[test]
    fn an_order_that_nobody_can_carry_out_is_refused_with_a_word_and_a_sentence() {
        let refused = Control::default().upgrade(UpgradeOrder::default()).expect_err("nobody can");
        assert_eq!((refused.status, refused.code), (501, "unsupported"));
        assert_eq!(refused.to_string(), "this process cannot upgrade");
        assert!(Control::default().remote().is_none());
    }

    #[test]
    fn an_order_is_carried_out_once_at_a_time_and_then_again() {
        let control = Control::default();
        let ((entered, enters), (leave, left)) = (mpsc::channel(), mpsc::channel::<bool>());
        let left = Mutex::new(left);
        control.on_reload(move |order| {
            entered.send(()).expect("the test waits");
            assert!(left.lock().expect("one at a time").recv().expect("the test says how it ends"));
            Ok(json!({ "strict": order.strict }))
        });
        let first = std::thread::spawn({
            let control = control.clone();
            move || control.reload(ReloadOrder { strict: true })
        });
        enters.recv().expect("the first is under way");
        let refused = control.reload(ReloadOrder::default()).expect_err("one is under way");
        assert_eq!((refused.status, refused.code), (409, "busy"));
        leave.send(true).expect("the first waits");
        assert_eq!(first.join().expect("no panic"), Ok(json!({ "strict": true })));

        leave.send(true).expect("the next will wait");
        assert_eq!(control.reload(ReloadOrder::default()), Ok(json!({ "strict": false })));
    }

    #[test]
    fn nothing_is_reloaded_during_an_upgrade_nor_when_a_new_process_serves() {
        let control = Control::default();
        let ((entered, enters), (leave, left)) = (mpsc::channel(), mpsc::channel::<bool>());
        let left = Mutex::new(left);
        control.on_reload(|_| Ok(json!("reloaded")));
        control.on_upgrade(move |_| {
            entered.send(()).expect("the test waits");
            let serves = left.lock().expect("one at a time").recv().expect("the test says how it ends");
            if serves { Ok(Value::Null) } else { Err(Refused::new("upgrade_failed", "it ends")) }
        });
        let upgrade = || {
            let control = control.clone();
            let upgrade = std::thread::spawn(move || control.upgrade(UpgradeOrder::default()));
            enters.recv().expect("it is under way");
            upgrade
        };
        let reload = || control.reload(ReloadOrder::default());
        for serves in [false, true] {
            let under_way = upgrade();
            let refused = reload().expect_err("an upgrade is under way");
            assert_eq!((refused.status, refused.code), (409, "busy"));
            assert!(refused.message.contains("an upgrade is under way"), "{refused}");
            let signal = std::thread::spawn({
                let control = control.clone();
                move || control.reload_in_turn(ReloadOrder::default())
            });
            leave.send(serves).expect("the upgrade waits");
            assert_eq!(under_way.join().expect("no panic").is_ok(), serves);
            let (signal, reload) = (signal.join().expect("no panic"), reload());
            if serves {
                for refused in [signal.expect_err("it is replaced"), reload.expect_err("it is replaced")] {
                    assert_eq!((refused.status, refused.code), (409, "replaced"));
                }
            } else {
                assert_eq!([signal, reload], [Ok(json!("reloaded")), Ok(json!("reloaded"))]);
            }
        }
    }

    #[test]
    fn a_service_is_found_by_its_name_and_by_the_url_of_a_listener() {
        let control = Control::default();
        let at = |service: &str, name: &str| Some(Listening { service: service.to_owned(), name: name.to_owned() });
        // The first is one for outbound connections.
        control.set_listening(vec![None, at("redis", "tcp://a:1"), at("http", "tcp://a:2"), at("redis", "unix:///r")]);
        assert_eq!(control.services("redis"), Ok(vec![1, 3]));
        assert_eq!(control.services("unix:///r"), Ok(vec![3]));
        let refused = control.services("mail").expect_err("there is none");
        assert_eq!(refused.to_string(), "no service or listener is called 'mail'; there are http, redis");
    }

    #[test]
    fn what_is_refused_has_its_details_in_json() {
        let refused = Refused::new("invalid", "2 settings are wrong").details(json!([1, 2]));
        let text = serde_json::to_value(&refused).expect("plain");
        assert_eq!(text, json!({ "code": "invalid", "message": "2 settings are wrong", "details": [1, 2] }));
    }
}
