//! A server of frames, some of which ask for 50 ms of work: where that is done is the subject's choice.

use std::fmt;
use std::hint::black_box;
use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use gannet::proto::LengthPrefixed;
use gannet::{Context, DriverChoice, Engine, OffloadFull, Service};

use crate::engine;
use crate::models::clock;
use crate::subject::Ready;

/// The time that a long request takes.
const LONG: Duration = Duration::from_millis(50);

/// What a long request does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It waits, as for a database whose client blocks.
    Waits,
    /// It keeps a processor busy.
    Computes,
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Waits => "that wait",
            Self::Computes => "that compute",
        })
    }
}

impl Kind {
    /// The first byte of a request for it.
    pub fn letter(self) -> u8 {
        match self {
            Self::Waits => b'w',
            Self::Computes => b'c',
        }
    }

    fn of(letter: u8) -> Option<Self> {
        [Self::Waits, Self::Computes].into_iter().find(|kind| kind.letter() == letter)
    }

    fn work(self) {
        match self {
            // The work itself: a call that waits.
            Self::Waits => thread::sleep(LONG),
            Self::Computes => compute(),
        }
    }
}

/// Keeps this thread's processor busy for so much of its own time, however often something else has the processor.
fn compute() {
    /// Additions between two looks at the clock: some microseconds.
    const ADDITIONS: u64 = 10_000;
    let Ok(started) = clock::thread_cpu() else { return };
    while clock::thread_cpu().is_ok_and(|now| now - started < LONG) {
        black_box((0..ADDITIONS).fold(0, |sum: u64, number| sum.wrapping_add(black_box(number))));
    }
}

/// First byte of the answer to a long request when its work is done.
pub const DONE: u8 = b'd';
/// First byte of the answer to a long request whose work is going to be done.
pub const QUEUED: u8 = b'q';
/// First byte of the answer to a long request that was refused, because too many wait already.
pub const REFUSED: u8 = b'f';

/// Where the work of a long request is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the callback, on the reactor's thread.
    Reactor,
    /// In a pool of the engine; the answer comes when it is done.
    Offloaded,
    /// In a pool of the engine; the answer comes at once.
    Queued,
}

struct Worker {
    place: Place,
    done: Arc<AtomicU64>,
}

impl Service for Worker {
    type Codec = LengthPrefixed;
    type Session = ();

    fn message(&mut self, (): &mut (), frame: &[u8], cx: &mut Context<'_, Self>) {
        let Some((kind, rest)) = frame.split_first().and_then(|(first, rest)| Some((Kind::of(*first)?, rest))) else {
            cx.send(&[frame]);
            return;
        };
        let done = self.done.clone();
        let work = move || {
            kind.work();
            done.fetch_add(1, Ordering::Relaxed);
        };
        match self.place {
            Place::Reactor => {
                work();
                cx.send(&[&[DONE], rest]);
            }
            Place::Offloaded => {
                let answer = rest.to_vec();
                let offloaded = offload(kind, work, Some(answer), cx);
                if offloaded.is_err() {
                    cx.send(&[&[REFUSED], rest]);
                }
            }
            Place::Queued => {
                let answer = if offload(kind, work, None, cx).is_ok() { QUEUED } else { REFUSED };
                cx.send(&[&[answer], rest]);
            }
        }
    }
}

/// Has a pool do the work, and answers afterwards if there is something to answer.
fn offload(
    kind: Kind,
    work: impl FnOnce() + Send + 'static,
    answer: Option<Vec<u8>>,
    cx: &mut Context<'_, Worker>,
) -> Result<(), OffloadFull> {
    let done = move |_: &mut Worker, (): &mut (), (): (), cx: &mut Context<'_, Worker>| {
        if let Some(answer) = answer {
            cx.send(&[&[DONE], &answer]);
        }
    };
    match kind {
        Kind::Waits => cx.offload_blocking(work, done),
        Kind::Computes => cx.offload(work, done),
    }
}

/// Serves on one reactor until the process is ended. Answers each line on standard input with the works done so far.
pub fn serve(port: u16, ready: Ready, place: Place) -> io::Result<()> {
    let done = Arc::<AtomicU64>::default();
    let of_service = done.clone();
    let engine = Engine::new().reactors(1).driver(DriverChoice::Auto);
    let engine = engine.listen(format!("tcp://127.0.0.1:{port}"), move || Worker { place, done: of_service.clone() });
    let running = engine::start(engine.map_err(io::Error::other)?)?;
    ready.announce(port)?;
    for _ in io::stdin().lock().lines() {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", done.load(Ordering::Relaxed))?;
        out.flush()?;
    }
    running.join().map_err(io::Error::other)
}
