//! A server under test: started, waited for, spoken to, stopped, and killed if a test forgets it.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use gannet_testing::{PATIENCE, is_end};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Ended {
    /// The last event of the log with this message, which has to be JSON.
    pub(crate) fn event(&self, message: &str) -> Value {
        let events = self.stderr.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut events = events.filter(|event| event["message"] == message);
        events.next().unwrap_or_else(|| panic!("no {message:?} in {:#?}", self.stderr))
    }
}

/// A process that runs.
pub(crate) struct Server {
    child: Option<Child>,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
    banner: Vec<String>,
    logged: Vec<String>,
}

impl Server {
    /// Starts the binary and waits until it is ready, or has ended.
    pub(crate) fn run(command: Command) -> Result<Self, Ended> {
        Self::run_with_input(command, Stdio::null())
    }

    /// Does the same with a standard input.
    pub(crate) fn run_with_input(mut command: Command, input: Stdio) -> Result<Self, Ended> {
        let mut server = Self::spawn_with_input(&mut command, input);
        // With the command goes its end of that input.
        command.stdin(Stdio::null());
        loop {
            match server.stdout.recv_timeout(PATIENCE) {
                Ok(line) if line == "ready" => return Ok(server),
                Ok(line) => server.banner.push(line),
                Err(mpsc::RecvTimeoutError::Disconnected) => return Err(server.ended()),
                Err(mpsc::RecvTimeoutError::Timeout) => panic!("not ready in time: {command:?}"),
            }
        }
    }

    /// Starts the binary and does not wait.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self::spawn_with_input(command, Stdio::null())
    }

    fn spawn_with_input(command: &mut Command, input: Stdio) -> Self {
        command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stdout = lines(child.stdout.take().expect("piped"));
        let stderr = lines(child.stderr.take().expect("piped"));
        Self { child: Some(child), stdout, stderr, banner: Vec::new(), logged: Vec::new() }
    }

    /// Starts `gannet serve` with two reactors, a JSON log and these options; listeners with port 0.
    pub(crate) fn serve(driver: &str, options: &[&str]) -> Self {
        let mut command = gannet(&["serve", "--driver", driver, "--reactors", "2", "--log", "json"]);
        command.args(options);
        Self::run(command).unwrap_or_else(|ended| panic!("{options:?}: {ended:#?}"))
    }

    /// The URLs that the banner gives for a service, in order.
    pub(crate) fn urls(&self, service: &str) -> Vec<String> {
        let rows = self.banner.iter().map(|line| line.split_whitespace());
        rows.filter_map(|mut row| if row.next() == Some(service) { row.next() } else { None })
            .filter(|url| url.contains("://"))
            .map(str::to_owned)
            .collect()
    }

    /// The first of them.
    pub(crate) fn url(&self, service: &str) -> String {
        self.urls(service).first().cloned().unwrap_or_else(|| panic!("no {service} in {:#?}", self.banner))
    }

    /// A connection to the first listener of a service.
    pub(crate) fn connect(&self, service: &str) -> Stream {
        Stream::connect(&self.url(service))
    }

    /// Connects to a service, where the server may refuse that: a reset shows in connecting already, or in the next read.
    pub(crate) fn try_connect(&self, service: &str) -> std::io::Result<Stream> {
        Stream::try_connect(&self.url(service))
    }

    /// Whether the server refuses one more connection to a service.
    pub(crate) fn refuses(&self, service: &str) -> bool {
        is_end(&self.try_connect(service).and_then(|mut stream| stream.read(&mut [0])))
    }

    /// What it has printed since this was asked last.
    pub(crate) fn printed(&self) -> Vec<String> {
        self.stdout.try_iter().collect()
    }

    /// What was printed before `ready`.
    pub(crate) fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Reads the log until a line of it is what was waited for, and gives that.
    pub(crate) fn wait_for_line(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            match self.stderr.recv_timeout(PATIENCE) {
                Ok(line) => {
                    let found = is_it(&line);
                    self.logged.push(line.clone());
                    if found {
                        return line;
                    }
                }
                Err(error) => panic!("{error} while waiting for a line of the log: {:#?}", self.logged),
            }
        }
    }

    /// Reads the JSON log until an event of it is what was waited for, and gives that.
    pub(crate) fn wait_for(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let line = self.wait_for_line(|line| serde_json::from_str(line).is_ok_and(|event| is_it(&event)));
        serde_json::from_str(&line).expect("it was JSON before")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.pid();
        let pid = Pid::from_raw(i32::try_from(id).expect("a process id")).expect("a process id");
        kill_process(pid, signal).expect("it runs");
    }

    /// Sends signals at once: it is stopped meanwhile, however long this thread waits for a processor.
    pub(crate) fn signal_together(&self, signals: &[Signal]) {
        self.signal(Signal::STOP);
        signals.iter().for_each(|signal| self.signal(*signal));
        self.signal(Signal::CONT);
    }

    /// Stops it with SIGTERM and waits for its end.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Sends a signal again and again until it has ended: one soon after another is none of its own.
    pub(crate) fn signal_until_ended(mut self, signal: Signal) -> Ended {
        #[allow(clippy::disallowed_methods)] // The patience of a test.
        let begun = Instant::now();
        while self.child.as_mut().expect("it was not waited for before").try_wait().expect("a child of ours").is_none()
        {
            assert!(begun.elapsed() < PATIENCE, "it did not end in time: {:#?}", self.logged);
            self.signal(signal);
            std::thread::yield_now();
        }
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let mut child = self.child.take().expect("it was not waited for before");
        let pid = Pid::from_child(&child);
        let (sender, status) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait()));
        let status = match status.recv_timeout(PATIENCE) {
            Ok(status) => status.expect("a child of ours"),
            Err(_) => {
                let _ = kill_process(pid, Signal::KILL);
                panic!("it did not end in time: {:#?}", self.logged);
            }
        };
        let mut stdout = std::mem::take(&mut self.banner);
        stdout.extend(self.stdout.iter());
        let mut stderr = std::mem::take(&mut self.logged);
        stderr.extend(self.stderr.iter());
        Ended { status, stdout, stderr }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The lines of a stream as they come, from a thread.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The binary with arguments.
pub(crate) fn gannet(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
    // The default path is the same for all servers of a user; the tests' run side by side.
    command.args(arguments).env("GANNET_ADMIN", "off");
    command
}

/// The binary with arguments, started by a shell that does something first, such as `ulimit -n 64; exec "$0" "$@"`.
pub(crate) fn gannet_by_shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_gannet")]).args(arguments).env("GANNET_ADMIN", "off");
    command
}

/// The drivers that this machine can use. Where it cannot use io_uring, the binary has to say why in one line.
pub(crate) fn drivers() -> &'static [&'static str] {
    static DRIVERS: OnceLock<&[&str]> = OnceLock::new();
    DRIVERS.get_or_init(|| {
        match Server::run(gannet(&["serve", "--driver", "uring", "--listen", "echo=tcp://127.0.0.1:0"])) {
            Ok(_) => &["poll", "uring"],
            Err(ended) => {
                assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
                let [line] = &ended.stderr[..] else { panic!("more or less than a line: {ended:#?}") };
                let why = line.strip_prefix("gannet: the driver uring cannot be used: ");
                assert!(why.is_some_and(|why| !why.starts_with(';')), "{line}");
                eprintln!("the uring driver is not tested on this machine: {line}");
                &["poll"]
            }
        }
    })
}

/// A client's end of a connection.
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects to a URL; reads and writes fail when they take too long.
    pub(crate) fn connect(url: &str) -> Self {
        Self::try_connect(url).expect(url)
    }

    pub(crate) fn try_connect(url: &str) -> std::io::Result<Self> {
        let (scheme, address) = url.split_once("://").expect("a URL");
        if scheme == "unix" {
            let stream = UnixStream::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            return Ok(Self::Unix(stream));
        }
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::Tcp(stream))
    }

    /// A second handle to the same connection.
    pub(crate) fn twin(&self) -> Self {
        match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone().expect("a descriptor")),
            Self::Unix(stream) => Self::Unix(stream.try_clone().expect("a descriptor")),
        }
    }

    /// Sets how long a write may take.
    pub(crate) fn set_write_timeout(&self, timeout: Duration) {
        match self {
            Self::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Self::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
        .expect("a timeout");
    }

    /// Ends our side.
    pub(crate) fn finish(&self) {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
        .expect("the peer is there");
    }

    /// Sends a request and reads as many bytes as the answer has.
    pub(crate) fn ask(&mut self, request: &[u8], answer: &[u8]) {
        self.write_all(request).expect("the server takes the request");
        self.expect(answer);
    }

    /// Reads as many bytes as the answer has, and compares.
    pub(crate) fn expect(&mut self, answer: &[u8]) {
        let mut got = vec![0; answer.len()];
        self.read_exact(&mut got).expect("the server answers");
        assert!(got == answer, "{:?} came for {:?}", String::from_utf8_lossy(&got), String::from_utf8_lossy(answer));
    }

    /// Everything until the server ends its side.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.read_to_end(&mut rest).expect("the server ends its side");
        rest
    }

    /// Sends the pattern to an echoing service and reads nothing, until neither the server nor the kernel takes any
    /// more; says how many bytes they took.
    pub(crate) fn stuff(&mut self) -> usize {
        // Longer than a server waits for a processor, where it would take more.
        self.set_write_timeout(Duration::from_secs(1));
        let mut sent = 0;
        loop {
            let piece: Vec<u8> = (sent..sent + 64 * 1024).map(pattern).collect();
            match self.write(&piece) {
                Ok(count) => sent += count,
                Err(_) => return sent,
            }
        }
    }
}

/// The byte at a place of a stream, so that one that is lost, doubled or moved shows.
pub(crate) fn pattern(index: usize) -> u8 {
    (index % 251) as u8
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A frame of the `frames` service.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    [&length.to_be_bytes(), payload].concat()
}

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("gannet-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.0.join(file)
    }

    /// The URL of a Unix socket in it.
    pub(crate) fn url(&self, file: &str) -> String {
        format!("unix://{}", self.path(file).display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
