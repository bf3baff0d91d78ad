//! A connection to either server: sends commands, reads whole replies.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gannet_testing::PATIENCE;

use crate::reply::Reply;

/// A socket of any kind.
pub(crate) trait Socket: Read + Write {
    fn set_patience(&self, time: Duration);
}

impl Socket for TcpStream {
    fn set_patience(&self, time: Duration) {
        self.set_read_timeout(Some(time)).expect("a timeout");
    }
}

impl Socket for UnixStream {
    fn set_patience(&self, time: Duration) {
        self.set_read_timeout(Some(time)).expect("a timeout");
    }
}

/// See the module.
pub(crate) struct Wire {
    socket: BufReader<Box<dyn Socket>>,
}

impl Wire {
    pub(crate) fn new(socket: impl Socket + 'static) -> Self {
        socket.set_patience(PATIENCE);
        Self { socket: BufReader::new(Box::new(socket)) }
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        // One that was closed says so where it is read.
        let _ = self.socket.get_mut().write_all(bytes);
    }

    pub(crate) fn send(&mut self, words: &[Vec<u8>]) {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
        self.send_raw(&command);
    }

    /// The next reply or message, or the end of the connection.
    pub(crate) fn read(&mut self) -> Reply {
        self.read_next().unwrap_or(Reply::End)
    }

    fn read_next(&mut self) -> Option<Reply> {
        let mut line = Vec::new();
        match self.socket.read_until(b'\n', &mut line) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
            Err(_) => return Some(Reply::Nothing),
        }
        assert!(line.ends_with(b"\r\n"), "a line that is none: {:?}", String::from_utf8_lossy(&line));
        line.truncate(line.len() - 2);
        let (kind, rest) = (line[0], &line[1..]);
        let length = || String::from_utf8_lossy(rest).parse::<i64>().expect("a length");
        match kind {
            b'$' | b'=' | b'!' if length() >= 0 => {
                let mut text = vec![0; length() as usize + 2];
                self.socket.read_exact(&mut text).expect("as many bytes as were announced");
                assert!(text.ends_with(b"\r\n"));
                text.truncate(text.len() - 2);
                Some(Reply::Text(kind, text))
            }
            b'*' | b'~' | b'>' | b'%' if length() >= 0 => {
                let count = length() * if kind == b'%' { 2 } else { 1 };
                Some(Reply::Many(kind, (0..count).map(|_| self.read_next()).collect::<Option<_>>()?))
            }
            _ => Some(Reply::Line(line)),
        }
    }
}
