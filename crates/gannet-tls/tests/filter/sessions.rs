//! Sequential sessions over TLS, on both ends of a connection, with real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use gannet::proto::Lines;
use gannet::session::{self, Connection, both, connect};
use gannet::{Address, Connect, Engine};
use gannet_testing::{PATIENCE, drivers};
use gannet_tls::{TlsConfig, TlsInfo, TlsServer};

use crate::rig::{Ca, Identified as _, Trusted as _};

/// Answers lines, and says first what it knows of the connection.
async fn answers(mut connection: Connection<Lines>) -> session::Result {
    let version = connection.filter_info(|tls: &TlsInfo| tls.version().to_string());
    connection.send([version.unwrap_or_default().as_bytes()]).await?;
    while let Some(line) = connection.next().await? {
        connection.send([b"through TLS: ", &line]).await?;
    }
    connection.send([b"bye"]).await
}

/// Forwards lines to a server that it reaches through TLS, both ways at once.
async fn forwards(mut connection: Connection<Lines>, to: Connect) -> session::Result {
    let mut server = connect(Lines::new(), &to).await?;
    let (mut from_client, mut to_client) = connection.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        while let Some(line) = from_client.next().await? {
            to_server.send([&line]).await?;
        }
        to_server.shutdown_write();
        Ok(())
    };
    let down = async {
        while let Some(line) = from_server.next().await? {
            to_client.send([&line]).await?;
        }
        to_client.shutdown_write();
        Ok(())
    };
    both(up, down).await.map(|_| ())
}

#[test]
fn sessions_speak_tls_on_both_ends_and_hand_on_the_ends_of_their_streams() {
    const LINES: usize = 2_000;
    let ca = Ca::new("the CA");
    let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
    let client = Arc::new(ca.trusted().build("localhost").expect("settings"));
    for driver in drivers() {
        let engine = || Engine::new().driver(driver).reactors(1);
        let behind = engine()
            .sessions_filtered("tls://127.0.0.1:0", Arc::new(server.clone()), Lines::new, answers)
            .and_then(Engine::start)
            .expect("it starts");
        let to = behind.addresses().next().cloned().expect("it listens");
        let to = Connect::to(to).through(client.clone());
        let front = engine()
            .sessions("tcp://127.0.0.1:0", Lines::new, move |connection| forwards(connection, to.clone()))
            .and_then(Engine::start)
            .expect("it starts");
        let Some(Address::Tcp(address)) = front.addresses().next().cloned() else { panic!("it listens on TCP") };

        let mut stream = TcpStream::connect(address).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let mut reads = BufReader::new(stream.try_clone().expect("another one"));
        let mut version = String::new();
        reads.read_line(&mut version).expect("a line");
        assert!(version.contains("1.3"), "{version}");
        let asked: String = (0..LINES).map(|index| format!("line {index}\n")).collect();
        std::thread::scope(|threads| {
            threads.spawn(move || {
                stream.write_all(asked.as_bytes()).expect("it reads");
                stream.shutdown(Shutdown::Write).expect("it is open");
            });
            let mut said = String::new();
            reads.read_to_string(&mut said).expect("text, and an end");
            let expected: String = (0..LINES).map(|index| format!("through TLS: line {index}\n")).collect();
            assert!(said == expected + "bye\n", "{} bytes", said.len());
        });
        for running in [front, behind] {
            running.remote().stop();
            running.join().expect("it ends");
        }
    }
}
