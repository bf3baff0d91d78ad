//! Reads a file that a setting names. Nothing of it is waited for without an end, and nothing is read without a limit.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

/// How long a pipe may take to deliver all of its bytes. A secret store behind `<(…)` takes a few seconds.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads a whole file of at most `largest` bytes, which may be a pipe, as a shell makes it for `<(…)`.
///
/// Blocks the thread. A pipe may take 30 seconds to deliver its bytes: one that nobody writes to is an error of the kind
/// [`TimedOut`](io::ErrorKind::TimedOut), and never waited for without an end. At most `largest` bytes and one more are read,
/// so a device without an end takes no memory.
///
/// # Errors
///
/// The file cannot be read, has more bytes, or delivers them too late. The error says what to do, and does not name the file.
pub fn read_file(file: &Path, largest: u64) -> io::Result<Vec<u8>> {
    read_within(file, largest, LONGEST_WAIT)
}

/// Reads a file as [`read_file`] does, and waits for this long.
#[cfg(unix)]
fn read_within(file: &Path, largest: u64, longest_wait: Duration) -> io::Result<Vec<u8>> {
    #[allow(clippy::disallowed_methods)] // No reactor runs on this thread.
    let now = std::time::Instant::now;
    let by = now() + longest_wait;
    let mut opened = open_at_once(file)?.take(largest.saturating_add(1));
    let mut bytes = Vec::new();
    loop {
        // A pipe that nobody has opened for writing ends at once, so it is read only when something has happened to it.
        wait(opened.get_ref(), by.saturating_duration_since(now()), longest_wait)?;
        match opened.read_to_end(&mut bytes) {
            Ok(_) => return bounded(bytes, largest),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(not(unix))]
fn read_within(file: &Path, largest: u64, _: Duration) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(largest.saturating_add(1)).read_to_end(&mut bytes)?;
    bounded(bytes, largest)
}

/// Opens a file to read it, and waits for nobody to write to it.
#[cfg(unix)]
pub(crate) fn open_at_once(file: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;

    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    File::options().read(true).custom_flags(flags).open(file)
}

#[cfg(not(unix))]
pub(crate) fn open_at_once(file: &Path) -> io::Result<File> {
    File::open(file)
}

/// Waits until a file can be read, or has come to its end.
#[cfg(unix)]
fn wait(file: &File, left: Duration, all: Duration) -> io::Result<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(file, PollFlags::IN)], Some(&timeout)) {
        Ok(0) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!(
                "it is a pipe or a device, and did not end within {all:?}; write to it, or put a regular file in its place"
            ),
        )),
        // A signal is no reason to give up.
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Refuses what is larger than a file may be.
pub(crate) fn bounded(bytes: Vec<u8>, largest: u64) -> io::Result<Vec<u8>> {
    if bytes.len() as u64 <= largest {
        return Ok(bytes);
    }
    let limit = match largest {
        mib if mib >= 1 << 20 => format!("{} MiB", mib >> 20),
        kib if kib >= 1 << 10 => format!("{} KiB", kib >> 10),
        bytes => format!("{bytes} bytes"),
    };
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit}; name another file")))
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;
    use std::path::PathBuf;

    use gannet_testing::PATIENCE;

    use super::*;

    fn pipe(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("gannet-reading-{name}-{}", std::process::id()));
        // What a test that was ended has left behind.
        let _ = std::fs::remove_file(&path);
        let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo runs");
        assert!(made.success());
        path
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_given_up() {
        let path = pipe("silent");
        let error = read_within(&path, 10, Duration::from_millis(20)).expect_err("nobody writes");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("put a regular file in its place"), "{error}");
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn a_pipe_is_read_to_its_end_whoever_comes_first() {
        let path = pipe("slow");
        let (for_writer, (go, goes)) = (path.clone(), std::sync::mpsc::channel());
        let writer = std::thread::spawn(move || {
            let mut pipe = File::options().write(true).open(for_writer).expect("somebody reads");
            pipe.write_all(b"first, ").expect("it is read");
            goes.recv().expect("the test goes on");
            pipe.write_all(&[b'x'; 100_000]).expect("it is read");
        });
        let reader = std::thread::spawn({
            let path = path.clone();
            move || read_within(&path, 1 << 20, PATIENCE)
        });
        go.send(()).expect("the writer waits");
        let bytes = reader.join().expect("no panic").expect("all of it");
        assert_eq!((bytes.len(), bytes.starts_with(b"first, ")), (100_007, true));
        writer.join().expect("no panic");
        std::fs::remove_file(path).expect("it is there");
    }

    #[test]
    fn a_device_without_an_end_is_read_to_the_limit_only() {
        let error = read_file(Path::new("/dev/zero"), 64 << 10).expect_err("it has no end");
        assert_eq!(error.to_string(), "it is larger than 64 KiB; name another file");
        assert_eq!(read_file(Path::new("/dev/null"), 1).expect("it is empty"), b"");
    }

    #[test]
    fn a_folder_is_no_file() {
        let error = read_file(&std::env::temp_dir(), 1).expect_err("it is a folder");
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
    }
}
