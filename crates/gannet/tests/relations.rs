//! Relations that end at the borders of a reactor and of an engine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use gannet::proto::Lines;
use gannet::{
    Address, Connect, ConnectError, Context, DriverChoice, Engine, Error, Handle, Notice, Outbound, Refused, SendError,
    Service,
};
use gannet_testing::PATIENCE;

fn engines() -> impl Iterator<Item = Engine> {
    let mut choices = vec![DriverChoice::Poll];
    if cfg!(target_os = "linux") {
        choices.push(DriverChoice::Auto);
    }
    choices.into_iter().map(|choice| Engine::new().driver(choice).reactors(2))
}

/// Says on which reactor a connection is, and tells everybody what a line says.
struct Everybody {
    opened: Arc<Mutex<Vec<Handle>>>,
    elsewhere: Option<(Outbound<Everybody>, Address)>,
}

impl Service for Everybody {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.lock().expect("nobody panics").push(cx.handle());
        cx.send(&[cx.reactor().to_string().as_bytes()]);
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        if line == b"connect" {
            let (outbound, to) = self.elsewhere.clone().expect("the test gave one");
            let refused = cx.connect(outbound, &Connect::to(to), ());
            let is_refused = matches!(&refused, Err(Error::Setting(why)) if why.contains("another engine"));
            cx.send(&[format!("refused: {is_refused}").as_bytes()]);
            return;
        }
        if let Some(bytes) = line.strip_prefix(b"write ") {
            for handle in self.opened.lock().expect("nobody panics").iter() {
                cx.write_to(*handle, &[bytes, b"\n"].concat()).expect("it is there, and there is room");
            }
            return;
        }
        for handle in self.opened.lock().expect("nobody panics").iter() {
            cx.notify_other::<Self, _>(*handle, line.to_vec()).expect("it is there, and there is room");
        }
    }
}

impl Notice<Vec<u8>> for Everybody {
    fn notice(&mut self, (): &mut (), value: Vec<u8>, cx: &mut Context<'_, Self>) {
        cx.send(&[&value]);
    }
}

fn connect(address: &Address) -> BufReader<TcpStream> {
    let Address::Tcp(address) = address else { panic!("it listens on TCP") };
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    BufReader::new(stream)
}

fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).expect("an answer");
    line.trim_end().to_owned()
}

#[test]
fn a_value_and_encoded_bytes_reach_connections_of_every_reactor_and_their_own() {
    for engine in engines() {
        let opened = Arc::default();
        let shared = Arc::clone(&opened);
        let service = move || Everybody { opened: Arc::clone(&shared), elsewhere: None };
        let running = engine.listen("tcp://127.0.0.1:0", service).expect("an address").start().expect("it starts");
        let address = running.addresses().next().expect("it listens").clone();
        let (mut clients, mut reactors) = (Vec::new(), Vec::new());
        while !(reactors.contains(&"0".to_owned()) && reactors.contains(&"1".to_owned())) {
            let mut client = connect(&address);
            reactors.push(line(&mut client));
            clients.push(client);
        }
        clients[0].get_ref().write_all(b"news\n").expect("it reads");
        for client in &mut clients {
            assert_eq!(line(client), "news");
        }
        clients[0].get_ref().write_all(b"write bytes as they are\n").expect("it reads");
        for client in &mut clients {
            assert_eq!(line(client), "bytes as they are");
        }
        running.remote().stop();
        running.join().expect("it ends");
    }
}

#[test]
fn an_outbound_service_of_another_engine_is_refused_and_harms_nobody() {
    for (mut other, engine) in engines().zip(engines()) {
        let nobody = || Everybody { opened: Arc::default(), elsewhere: None };
        // More services than the engine has that gets the last of them.
        let outbound = (0..9).map(|_| other.outbound(nobody).expect("one fits")).last().expect("there are some");
        let peer = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let to = Address::Tcp(peer.local_addr().expect("it is bound"));
        let given = to.clone();
        let service = move || Everybody { opened: Arc::default(), elsewhere: Some((outbound, given.clone())) };
        let running = engine.listen("tcp://127.0.0.1:0", service).expect("an address").start().expect("it starts");
        let posted = running.remote().connect(0, outbound, &Connect::to(to), ());
        assert!(matches!(posted, Err(ConnectError::Post(SendError::OtherEngine))), "{posted:?}");
        let mut client = connect(running.addresses().next().expect("it listens"));
        line(&mut client);
        client.get_ref().write_all(b"connect\nstill here\n").expect("it reads");
        assert_eq!(line(&mut client), "refused: true");
        assert_eq!(line(&mut client), "still here");
        running.remote().stop();
        running.join().expect("it ends");
    }
}
