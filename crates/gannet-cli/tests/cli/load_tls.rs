//! `gannet load` over TLS: what it reports of handshakes, and how it says why they fail.

use std::net::TcpListener;

use gannet_testing::certificates::Ca;

use crate::load::{load, report};
use crate::server::{Folder, Server, drivers};

const ECHO: &str = "--listen=echo=tls://127.0.0.1:0";

/// A CA, with a certificate that it issued for `localhost` and its key, in files.
struct Files {
    folder: Folder,
}

impl Files {
    fn new(name: &str) -> Self {
        let ca = Ca::new(name);
        let issued = ca.server(&["localhost"]);
        let files = Self { folder: Folder::new(name) };
        files.put("cert.pem", &issued.certificate);
        files.put("key.pem", &issued.key);
        files.put("ca.pem", &ca.pem());
        files.put("ca-key.pem", &ca.key());
        files
    }

    fn put(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path(file), text).expect("a file");
    }

    fn option(&self, option: &str, file: &str) -> String {
        format!("--{option}={}", self.folder.path(file).display())
    }

    /// A server that shows this certificate.
    fn serve(&self, driver: &str, certificate: &str, key: &str) -> Server {
        Server::serve(driver, &[ECHO, &self.option("tls-cert", certificate), &self.option("tls-key", key)])
    }
}

#[test]
fn echo_http_and_websocket_are_loaded_over_tls_and_their_handshakes_counted() {
    for driver in drivers() {
        let folder = Folder::new(&format!("load-tls-{driver}"));
        let server = Server::serve(driver, &[ECHO, "--listen=http=tls://127.0.0.1:0", "--tls-self-signed"]);
        let at = |scheme: &str, path: &str| server.url("http").replace("tls", scheme) + path;
        let urls = [("echo", server.url("echo")), ("http", at("https", "/hello/you")), ("ws", at("wss", "/ws/echo"))];
        for (scenario, url) in &urls {
            let options = ["--connections=20", "--rate=500/s", "--duration=700ms", "--warmup=0", "--insecure"];
            let expected = ["--driver", driver, "--expect=errors=0", "--expect=failed=0", "--expect=lost=0"];
            let (report, status) = report(scenario, url, &[options, expected].concat(), &folder);
            assert!(matches!(status, Some(0 | 4)), "{url}: {report}");
            let connections = &report["connections"];
            let count = |name: &str| connections[name].as_u64().expect("a count");
            assert_eq!((count("opened"), connections["first_failure"].as_str()), (20, None), "{url}: {report}");
            assert_eq!(count("handshakes_full") + count("handshakes_resumed"), 20, "{url}: {report}");
            assert!(report["handshake_ns"]["p50"].as_u64().is_some_and(|took| took > 0), "{url}: {report}");
            assert!(report["requests"]["answered"].as_u64().is_some_and(|answered| answered > 0), "{url}: {report}");
        }
        // A connection for each request takes up the session of one before, unless it is not to.
        let options = ["--connections=2", "--rate=50/s", "--duration=700ms", "--warmup=0", "--no-keep-alive"];
        for (more, resumes) in [(&["--insecure"][..], true), (&["--insecure", "--no-resumption"], false)] {
            let (_, url) = &urls[1];
            let (report, _) = report("http", url, &[&options[..], more].concat(), &folder);
            let count = |name: &str| report["connections"][name].as_u64().expect("a count");
            assert!(count("reopened") > 0 && count("handshakes_full") > 0, "{report}");
            assert_eq!(count("handshakes_resumed") > 0, resumes, "{report}");
        }
    }
}

#[test]
fn whom_a_client_trusts_decides_and_a_handshake_that_fails_says_why() {
    for driver in drivers() {
        let (files, others) = (Files::new(&format!("load-ca-{driver}")), Files::new(&format!("load-other-{driver}")));
        let server = files.serve(driver, "cert.pem", "key.pem");
        // As `openssl req -x509` makes one.
        let ca_itself = files.serve(driver, "ca.pem", "ca-key.pem");
        let plain = Server::serve(driver, &["--listen=echo=tcp://127.0.0.1:0"]);
        let plain = plain.url("echo").replace("tcp://", "tls://");
        let (ca, other) = (files.option("tls-ca", "ca.pem"), others.option("tls-ca", "ca.pem"));
        let name = "--tls-server-name=localhost";
        let (url, ca_itself) = (server.url("echo"), ca_itself.url("echo"));
        let common = ["--connections=5", "--rate=100/s", "--duration=500ms", "--warmup=0", "--driver", driver];
        let (trusted, _) = report("echo", &url, &[&common[..], &[&ca, name]].concat(), &files.folder);
        assert_eq!(trusted["connections"]["opened"], 5, "{trusted}");
        for (url, options, why) in [
            (&url, &[&*other, name][..], "the server's certificate is of no CA that is trusted here"),
            (&url, &[&ca], "the server's certificate is for localhost, and not for 127.0.0.1"),
            (&ca_itself, &[&ca, name], "the server's certificate is that of a CA itself: make one for it that is not"),
            (&plain, &[&ca, name], "the server speaks no TLS: it sends back what it is sent"),
        ] {
            let options = [&common[..], options].concat();
            let (report, status) = report("echo", url, &options, &files.folder);
            assert_eq!(status, Some(1), "{why}: {report}");
            assert_eq!(report["connections"]["failed_by_reason"], serde_json::json!({ "tls": 5 }), "{why}: {report}");
            let first = report["connections"]["first_failure"].as_str().unwrap_or_default();
            assert!(first.starts_with(why), "{first:?}, not {why:?}");
            let output = load("echo", url, &options);
            let (text, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert!(text.lines().any(|line| line.contains("first failure") && line.contains(why)), "{text}");
            let line = format!("gannet: no connection to {url} came up (5 tls): {first}; see --tls-ca,");
            assert!(said.lines().count() == 1 && said.starts_with(&line), "{said:?}, not {line:?}");
        }
    }
}

#[test]
fn a_server_that_ends_its_handshakes_is_no_matter_of_trust() {
    let folder = Folder::new("load-tls-ended");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("tls://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let (report, status) = report("echo", &url, &["--connections=3", "--duration=1s", "--insecure"], &folder);
    assert_eq!((status, &report["connections"]["failed"]), (Some(1), &serde_json::json!(3)), "{report}");
}
