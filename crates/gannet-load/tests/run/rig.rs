//! A server in this process, and a small run against it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::{Address, DriverChoice, Engine, Running, Service};
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind, run};
pub use gannet_testing::drivers;
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
        warmup: Duration::from_millis(50),
        duration: Duration::from_millis(250),
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

/// How often something went wrong in this way.
pub fn errors_of(results: &Results, kind: &str) -> u64 {
    results.requests.errors.iter().find(|(name, _)| name == kind).map_or(0, |(_, count)| *count)
}

/// Connections that were lost, for any reason.
pub fn lost(results: &Results) -> u64 {
    results.connections.lost.iter().map(|(_, count)| count).sum()
}

/// What matters where a test fails: histograms fill pages.
pub fn shown(results: &Results) -> String {
    format!("{:?} {:?} {:?} {:?}", results.measured, results.connections, results.requests, results.invalid)
}

pub fn assert_clean(results: &Results, what: &str) {
    assert_eq!(results.connections.opened, 20, "{what}: {}", shown(results));
    assert_eq!(results.connections.up, 20, "{what}: {}", shown(results));
    assert!(results.connections.lost.is_empty() && results.connections.failed.is_empty(), "{what}: {}", shown(results));
    assert!(results.requests.errors.is_empty(), "{what}: {}", shown(results));
    assert_eq!(results.requests.unanswered, 0, "{what}: {}", shown(results));
    assert_eq!(results.requests.sent, results.requests.answered, "{what}");
    assert_eq!(results.times.service_ns.len(), results.requests.answered, "{what}");
    assert!(results.requests.answered > 0, "{what}");
}
