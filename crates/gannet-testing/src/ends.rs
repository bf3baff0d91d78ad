//! What a client sees of a server that refuses it or ends its connection.

use std::io::{self, ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// Tells whether this outcome of a connect, a read or a write means that the peer has ended the connection.
///
/// A server that refuses a connection may do so before `connect` returns, so that each of the three may be the first to
/// learn of it: as an end, a reset or a broken pipe. A timeout is none of those, nor is an address where nobody listens.
pub fn is_end(outcome: &io::Result<usize>) -> bool {
    match outcome {
        Ok(count) => *count == 0,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::NotConnected
                | ErrorKind::UnexpectedEof
        ),
    }
}

/// Connects, and tells whether the server ends that connection before it says anything.
///
/// It is for servers that say nothing to those they refuse, and either greet the others or keep them open: such a client
/// waits for [`PATIENCE`].
///
/// # Panics
///
/// Panics if nobody listens there.
#[must_use]
#[track_caller]
pub fn is_refused(address: SocketAddr) -> bool {
    let read = TcpStream::connect(address).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.read(&mut [0])
    });
    if let Err(error) = &read {
        assert_ne!(error.kind(), ErrorKind::ConnectionRefused, "nobody listens on {address}");
    }
    is_end(&read)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::{is_end, is_refused};

    #[test]
    fn a_client_is_refused_by_an_end_and_by_a_reset_and_not_by_a_greeting() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = std::thread::spawn(move || {
            let mut clients = listener.incoming().map(|client| client.expect("a client"));
            drop(clients.next());
            // What is closed with bytes that nobody has read is reset.
            let reset = clients.next().expect("a client");
            assert_eq!(reset.peek(&mut [0]).expect("a byte comes"), 1);
            drop(reset);
            clients.next().expect("a client").write_all(b"hello").expect("it is open");
        });
        assert!(is_refused(address));
        let mut client = TcpStream::connect(address).expect("it listens");
        client.write_all(b"!").expect("it is open");
        let read = client.read(&mut [0]);
        assert!(read.is_err() && is_end(&read), "{read:?}");
        assert!(!is_refused(address));
        server.join().expect("nothing fails there");
    }
}
