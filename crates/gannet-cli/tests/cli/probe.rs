//! `gannet probe`, as a container's health check runs it.

use std::io::Read as _;
use std::net::TcpListener;

use crate::server::{Server, drivers, gannet};

#[test]
fn a_probe_tells_a_server_that_is_well_from_one_that_is_not() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=http=tcp://127.0.0.1:0"]);
        let url = server.url("http").replace("tcp://", "http://");
        let probe = |path: &str| gannet(&["probe", &format!("{url}{path}")]).output().expect("it runs");
        let well = probe("/healthz");
        assert_eq!((well.status.code(), &well.stdout[..]), (Some(0), &b"HTTP/1.1 200 OK\n"[..]), "{well:?}");
        let missing = probe("/nothing");
        let said = String::from_utf8_lossy(&missing.stderr);
        assert!(missing.status.code() == Some(1) && said.contains("is not well: HTTP/1.1 404"), "{missing:?}");
        drop(server);
        assert_eq!(probe("/healthz").status.code(), Some(1), "nobody is there");
    }
}

#[test]
fn a_probe_gives_up_on_a_server_that_does_not_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/healthz", listener.local_addr().expect("bound"));
    let probing = gannet(&["probe", &url, "--timeout", "100ms"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&probing.stderr);
    assert!(probing.status.code() == Some(1) && said.contains("has not answered"), "{probing:?}");
    let mut asked = [0; 12];
    listener.accept().and_then(|(mut stream, _)| stream.read_exact(&mut asked)).expect("it asked");
    assert_eq!(&asked, b"GET /healthz");
}
