//! `tls://` listeners: who may connect, with what, and how certificates are renewed while connections talk.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use gannet_testing::certificates::{Ca, Issued, date_time_ymd};
use gannet_testing::{PATIENCE, until};
use rustix::process::Signal;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use serde_json::Value;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, drivers};

pub(crate) const LINES: &str = "--listen=lines=tls://127.0.0.1:0";

static TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A new authority.
pub(crate) fn authority() -> Ca {
    Ca::new("an authority for tests")
}

/// What it issued to a server, in its files.
pub(crate) trait InFiles {
    fn der(&self) -> CertificateDer<'static>;

    /// Puts it into files by renaming, as renewing programs do.
    fn put(&self, folder: &Path);
}

impl InFiles for Issued {
    fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("it was just made")
    }

    fn put(&self, folder: &Path) {
        for (name, text) in [("key.pem", &self.key), ("cert.pem", &self.certificate)] {
            put(&folder.join(name), text);
        }
    }
}

/// Puts a file in the place of another at once.
pub(crate) fn put(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("a file");
    fs::rename(&new, file).expect("the same folder");
}

/// What a client is like.
pub(crate) struct Client {
    ca: CertificateDer<'static>,
    versions: &'static [&'static SupportedProtocolVersion],
    identity: Option<Issued>,
    alpn: Vec<Vec<u8>>,
}

pub(crate) type Connection = StreamOwned<ClientConnection, TcpStream>;

impl Client {
    pub(crate) fn trusting(ca: &Ca) -> Self {
        Self {
            ca: CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate"),
            versions: rustls::ALL_VERSIONS,
            identity: None,
            alpn: Vec::new(),
        }
    }

    /// The same, with a certificate of its own.
    pub(crate) fn identified(self, own: Issued) -> Self {
        Self { identity: Some(own), ..self }
    }

    /// The same, with TLS 1.2 at most.
    pub(crate) fn by_tls_1_2(self) -> Self {
        Self { versions: TLS_1_2, ..self }
    }

    pub(crate) fn connect(&self, url: &str, name: &'static str) -> io::Result<Connection> {
        let stream = TcpStream::connect(url.strip_prefix("tls://").expect("a URL of TLS"))?;
        self.greet(stream, name)
    }

    /// Makes the handshake on a connection.
    pub(crate) fn greet(&self, stream: TcpStream, name: &'static str) -> io::Result<Connection> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.clone()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions);
        let config = config.expect("they are known").with_root_certificates(roots);
        let mut config = match &self.identity {
            None => config.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
                config.with_client_auth_cert(vec![own.der()], key).expect("they fit")
            }
        };
        config.alpn_protocols.clone_from(&self.alpn);
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let connection = ClientConnection::new(Arc::new(config), name.try_into().expect("a name"));
        let mut stream = StreamOwned::new(connection.expect("settings"), stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Connects to a `lines` service and says something, which has to be answered.
    pub(crate) fn talk(&self, url: &str, name: &'static str) -> io::Result<Connection> {
        let mut stream = self.connect(url, name)?;
        ask(&mut stream)?;
        Ok(stream)
    }
}

/// Says something to a `lines` service, which has to be answered.
pub(crate) fn ask(stream: &mut Connection) -> io::Result<()> {
    stream.write_all(b"hello\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    assert_eq!(&answer, b"echo: hello\n");
    Ok(())
}

/// What the server showed.
pub(crate) fn shown(stream: &Connection) -> CertificateDer<'static> {
    stream.conn.peer_certificates().expect("a certificate")[0].clone().into_owned()
}

/// A server whose certificate is in files of its own.
pub(crate) struct Rig {
    pub(crate) folder: Folder,
    ca: Ca,
    first: Issued,
    pub(crate) server: Server,
}

impl Rig {
    pub(crate) fn start(driver: &str, name: &str, options: &[&str]) -> Self {
        let (folder, ca) = (Folder::new(&format!("tls-{name}-{driver}")), authority());
        let first = ca.server(&["localhost"]);
        first.put(&folder.path(""));
        put(&folder.path("ca.pem"), &ca.pem());
        let in_folder = |option: &str| option.replace("FOLDER", &folder.path("").to_string_lossy());
        let files = ["--tls-cert=FOLDER/cert.pem", "--tls-key=FOLDER/key.pem"];
        let all: Vec<String> = [LINES].iter().chain(&files).chain(options).map(|option| in_folder(option)).collect();
        let server = Server::serve(driver, &all.iter().map(String::as_str).collect::<Vec<_>>());
        Self { folder, ca, first, server }
    }

    pub(crate) fn client(&self) -> Client {
        Client::trusting(&self.ca)
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("lines")
    }

    /// What a new connection is shown.
    pub(crate) fn shown(&self) -> CertificateDer<'static> {
        shown(&self.client().talk(&self.url(), "localhost").expect("it is served"))
    }
}

pub(crate) fn is_reload(event: &Value) -> bool {
    event["message"].as_str().is_some_and(|message| message.starts_with("TLS reloaded"))
}

pub(crate) fn is_failure(event: &Value) -> bool {
    event["message"].as_str().is_some_and(|message| message.starts_with("TLS not reloaded"))
}

#[test]
fn services_are_served_over_tls_and_http_by_its_name() {
    for driver in drivers() {
        let http = "--listen=http=tls://127.0.0.1:0";
        let rig = Rig::start(driver, "services", &[http, "--listen=echo=tls://127.0.0.1:0"]);
        for versions in [TLS_1_2, TLS_1_3] {
            let client = Client { versions, ..rig.client() };
            let mut lines = client.talk(&rig.url(), "localhost").expect("it is served");
            assert_eq!(lines.conn.protocol_version(), Some(versions[0].version));
            ask(&mut lines).expect("again");
            let mut echo = client.connect(&rig.server.url("echo"), "localhost").expect("it is served");
            let (sent, mut got) = (vec![7; 300_000], vec![0; 300_000]);
            for part in sent.chunks(50_000).zip(got.chunks_mut(50_000)) {
                echo.write_all(part.0).expect("it is taken");
                echo.read_exact(part.1).expect("it comes back");
            }
            assert!(sent == got);
        }
        let client = Client { alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], ..rig.client() };
        let mut web = client.connect(&rig.server.url("http"), "localhost").expect("it is served");
        assert_eq!(web.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        web.write_all(b"GET /hello/you HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
        let mut answer = String::new();
        web.read_to_string(&mut answer).expect("it ends as TLS ends");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("hello you\n"), "{answer}");
        let banner = rig.server.banner().join("\n");
        for said in ["curl -k https://127.0.0.1:", "openssl s_client -quiet -connect 127.0.0.1:"] {
            assert!(banner.contains(said), "{banner}");
        }
    }
}

#[test]
fn a_valid_certificate_is_not_replaced_by_an_expired_one_unless_told_to() {
    for driver in drivers() {
        for accepts in [false, true] {
            let options: &[&str] = if accepts { &["--tls-accept-expired"] } else { &[] };
            let mut rig = Rig::start(driver, &format!("expired-{accepts}"), options);
            let expired = rig.ca.issue(&["localhost"], 1, |params| params.not_after = date_time_ymd(2024, 2, 29));
            expired.put(&rig.folder.path(""));
            if accepts {
                rig.server.wait_for(is_reload);
                assert!(rig.client().talk(&rig.url(), "localhost").is_err(), "it has expired");
                continue;
            }
            let event = rig.server.wait_for(is_failure);
            assert!(event["message"].as_str().is_some_and(|said| said.contains("--tls-accept-expired")), "{event}");
            assert!(event["error"].as_str().is_some_and(|said| said.contains("expired at 2024-02-29")), "{event}");
            assert_eq!(rig.shown(), rig.first.der());
        }
    }
}

#[test]
fn a_version_that_is_too_old_is_refused() {
    let rig = Rig::start(drivers()[0], "version", &["--tls-min-version=1.3"]);
    let old = Client { versions: TLS_1_2, ..rig.client() };
    assert!(old.talk(&rig.url(), "localhost").is_err());
    let new = rig.client().talk(&rig.url(), "localhost").expect("it is served");
    assert_eq!(new.conn.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn clients_show_certificates_that_were_issued_and_not_revoked() {
    for driver in drivers() {
        for mode in ["required", "optional"] {
            let (auth, ca) = (format!("--tls-client-auth={mode}"), "--tls-client-ca=FOLDER/ca.pem");
            let folder = Folder::new(&format!("tls-crl-{mode}-{driver}"));
            let crl = format!("--tls-crl={}", folder.path("crl.pem").display());
            // The list is of the server's authority, which is there when the rig is.
            let authority = authority();
            put(&folder.path("crl.pem"), &authority.crl(&[], 2099));
            put(&folder.path("ca.pem"), &authority.pem());
            let ca = ca.replace("FOLDER", &folder.path("").to_string_lossy());
            let mut rig = Rig::start(driver, &format!("clients-{mode}"), &[&auth, &ca, &crl]);
            let url = rig.url();
            let client = |identity: Option<Issued>| Client { identity, ..Client::trusting(&rig.ca) };
            assert_eq!(client(None).talk(&url, "localhost").is_ok(), mode == "optional", "{mode}");
            assert!(client(Some(Ca::new("another").client(5))).talk(&url, "localhost").is_err(), "of somebody else");
            let (good, bad) = (client(Some(authority.client(6))), client(Some(authority.client(7))));
            let mut before = bad.talk(&url, "localhost").expect("it is not revoked yet");
            put(&folder.path("crl.pem"), &authority.crl(&[7], 2099));
            let event = rig.server.wait_for(is_reload);
            assert!(event["files"].as_str().is_some_and(|files| files.contains("crl.pem")), "{event}");
            assert!(bad.talk(&url, "localhost").is_err(), "it was revoked");
            good.talk(&url, "localhost").expect("this one was not");
            ask(&mut before).expect("who is there stays");
        }
    }
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let (folder, ca) = (Folder::new("tls-names"), authority());
    let other = ca.server(&["other.test"]);
    put(&folder.path("both.pem"), &format!("{}{}", other.certificate, other.key));
    let both = folder.path("both.pem").display().to_string();
    let rig = Rig::start(drivers()[0], "names", &["--tls-cert", &both, "--tls-key", &both]);
    assert_eq!(rig.shown(), rig.first.der());
    let stream = Client::trusting(&ca).talk(&rig.url(), "other.test").expect("it is served");
    assert_eq!(shown(&stream), other.der());
}

#[test]
fn a_certificate_is_renewed_while_connections_talk_and_new_ones_come() {
    for driver in drivers() {
        let mut rig = Rig::start(driver, "renewed", &[]);
        let (first, second) = (rig.first.clone(), rig.ca.server(&["localhost"]));
        let (url, stop, renewed) = (rig.url(), AtomicBool::new(false), AtomicBool::new(false));
        let (talked, came) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let wait_until = |counter: &AtomicUsize, more: usize| {
            let enough = counter.load(Ordering::Relaxed) + more;
            until("enough of them", || counter.load(Ordering::Relaxed) >= enough);
        };
        let seen = std::thread::scope(|scope| {
            let client = Client::trusting(&rig.ca);
            let (stop, renewed, talked, came) = (&stop, &renewed, &talked, &came);
            let (url, second) = (&url, &second);
            let old: Vec<_> = (0..3).map(|_| client.talk(url, "localhost").expect("it is served")).collect();
            for mut stream in old {
                scope.spawn(move || {
                    while !stop.load(Ordering::Acquire) {
                        ask(&mut stream).expect("a connection that is there goes on");
                        talked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let newcomers = scope.spawn(move || {
                let mut seen = HashSet::new();
                while !stop.load(Ordering::Acquire) {
                    let has_to_be_new = renewed.load(Ordering::Acquire);
                    let stream = client.talk(url, "localhost").expect("new connections are served at all times");
                    assert!(!has_to_be_new || shown(&stream) == second.der(), "an old certificate after the reload");
                    seen.insert(shown(&stream));
                    came.fetch_add(1, Ordering::Relaxed);
                }
                seen
            });
            wait_until(came, 10);
            second.put(&rig.folder.path(""));
            let event = rig.server.wait_for(is_reload);
            renewed.store(true, Ordering::Release);
            let text = event.to_string();
            for said in ["cert.pem", "key.pem", "localhost until ", "UTC"] {
                assert!(text.contains(said), "{said}: {text}");
            }
            wait_until(came, 10);
            wait_until(talked, 10);
            stop.store(true, Ordering::Release);
            newcomers.join().expect("nothing failed")
        });
        assert_eq!(seen, HashSet::from([first.der(), second.der()]));
    }
}

#[test]
fn a_broken_file_keeps_what_was_served_and_a_mended_one_is_taken() {
    let mut rig = Rig::start(drivers()[0], "broken", &[]);
    let certificate = rig.folder.path("cert.pem");
    put(&certificate, "no certificate at all");
    let event = rig.server.wait_for(is_failure);
    assert_eq!(event["level"], "ERROR");
    assert!(event["error"].as_str().is_some_and(|error| error.contains("cert.pem")), "{event}");
    assert_eq!(rig.shown(), rig.first.der());
    // A key that belongs to another certificate.
    let second = rig.ca.server(&["localhost"]);
    put(&certificate, &second.certificate);
    let event = rig.server.wait_for(is_failure);
    assert!(event["error"].as_str().is_some_and(|error| error.contains("key.pem")), "{event}");
    assert_eq!(rig.shown(), rig.first.der());
    put(&rig.folder.path("key.pem"), &second.key);
    rig.server.wait_for(is_reload);
    assert_eq!(rig.shown(), second.der());
}

#[test]
fn files_that_are_removed_and_made_again_are_taken() {
    let mut rig = Rig::start(drivers()[0], "again", &[]);
    for name in ["cert.pem", "key.pem"] {
        fs::remove_file(rig.folder.path(name)).expect("it is there");
    }
    let event = rig.server.wait_for(is_failure);
    assert!(event["error"].as_str().is_some_and(|error| error.contains("no such file")), "{event}");
    assert_eq!(rig.shown(), rig.first.der());
    let second = rig.ca.server(&["localhost"]);
    fs::write(rig.folder.path("cert.pem"), &second.certificate).expect("a file");
    fs::write(rig.folder.path("key.pem"), &second.key).expect("a file");
    rig.server.wait_for(is_reload);
    assert_eq!(rig.shown(), second.der());
}

#[test]
fn a_symbolic_link_that_is_swapped_is_followed_as_often_as_it_is() {
    let (folder, ca) = (Folder::new("tls-links"), authority());
    let issued: Vec<Issued> = (0..3).map(|_| ca.server(&["localhost"])).collect();
    // As Kubernetes does: files are links into a folder that is a link, which is replaced.
    let swap = |number: usize| {
        let own = format!("..{number}");
        fs::create_dir_all(folder.path(&own)).expect("a folder");
        issued[number].put(&folder.path(&own));
        symlink(&own, folder.path("..data_new")).expect("a link");
        fs::rename(folder.path("..data_new"), folder.path("..data")).expect("the same folder");
        if let Some(before) = number.checked_sub(1) {
            fs::remove_dir_all(folder.path(&format!("..{before}"))).expect("it was there");
        }
    };
    swap(0);
    for name in ["cert.pem", "key.pem"] {
        symlink(format!("..data/{name}"), folder.path(name)).expect("a link");
    }
    let of = |name: &str| folder.path(name).display().to_string();
    let options = [LINES, "--tls-cert", &of("cert.pem"), "--tls-key", &of("key.pem")];
    let mut server = Server::serve(drivers()[0], &options);
    let url = server.url("lines");
    for (number, issued) in issued.iter().enumerate() {
        if number > 0 {
            swap(number);
            server.wait_for(is_reload);
        }
        let stream = Client::trusting(&ca).talk(&url, "localhost").expect("it is served");
        assert_eq!(shown(&stream), issued.der(), "{number}");
    }
}

#[test]
fn sighup_reads_everything_again_and_ends_nothing() {
    let mut rig = Rig::start(drivers()[0], "hangup", &[]);
    rig.server.signal(Signal::HUP);
    rig.server.wait_for(is_reload);
    assert_eq!(rig.shown(), rig.first.der());
    for options in [&["--listen=lines=tcp://127.0.0.1:0"][..], &[LINES, "--tls-self-signed"]] {
        let mut server = Server::serve(drivers()[0], options);
        for generation in 1..3 {
            server.signal(Signal::HUP);
            server.wait_for(|event| event["message"] == "reloaded" && event["generation"] == generation);
        }
        assert!(server.stop().status.success());
    }
}

#[test]
fn a_server_ends_while_it_waits_for_files_to_settle() {
    let rig = Rig::start(drivers()[0], "ends", &[]);
    put(&rig.folder.path("cert.pem"), &rig.ca.server(&["localhost"]).certificate);
    assert!(rig.server.stop().status.success());
}

#[test]
fn a_certificate_for_development_is_made_and_named_by_its_fingerprint() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &[LINES, "--tls-self-signed"]);
        let event = server.wait_for(|event| event["sha256"].is_string());
        assert_eq!(event["level"], "WARN");
        let fingerprint = event["sha256"].as_str().expect("a text").to_owned();
        assert!(server.banner().contains(&fingerprint), "{:#?}", server.banner());
        let (url, provider) = (server.url("lines"), rustls::crypto::aws_lc_rs::default_provider());
        // Nobody trusts it; whoever knows the fingerprint can.
        assert!(Client::trusting(&authority()).talk(&url, "localhost").is_err());
        let pinned = Arc::new(Pinned { fingerprint, algorithms: provider.signature_verification_algorithms });
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_safe_default_protocol_versions();
        let config = config.expect("they are known").dangerous().with_custom_certificate_verifier(pinned);
        let connection =
            ClientConnection::new(Arc::new(config.with_no_client_auth()), "127.0.0.1".try_into().expect("an address"));
        let stream = TcpStream::connect(url.strip_prefix("tls://").expect("TLS")).expect("it listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        ask(&mut StreamOwned::new(connection.expect("settings"), stream)).expect("it is served");
    }
}

/// Trusts one certificate, by its fingerprint, and looks for the address in it.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    algorithms: rustls::crypto::WebPkiSupportedAlgorithms,
}

impl rustls::client::danger::ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        name: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(pairs.join(":"), self.fingerprint);
        let parsed = rustls::server::ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_name(&parsed, name)?;
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[test]
fn options_that_do_not_fit_together_are_answered_with_one_line_and_status_2() {
    let pair = ["--tls-cert=cert.pem", "--tls-key=key.pem"];
    for (options, said) in [
        (&[LINES][..], "tls:// needs a certificate: --tls-cert FILE and --tls-key FILE, or --tls-self-signed"),
        (&[LINES, pair[0]], "--tls-cert cert.pem has no --tls-key"),
        (&[LINES, pair[1]], "--tls-key key.pem has no --tls-cert"),
        (&[LINES, pair[0], pair[1], "--tls-cert=more.pem"], "--tls-cert more.pem has no --tls-key"),
        (&[LINES, pair[0], "--tls-self-signed"], "leave it out"),
        (&[LINES, "--tls-self-signed", "--tls-client-auth=optional"], "add --tls-client-ca FILE"),
        (&[LINES, "--tls-self-signed", "--tls-crl=crl.pem"], "add --tls-client-ca FILE"),
        (&[LINES, "--tls-self-signed", "--tls-min-version=1.1"], "possible values: 1.2, 1.3"),
        (&[LINES, "--tls-self-signed", "--tls-client-auth=perhaps"], "possible values: optional, required"),
        (&["--listen=lines=tcp://127.0.0.1:0", pair[0], pair[1]], "--tls-cert is of no use without a tls:// listener"),
        (&["--tls-self-signed"], "--tls-self-signed is of no use without a tls:// listener"),
        (&["--listen=lines=tls://:0", "--tls-self-signed"], "the host is missing"),
        (&["--listen=lines=tls://127.0.0.1", "--tls-self-signed"], "the port is missing"),
    ] {
        let ended = fails(&[&["serve"][..], options].concat());
        let line = only_line(&ended);
        assert!(line.contains(said), "{options:?}: {line}");
        assert_eq!(ended.status.code(), Some(2), "{options:?}: {line}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_in_one_line_with_status_1() {
    let (folder, ca) = (Folder::new("tls-files"), authority());
    let of = |name: &str| folder.path(name).display().to_string();
    let (issued, other) = (ca.server(&["localhost"]), ca.server(&["localhost"]));
    issued.put(&folder.path(""));
    // A certificate without its issuer is warned of, and that would be another line.
    let chain = issued.certificate.clone() + &ca.pem();
    let files = [("cert.pem", &*chain), ("other.pem", &*other.key), ("empty.pem", ""), ("ca.pem", &*ca.pem())];
    for (name, text) in files {
        put(&folder.path(name), text);
    }
    for name in ["key.pem", "other.pem"] {
        use std::os::unix::fs::PermissionsExt as _;
        // What others can read is warned of, and that would be another line.
        fs::set_permissions(folder.path(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
    }
    for (certificate, key, more, said) in [
        ("nowhere.pem", "key.pem", "", "nowhere.pem: there is no such file"),
        ("cert.pem", "nowhere.pem", "", "nowhere.pem: there is no such file"),
        ("empty.pem", "key.pem", "", "empty.pem: there is no certificate in it"),
        ("cert.pem", "empty.pem", "", "empty.pem: there is no private key in it"),
        ("cert.pem", "other.pem", "", "is not the one of the first certificate"),
        ("cert.pem", "key.pem", "--tls-client-ca=FOLDER/empty.pem", "empty.pem: there is no certificate in it"),
        ("cert.pem", "key.pem", "--tls-client-ca=FOLDER/nowhere.pem", "nowhere.pem: there is no such file"),
        ("cert.pem", "key.pem", "--tls-client-ca=FOLDER/ca.pem --tls-crl=FOLDER/empty.pem", "empty.pem"),
    ] {
        let more = more.replace("FOLDER", &of(""));
        let (certificate, key) = (of(certificate), of(key));
        let mut arguments = vec!["serve", LINES, "--tls-cert", &certificate, "--tls-key", &key];
        arguments.extend(more.split_whitespace());
        let ended = fails(&arguments);
        let line = only_line(&ended);
        assert!(line.contains(said), "{arguments:?}: {line}");
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}: {line}");
    }
}

/// As a client that takes the port of a URL for a part of the name.
#[test]
fn a_handshake_that_fails_is_said_in_the_log_once_a_second_at_the_most() {
    for driver in drivers() {
        let mut rig = Rig::start(driver, "failing", &[]);
        let address = rig.url();
        let address = address.strip_prefix("tls://").expect("a URL of TLS");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(rustls::ALL_VERSIONS);
        let config = config.expect("they are known").with_root_certificates(RootCertStore::empty());
        let name = "localhost-8443".try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config.with_no_client_auth()), name).expect("settings");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("memory takes it");
        let at = hello.windows(14).position(|part| part == b"localhost-8443").expect("SNI") + 9;
        hello[at] = b':';
        #[allow(clippy::disallowed_methods)] // The log may have a line for each second of the test.
        let began = std::time::Instant::now();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(address).expect("it accepts");
            stream.write_all(&hello).expect("it reads");
            // The end, after an alert.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        let most = 2 * (began.elapsed().as_secs() + 2);
        let is_said = |event: &Value| event["message"] == "closing: the filter failed";
        let first = rig.server.wait_for(is_said);
        assert!(first["level"] == "INFO" && first["peer"].is_string() && first["error"].is_string(), "{first}");
        let ended = rig.server.stop();
        let said = ended.stderr.iter().filter_map(|line| serde_json::from_str(line).ok()).filter(is_said).count();
        assert!((1..=most).contains(&(said as u64)) && most < 50, "{said} times: {:#?}", ended.stderr);
    }
}
