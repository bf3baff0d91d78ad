//! Half-closes over TLS: either side says close_notify and goes on receiving (RFC 8446 §6.1).

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use gannet::proto::Lines;
use gannet::{Address, Context, DriverChoice, Engine, HalfClose, Running, Service};
use gannet_testing::{PATIENCE, drivers};
use gannet_tls::{TlsConfig, TlsServer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use crate::rig::{Ca, Identified as _};

/// Answers late, by offloaded work that the test lets go; ends its own direction when it is told to.
struct Late {
    gate: Arc<Mutex<Receiver<()>>>,
    says: Sender<String>,
}

impl Service for Late {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        match line {
            b"work" => {
                let gate = self.gate.clone();
                let work = move || gate.lock().expect("no panic").recv().expect("the test lives");
                let done = |_: &mut Self, (): &mut (), (): (), cx: &mut Context<'_, Self>| {
                    cx.send(&[b"done"]);
                };
                cx.offload(work, done).expect("within the limit");
            }
            b"shut" => {
                cx.send(&[b"last words"]);
                cx.shutdown_write();
            }
            line => self.says.send(String::from_utf8_lossy(line).into_owned()).expect("the test lives"),
        }
    }

    fn half_closed(&mut self, (): &mut (), _: &mut Context<'_, Self>) -> HalfClose {
        self.says.send("half-closed".to_owned()).expect("the test lives");
        HalfClose::Close
    }
}

/// A server, what its service says, and what lets its work go.
struct Served {
    _running: Running,
    address: Address,
    said: Receiver<String>,
    open: Sender<()>,
}

fn serve(driver: DriverChoice, ca: &Ca) -> Served {
    let (open, gate) = channel();
    let (says, said) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let tls = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
    let service = move || Late { gate: gate.clone(), says: says.clone() };
    let engine = Engine::new().driver(driver).reactors(1);
    let engine = engine.listen_filtered("tls://127.0.0.1:0", Arc::new(tls), service).expect("an address");
    let running = engine.start().expect("it starts");
    let address = running.addresses().next().expect("it listens").clone();
    Served { _running: running, address, said, open }
}

/// A client that nobody here wrote.
struct Client {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Client {
    fn connect(server: &Served, ca: &Ca, version: &'static SupportedProtocolVersion) -> Self {
        let Address::Tls(address) = &server.address else { panic!("{}", server.address) };
        let tcp = TcpStream::connect(address).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate")).expect("a CA");
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("a name");
        Self { tls: ClientConnection::new(Arc::new(config), name).expect("settings"), tcp }
    }

    fn say(&mut self, lines: &[u8]) {
        rustls::Stream::new(&mut self.tls, &mut self.tcp).write_all(lines).expect("it is taken");
    }

    /// Ends its direction: by close_notify, and then perhaps that of TCP too.
    fn end(&mut self, of_tcp: bool) {
        self.tls.send_close_notify();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.tcp).expect("it is taken");
        }
        if of_tcp {
            self.tcp.shutdown(Shutdown::Write).expect("it lives");
        }
    }

    /// All that comes; an end without close_notify is an error.
    fn rest(&mut self) -> String {
        let mut rest = String::new();
        rustls::Stream::new(&mut self.tls, &mut self.tcp).read_to_string(&mut rest).expect("close_notify comes last");
        rest
    }
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

#[test]
fn replies_of_offloaded_work_come_after_the_peers_close_notify() {
    let ca = Ca::new("the CA");
    for driver in drivers() {
        let server = serve(driver, &ca);
        for version in VERSIONS {
            for of_tcp in [false, true] {
                let mut client = Client::connect(&server, &ca, version);
                client.say(b"work\nwork\n");
                client.end(of_tcp);
                assert_eq!(server.said.recv_timeout(PATIENCE).as_deref(), Ok("half-closed"));
                server.open.send(()).expect("it works");
                server.open.send(()).expect("it works");
                assert_eq!(client.rest(), "done\ndone\n", "{version:?}, {driver:?}");
                // It is asked again after each reply.
                drop(client);
                while server.said.try_recv().is_ok() {}
            }
        }
    }
}

#[test]
fn close_notify_goes_before_the_end_of_the_own_direction_and_what_comes_then_is_taken() {
    let ca = Ca::new("the CA");
    for driver in drivers() {
        let server = serve(driver, &ca);
        for version in VERSIONS {
            let mut client = Client::connect(&server, &ca, version);
            client.say(b"shut\n");
            assert_eq!(client.rest(), "last words\n", "{version:?}, {driver:?}");
            // The TCP stream ends behind it.
            assert_eq!(client.tcp.read(&mut [0]).expect("its end"), 0);
            for line in ["one", "two"] {
                client.say(format!("{line}\n").as_bytes());
                assert_eq!(server.said.recv_timeout(PATIENCE).as_deref(), Ok(line));
            }
            client.end(true);
            assert_eq!(server.said.recv_timeout(PATIENCE).as_deref(), Ok("half-closed"));
        }
    }
}
