//! Writes the lines of the log, on a thread of its own: whoever reads standard error slowly, or not at all, or a disk that
//! is full, holds nobody up. What cannot be written is lost, and counted.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::status::{self, LostLine};

/// Bytes of lines that may wait. A reader that is as slow as that for a moment loses nothing: tens of thousands of lines.
const MOST_BYTES: usize = 8 << 20;

/// How long the end of the log waits for lines to be written.
const LONGEST_END: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    ends: bool,
    has_ended: bool,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// A line has come, or the end.
    came: Condvar,
    ended: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next line, and whether it was the last one that waited; nothing when the log ends.
    fn next(&self) -> Option<(Box<[u8]>, bool)> {
        let has_none = |queue: &mut Queue| queue.lines.is_empty() && !queue.ends;
        let mut queue = self.came.wait_while(self.lock(), has_none).unwrap_or_else(PoisonError::into_inner);
        let line = queue.lines.pop_front()?;
        queue.bytes -= line.len();
        Some((line, queue.lines.is_empty()))
    }
}

/// Takes lines: each call of [`write`](Write::write) is one.
#[derive(Clone)]
pub(super) struct LineWriter {
    shared: Arc<Shared>,
    most_bytes: usize,
}

impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut queue = self.shared.lock();
        if queue.bytes + line.len() > self.most_bytes {
            drop(queue);
            status::count_lost_line(LostLine::Waiting);
            return Ok(line.len());
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        drop(queue);
        self.shared.came.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for LineWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

/// The thread that writes. Dropping it writes what waits, for a second at most.
pub(super) struct LogThread {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Starts to write lines to `to`. Without a thread, which is rare, they are lost.
pub(super) fn start(to: impl Write + Send + 'static) -> (LineWriter, LogThread) {
    start_with(to, MOST_BYTES)
}

fn start_with(to: impl Write + Send + 'static, most_bytes: usize) -> (LineWriter, LogThread) {
    let shared = Arc::new(Shared::default());
    let own = shared.clone();
    let body = move || {
        write_lines(&own, to);
        own.lock().has_ended = true;
        own.ended.notify_all();
    };
    let thread = std::thread::Builder::new().name("gannet-log".to_owned()).spawn(body).ok();
    (LineWriter { shared: shared.clone(), most_bytes }, LogThread { shared, thread })
}

impl Drop for LogThread {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let mut queue = self.shared.lock();
        queue.ends = true;
        self.shared.came.notify_one();
        let waited = self.shared.ended.wait_timeout_while(queue, LONGEST_END, |queue| !queue.has_ended);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // A thread that cannot write its line is left behind: the process ends.
        if queue.has_ended {
            drop(queue);
            let _ = thread.join();
        }
    }
}

fn write_lines(shared: &Shared, to: impl Write) {
    let mut sink = Sink { to, is_cut: false };
    let mut told = 0;
    while let Some((line, was_last)) = shared.next() {
        if !sink.write_line(&line) {
            status::count_lost_line(LostLine::Unwritten);
            continue;
        }
        let lost = status::lost_lines(LostLine::Unwritten) + status::lost_lines(LostLine::Waiting);
        if was_last && lost > told {
            tracing::warn!(
                lost = lost - told,
                "lines of the log were lost: they could not be written, or not fast enough"
            );
            told = lost;
        }
    }
}

/// Where lines go.
struct Sink<W> {
    to: W,
    /// Whether the end of the last line is missing.
    is_cut: bool,
}

impl<W: Write> Sink<W> {
    /// Writes a line, or says that it cannot. What comes after a piece of one is a line of its own again.
    fn write_line(&mut self, line: &[u8]) -> bool {
        if self.is_cut && !self.write(b"\n") {
            return false;
        }
        self.is_cut = false;
        self.write(line)
    }

    fn write(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => break,
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.is_cut |= !rest.is_empty() && rest.len() < bytes.len();
        rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use gannet_testing::{PATIENCE, until};

    use super::*;

    /// A reader that takes a piece when it is let, and says what it took.
    struct Slow {
        asks: Sender<()>,
        may: Receiver<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.asks.send(());
            let count = self.may.recv().unwrap_or(Ok(usize::MAX))?.min(bytes.len());
            self.taken.lock().expect("no panic").extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct Rig {
        writer: LineWriter,
        thread: LogThread,
        asks: Receiver<()>,
        may: Sender<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    fn rig(most_bytes: usize) -> Rig {
        let ((asking, asks), (may, let_go)) = (channel(), channel());
        let taken = Arc::<Mutex<Vec<u8>>>::default();
        let (writer, thread) = start_with(Slow { asks: asking, may: let_go, taken: taken.clone() }, most_bytes);
        Rig { writer, thread, asks, may, taken }
    }

    #[test]
    fn lines_that_a_slow_reader_leaves_no_room_for_are_lost_and_counted() {
        let Rig { mut writer, thread, asks, may, taken } = rig(100);
        let before = status::lost_lines(LostLine::Waiting);
        writer.write_all(&[b'a'; 60]).expect("it is taken");
        asks.recv_timeout(PATIENCE).expect("the first line is being written");
        for letter in [b'b', b'c'] {
            writer.write_all(&[letter; 60]).expect("nobody is held up");
        }
        assert_eq!(status::lost_lines(LostLine::Waiting), before + 1, "the third one has no room beside the second");
        drop((may, asks));
        drop(thread);
        assert_eq!(*taken.lock().expect("no panic"), [[b'a'; 60], [b'b'; 60]].concat());
    }

    #[test]
    fn a_line_that_could_be_written_in_part_only_does_not_spoil_the_next_one() {
        let Rig { mut writer, thread, asks, may, taken } = rig(1_000);
        let before = status::lost_lines(LostLine::Unwritten);
        writer.write_all(b"one\n").expect("it is taken");
        for outcome in [Ok(2), Err(ErrorKind::StorageFull.into())] {
            asks.recv_timeout(PATIENCE).expect("it is being written");
            may.send(outcome).expect("it waits");
        }
        until("the loss is counted", || status::lost_lines(LostLine::Unwritten) > before);
        writer.write_all(b"two\n").expect("it is taken");
        drop((may, asks));
        drop(thread);
        assert_eq!(String::from_utf8_lossy(&taken.lock().expect("no panic")), "on\ntwo\n");
    }

    #[test]
    fn the_end_of_the_log_does_not_wait_for_a_reader_that_stands_still() {
        let Rig { mut writer, thread, asks, may, .. } = rig(1_000);
        writer.write_all(b"one\n").expect("it is taken");
        asks.recv_timeout(PATIENCE).expect("it is being written");
        // It would wait for the test's patience to run out.
        drop(thread);
        drop((may, asks));
    }
}
