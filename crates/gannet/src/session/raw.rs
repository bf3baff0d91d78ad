//! What the executor of sessions does that the compiler cannot check: futures that stay in their place, the reactor that a
//! future finds from inside of a poll, wakers made of integers. Used on the reactor's thread, wakers on any.
//!
//! All `unsafe` of sessions is here.

#[cfg(any(test, feature = "stream"))]
mod bound;

use std::any::TypeId;
use std::cell::{Cell, UnsafeCell};
use std::future::Future;
use std::marker::{PhantomData, PhantomPinned};
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::ops::Deref;
use std::pin::Pin;
use std::ptr;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use gannet_proto::Codec;

#[cfg(any(test, feature = "stream"))]
pub(super) use self::bound::Bound;

use crate::service::Session;

use super::head::Head;
use super::message::{self, Memory};
use super::scope::Scope;
use super::time::Sleep;
use super::wakes;

/// Whether a task has its future. Changed here only: the future's memory is read by it.
#[derive(Debug, Default)]
pub(super) struct Live(bool);

/// A session: its future in its place in the slab, and what is known of it.
pub(crate) struct Task<F> {
    head: Head,
    /// There if `head.live` says so: a place for that beside it would take eight bytes. In a cell, because a future has
    /// references into itself, which a shared one to the whole task must not end.
    future: UnsafeCell<MaybeUninit<F>>,
    /// Where the future was polled first; 0 before that.
    #[cfg(debug_assertions)]
    address: usize,
    /// References into the future may exist beside one to this.
    _pinned: PhantomPinned,
}

/// The future of a task, to be polled.
pub(super) struct Place<'t, F> {
    /// None where it has ended or was dropped.
    future: Option<&'t mut MaybeUninit<F>>,
}

impl<F: 'static> Session for Task<F> {}

impl<F> Task<F> {
    pub(super) fn new(future: F) -> Self {
        Self {
            head: Head::new(Live(true)),
            future: UnsafeCell::new(MaybeUninit::new(future)),
            #[cfg(debug_assertions)]
            address: 0,
            _pinned: PhantomPinned,
        }
    }

    /// Whether the future has ended or was dropped.
    pub(super) fn is_done(&self) -> bool {
        !self.head.live.0
    }

    pub(super) fn head(&mut self) -> &mut Head {
        &mut self.head
    }

    /// Both parts at once.
    pub(super) fn split(&mut self) -> (&mut Head, Place<'_, F>) {
        #[cfg(debug_assertions)]
        {
            let address = self.future.get().addr();
            assert!(self.address == 0 || self.address == address, "the future of a session was moved");
            self.address = address;
        }
        let future = self.head.live.0.then_some(self.future.get_mut());
        (&mut self.head, Place { future })
    }

    /// Drops the future where it is; after that, the task may move.
    pub(super) fn clear(&mut self) {
        if mem::take(&mut self.head.live).0 {
            // SAFETY: it was there, and is looked at no more, also if its destructor panics.
            unsafe { self.future.get_mut().assume_init_drop() };
        }
    }
}

impl<F> Drop for Task<F> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Polls the future of a session whose connection `scope` describes, and then, with `after`, what it spawned.
///
/// For sessions in the slab of a host only.
pub(super) fn poll_session<F: Future>(
    place: Place<'_, F>,
    scope: &mut Scope<'_>,
    cx: &mut Context<'_>,
    after: impl FnOnce(&mut Context<'_>),
) -> Poll<F::Output> {
    let Some(future) = place.future else { return Poll::Pending };
    // SAFETY: `split` gives the future out only where it is there.
    let future = unsafe { future.assume_init_mut() };
    // SAFETY: it stays where it is. A host moves a session into its slab before it polls it, the slab's chunks never move,
    // and the host takes a session out only after `Sequential::end`, which drops the future in its place. So does a host
    // that is dropped.
    let future = unsafe { Pin::new_unchecked(future) };
    enter(scope, || {
        let polled = future.poll(cx);
        if polled.is_pending() {
            after(cx);
        }
        polled
    })
}

thread_local! {
    /// The session that is polled on this thread; null while there is none, and while something uses it.
    static SCOPE: Cell<*mut Scope<'static>> = const { Cell::new(ptr::null_mut()) };
}

/// Sets [`SCOPE`] back when it is dropped.
struct Restore(*mut Scope<'static>);

impl Drop for Restore {
    #[inline]
    fn drop(&mut self) {
        SCOPE.set(self.0);
    }
}

/// Lets what runs meanwhile find `scope` by [`with`].
pub(super) fn enter<R>(scope: &mut Scope<'_>, run: impl FnOnce() -> R) -> R {
    let _restore = Restore(SCOPE.replace(ptr::from_mut(scope).cast()));
    run()
}

/// Gives the scope of the session that is polled, if there is one. It cannot be reached a second time meanwhile.
#[inline]
pub(super) fn with<R>(use_it: impl for<'a> FnOnce(&mut Scope<'a>) -> R) -> Option<R> {
    let scope = SCOPE.replace(ptr::null_mut());
    if scope.is_null() {
        return None;
    }
    let _restore = Restore(scope);
    // SAFETY: `enter` put it there, borrows the scope for as long as it is there, and does not touch it. Nobody else has it:
    // the cell is empty until this returns. The lifetime is made up, but `use_it` has to work with any, so that nothing
    // borrowed for that long leaves it.
    Some(use_it(unsafe { &mut *scope }))
}

/// Whether a session is polled on this thread, and can be reached.
pub(super) fn is_polling() -> bool {
    !SCOPE.get().is_null()
}

/// A codec and its state for one connection, whose types a session knows and its scope does not.
pub(super) struct Erased<'a> {
    kind: TypeId,
    codec: *const (),
    state: *mut (),
    borrow: PhantomData<&'a mut ()>,
}

impl<'a> Erased<'a> {
    pub(super) fn new<C: Codec>(codec: &'a C, state: &'a mut C::State) -> Self {
        let (codec, state) = (ptr::from_ref(codec).cast(), ptr::from_mut(state).cast());
        Self { kind: TypeId::of::<C>(), codec, state, borrow: PhantomData }
    }

    /// The two, if the codec is of this type.
    #[inline]
    pub(super) fn get<C: Codec>(&mut self) -> Option<(&C, &mut C::State)> {
        if self.kind != TypeId::of::<C>() {
            return None;
        }
        // SAFETY: the types are those of `new`, as the identifier says; both are borrowed for as long as `self` lives, the
        // state for `self` alone, and `self` is borrowed for as long as the state is.
        Some(unsafe { (&*self.codec.cast::<C>(), &mut *self.state.cast::<C::State>()) })
    }
}

thread_local! {
    /// The number of the session that is about to be polled anyway.
    static ABOUT_TO_RUN: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Does something that may wake the session with this number, which is polled right after it.
pub(super) fn quietly(number: usize, wake: impl FnOnce()) {
    ABOUT_TO_RUN.set(number);
    wake();
    ABOUT_TO_RUN.set(usize::MAX);
}

fn wake(number: usize) {
    if ABOUT_TO_RUN.try_with(Cell::get) != Ok(number) {
        wakes::wake(number);
    }
}

/// What a session's waker does; the pointer is the number of [`wakes`], and never followed.
static WAKER: RawWakerVTable = RawWakerVTable::new(
    |number| RawWaker::new(number, &WAKER),
    |number| wake(number.addr()),
    |number| wake(number.addr()),
    |_| {},
);

/// The waker of the session with this number: it owns nothing.
pub(super) fn waker(number: usize) -> Waker {
    // SAFETY: the functions of the table are safe on any thread, keep no count, and take any integer.
    unsafe { Waker::from_raw(RawWaker::new(ptr::without_provenance(number), &WAKER)) }
}

/// Whether a waker is the one of the session with this number.
pub(super) fn is_waker_of(waker: &Waker, number: usize) -> bool {
    ptr::eq(waker.vtable(), &raw const WAKER) && waker.data().addr() == number
}

/// Holds a message that [`Connection::next`](super::Connection::next) received: a copy, which a session may keep across
/// awaits.
///
/// It derefs to its bytes. Its memory comes from a pool of the reactor's thread, and goes back to one when it is dropped: a
/// dialogue in the steady state allocates nothing. At most 64 of up to 4 KiB each are kept by a thread.
pub struct Message {
    /// Taken out only when the message goes. An `Option` of it would cost eight bytes in every session.
    memory: ManuallyDrop<Memory>,
}

impl Message {
    #[inline]
    pub(super) fn of(memory: Memory) -> Self {
        Self { memory: ManuallyDrop::new(memory) }
    }

    pub(super) fn into_memory(self) -> Memory {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not used after that, and its own `Drop` does not run.
        unsafe { ManuallyDrop::take(&mut this.memory) }
    }
}

impl Deref for Message {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.memory
    }
}

impl Drop for Message {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the end of the message: its memory is not used after that.
        message::put_back(unsafe { ManuallyDrop::take(&mut self.memory) });
    }
}

/// Waits for a future, at most for a time: see [`within`](super::within).
#[must_use = "futures do nothing unless they are awaited"]
pub struct Within<F> {
    pub(super) future: F,
    pub(super) sleep: Sleep,
}

impl<F> Within<F> {
    pub(super) fn project(self: Pin<&mut Self>) -> (Pin<&mut F>, &mut Sleep) {
        // SAFETY: the future is pinned where this is: it has no `Drop`, gives the future out in no other way, and is `Unpin`
        // only if the future is. `Sleep` is always.
        unsafe {
            let Self { future, sleep } = self.get_unchecked_mut();
            (Pin::new_unchecked(future), sleep)
        }
    }
}

/// Waits for the first of two futures: see [`first`](super::first).
#[must_use = "futures do nothing unless they are awaited"]
pub struct First<A, B> {
    pub(super) left: A,
    pub(super) right: B,
}

impl<A, B> First<A, B> {
    pub(super) fn project(self: Pin<&mut Self>) -> (Pin<&mut A>, Pin<&mut B>) {
        // SAFETY: both are pinned where this is: it has no `Drop`, gives out neither in another way, and is `Unpin` only if
        // both are.
        unsafe {
            let Self { left, right } = self.get_unchecked_mut();
            (Pin::new_unchecked(left), Pin::new_unchecked(right))
        }
    }
}

/// Waits for two futures, or the first error of one: see [`both`](super::both).
#[must_use = "futures do nothing unless they are awaited"]
pub struct Both<A: Future, B: Future> {
    left: Part<A>,
    right: Part<B>,
}

/// One of two futures, and what it was ready with.
pub(super) struct Part<F: Future> {
    /// None once it was ready.
    future: Option<F>,
    output: Option<F::Output>,
}

impl<A: Future, B: Future> Both<A, B> {
    pub(super) fn new(left: A, right: B) -> Self {
        let (left, right) = (Part { future: Some(left), output: None }, Part { future: Some(right), output: None });
        Self { left, right }
    }

    pub(super) fn project(self: Pin<&mut Self>) -> (Pin<&mut Part<A>>, Pin<&mut Part<B>>) {
        // SAFETY: both are pinned where this is: it has no `Drop`, gives out neither in another way, and is `Unpin` only if
        // both are.
        unsafe {
            let Self { left, right } = self.get_unchecked_mut();
            (Pin::new_unchecked(left), Pin::new_unchecked(right))
        }
    }
}

impl<F: Future> Part<F> {
    /// The future, pinned until it is dropped in its place, and its output, which is not.
    pub(super) fn project(self: Pin<&mut Self>) -> (Pin<&mut Option<F>>, &mut Option<F::Output>) {
        // SAFETY: the future is pinned where this is: this has no `Drop`, gives the future out in no other way, and is
        // `Unpin` only if the future is. The output is never pinned.
        unsafe {
            let Self { future, output } = self.get_unchecked_mut();
            (Pin::new_unchecked(future), output)
        }
    }
}
