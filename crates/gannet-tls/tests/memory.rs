//! What an idle connection keeps, on the server's side.

mod rig;

use gannet::Filter;
use gannet_testing::Counting;
use gannet_tls::{ClientAuth, TlsClient, TlsConfig, TlsServer, TlsVersion};
use rig::{Ca, Identified as _, Pair, Trusted as _, pair};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const CONNECTIONS: usize = 2000;

/// Bytes of each connection that is idle: what Rust has allocated, and resident. They stay, so that what is measured next
/// does not find their memory free.
fn idle((server, client): (TlsServer, TlsClient), held: &mut Vec<Box<dyn Filter>>) -> (usize, usize) {
    let open = || {
        let mut pair = Pair::connected(&server, &client);
        pair.assert_ready();
        pair.assert_echo();
        pair.server.filter
    };
    // Caches fill, and the heap finds its size.
    held.extend((0..100).map(|_| open()));
    let rust = || usize::try_from(ALLOCATOR.bytes()).expect("more is held than given back");
    let before = (rust(), resident());
    held.extend((0..CONNECTIONS).map(|_| open()));
    let after = (rust(), resident());
    ((after.0 - before.0) / CONNECTIONS, (after.1.saturating_sub(before.1)) / CONNECTIONS)
}

/// Bytes of this process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has it");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// One test, since others would allocate at the same time.
#[test]
#[cfg(target_os = "linux")]
fn an_idle_connection_keeps_less_than_6_kib() {
    const LIMIT: usize = 6 * 1024;

    let mut held = Vec::with_capacity(3 * (CONNECTIONS + 100));
    for (what, ends) in [
        ("TLS 1.3", pair(TlsVersion::V1_3)),
        ("TLS 1.2", pair(TlsVersion::V1_2)),
        ("TLS 1.3 with a client certificate", known()),
    ] {
        let (rust, all) = idle(ends, &mut held);
        eprintln!("{what}: {rust} bytes by Rust, {all} resident");
        assert!(rust > 500 && all > rust, "{what}: {rust} bytes by Rust, {all} resident: is it measured?");
        assert!(all < LIMIT, "{what}: {rust} bytes by Rust, {all} resident");
    }
}

/// Clients that show a certificate, which the connection keeps.
fn known() -> (TlsServer, TlsClient) {
    let ca = Ca::new("the CA");
    let client_auth = ClientAuth::required(ca.pem().as_bytes()).expect("a CA");
    let server = TlsConfig::new(ca.server(&["localhost"]).identity()).client_auth(client_auth);
    let client = ca.trusted().identity(ca.client(7).identity()).build("localhost").expect("settings");
    (TlsServer::new(server).expect("settings"), client)
}
