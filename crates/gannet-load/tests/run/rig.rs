//! A server in this process, and a small run against it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::{Address, DriverChoice, Engine, Running, Service};
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind, run};
use gannet_tls::{TlsClientConfig, TlsConfig, TlsServer, self_signed};

pub fn serve<S: Service>(driver: DriverChoice, factory: impl Fn() -> S + Send + Sync + 'static) -> (Running, Address) {
    let engine = Engine::new().driver(driver).reactors(1).listen("tcp://127.0.0.1:0", factory).expect("an address");
    let running = engine.start().expect("the server starts");
    let address = running.addresses().next().expect("it listens").clone();
    (running, address)
}

/// The same over TLS, with a certificate of its own making; what trusts it, and what trusts others.
pub fn serve_tls<S: Service>(
    driver: DriverChoice,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> (Running, Address, TlsClientConfig) {
    let made = self_signed(&["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    let tls = TlsServer::new(TlsConfig::new(made.identity)).expect("it is made for that");
    let engine = Engine::new().driver(driver).reactors(1);
    let engine = engine.listen_filtered("tls://127.0.0.1:0", Arc::new(tls), factory).expect("an address");
    let running = engine.start().expect("the server starts");
    let address = running.addresses().next().expect("it listens").clone();
    (running, address, TlsClientConfig::new().ca(made.certificate_pem.as_bytes()).expect("the certificate"))
}

pub fn config(kind: Kind, target: Address, driver: DriverChoice) -> Config {
    Config {
        connections: 20,
        warmup: Duration::from_millis(100),
        duration: Duration::from_secs(1),
        depth: 4,
        size: 48,
        heartbeat: Duration::from_millis(100),
        reactors: 2,
        driver,
        ..Config::new(kind, target)
    }
}

pub fn go(config: &Config) -> Results {
    run(config, &AtomicBool::new(false), &mut |_| {}).expect("the load generator starts")
}

pub fn drivers() -> Vec<DriverChoice> {
    match Engine::new().driver(DriverChoice::Uring).reactors(1).start() {
        Ok(_) => vec![DriverChoice::Poll, DriverChoice::Uring],
        Err(why) => {
            eprintln!("not tried on io_uring: {why}");
            vec![DriverChoice::Poll]
        }
    }
}

pub fn assert_clean(results: &Results, what: &str) {
    assert_eq!(results.connections.opened, 20, "{what}: {results:?}");
    assert_eq!(results.connections.up, 20, "{what}: {results:?}");
    assert!(results.connections.lost.is_empty() && results.connections.failed.is_empty(), "{what}: {results:?}");
    assert!(results.requests.errors.is_empty(), "{what}: {results:?}");
    assert_eq!(results.requests.unanswered, 0, "{what}: {results:?}");
    assert_eq!(results.requests.sent, results.requests.answered, "{what}");
    assert_eq!(results.times.service_ns.len(), results.requests.answered, "{what}");
    assert!(results.requests.answered > 0, "{what}");
}
