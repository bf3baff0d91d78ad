//! Services that prepare themselves when their engine starts, and those that cannot.

use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use gannet::proto::Raw;
use gannet::{
    Connect, Context, DatagramContext, DatagramService, DriverChoice, Engine, Error, Outbound, Service, ServiceContext,
    StartError, Starting,
};
use gannet_testing::{PATIENCE, free_ports};

fn engines() -> impl Iterator<Item = Engine> {
    let mut choices = vec![DriverChoice::Poll];
    if cfg!(target_os = "linux") {
        choices.push(DriverChoice::Auto);
    }
    choices.into_iter().map(|choice| Engine::new().driver(choice))
}

/// Starts as it is told, for connections and for datagrams.
struct Prepared<F>(F);

impl<F: FnMut(&Starting) -> Result<(), StartError> + 'static> Service for Prepared<F> {
    type Codec = Raw;
    type Session = ();

    fn name(&self) -> &str {
        "prepared"
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        (self.0)(starting)
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

impl<F: FnMut(&Starting) -> Result<(), StartError> + 'static> DatagramService for Prepared<F> {
    fn name(&self) -> &str {
        "prepared datagrams"
    }

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        (self.0)(starting)
    }

    fn datagram(&mut self, _: &[u8], _: &mut DatagramContext<'_>) {}
}

#[test]
fn each_instance_starts_once_and_knows_its_reactor() {
    for engine in engines() {
        let (starts, started) = mpsc::channel();
        let starts_of = move || {
            let starts = starts.clone();
            move |starting: &Starting| {
                let thread = std::thread::current().name().unwrap_or_default().to_owned();
                starts.send((starting.reactor(), starting.reactors(), thread))?;
                Ok(())
            }
        };
        let again = starts_of.clone();
        let engine = engine.reactors(3).listen("tcp://127.0.0.1:0", move || Prepared(starts_of())).expect("an address");
        let engine = engine.listen_datagrams("udp://127.0.0.1:0", move || Prepared(again())).expect("an address");
        let running = engine.start().expect("every instance starts");
        // All have when it runs: nothing is waited for.
        let mut all: Vec<_> = started.try_iter().collect();
        all.sort();
        let expected = (0..6).map(|start| (start / 2, 3, format!("gannet-{}", start / 2)));
        assert_eq!(all, expected.collect::<Vec<_>>());
        running.remote().stop();
        running.join().expect("it ends");
    }
}

#[test]
fn an_engine_does_not_start_where_one_instance_cannot() {
    for engine in engines() {
        let fails =
            || Prepared(|starting: &Starting| if starting.reactor() == 1 { Err("no space".into()) } else { Ok(()) });
        let address = free_ports(1)[0];
        let engine = engine.reactors(2).listen(format!("tcp://{address}"), fails).expect("an address");
        let Err(error) = engine.start() else { panic!("it runs") };
        assert_eq!(error.to_string(), "service prepared did not start on reactor 1: no space");
        assert!(matches!(error, Error::Service { reactor: 1, .. }));
        // Its threads end, and nobody listens any more.
        let gone = std::iter::repeat_with(|| TcpStream::connect(address)).find(Result::is_err);
        assert!(gone.is_some());
    }
}

#[test]
fn a_panic_while_an_instance_starts_is_an_error_of_the_engine() {
    for engine in engines() {
        let panics = || Prepared(|_: &Starting| panic!("out of luck"));
        let engine = engine.reactors(1).listen_datagrams("udp://127.0.0.1:0", panics).expect("an address");
        let Err(error) = engine.start() else { panic!("it runs") };
        let said = "service prepared datagrams did not start on reactor 0: it panicked: out of luck";
        assert_eq!(error.to_string(), said);
    }
}

/// Says when it is connected.
struct Dialled(mpsc::Sender<usize>);

impl Service for Dialled {
    type Codec = Raw;
    type Session = ();

    fn connected(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        self.0.send(cx.reactor()).expect("the test listens");
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

#[test]
fn a_service_that_starts_opens_connections_from_its_own_reactor() {
    for mut engine in engines().map(|engine| engine.reactors(2)) {
        let peer = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("tcp://{}", peer.local_addr().expect("it is bound"));
        let (reactors, connected) = mpsc::channel();
        let outbound: Outbound<Dialled> = engine.outbound(move || Dialled(reactors.clone())).expect("one fits");
        let dials = move || {
            let address = address.clone();
            Prepared(move |starting: &Starting| {
                let connect = Connect::resolve(&address)?;
                Ok(starting.remote().connect(starting.reactor(), outbound, &connect, ())?)
            })
        };
        let running = engine.listen("tcp://127.0.0.1:0", dials).expect("an address").start().expect("it starts");
        let mut reactors = [0; 2].map(|_| connected.recv_timeout(PATIENCE).expect("both connect"));
        reactors.sort_unstable();
        assert_eq!(reactors, [0, 1]);
        running.remote().stop();
        running.join().expect("it ends");
    }
}

/// Says when its timer fires.
struct Ticking(mpsc::Sender<&'static str>);

impl Service for Ticking {
    type Codec = Raw;
    type Session = ();

    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        starting.set_service_timer(Duration::from_millis(5));
        Ok(())
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn service_timer(&mut self, _: &mut ServiceContext<'_, Self>) {
        self.0.send("connections").expect("the test listens");
    }
}

impl DatagramService for Ticking {
    fn start(&mut self, starting: &Starting) -> Result<(), StartError> {
        starting.set_service_timer(Duration::from_millis(1));
        Ok(())
    }

    fn datagram(&mut self, _: &[u8], _: &mut DatagramContext<'_>) {}

    fn service_timer(&mut self) -> Option<Duration> {
        let _ = self.0.send("datagrams");
        Some(Duration::from_millis(1))
    }
}

#[test]
fn a_service_that_starts_sets_its_timer_which_fires_on_each_reactor() {
    for engine in engines().map(|engine| engine.reactors(2)) {
        let (sender, fired) = mpsc::channel();
        let of_datagrams = sender.clone();
        let engine = engine.listen("tcp://127.0.0.1:0", move || Ticking(sender.clone())).expect("an address");
        let engine = engine.listen_datagrams("udp://127.0.0.1:0", move || Ticking(of_datagrams.clone()));
        let running = engine.expect("an address").start().expect("it starts");
        let (mut of_connections, mut of_datagrams) = (0, 0);
        // Once on each reactor for connections; again and again for datagrams, without a connection or a datagram.
        while of_connections < 2 || of_datagrams < 10 {
            match fired.recv_timeout(PATIENCE).expect("timers fire") {
                "connections" => of_connections += 1,
                _ => of_datagrams += 1,
            }
        }
        assert_eq!(of_connections, 2);
        running.remote().stop();
        running.join().expect("it ends");
    }
}
