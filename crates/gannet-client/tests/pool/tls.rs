//! Calls over TLS.

use std::sync::Arc;
use std::time::Duration;

use gannet::{Address, Context, Engine, Service};
use gannet_client::{Client, Error, Lines, Pool, Settings};
use gannet_tls::{TlsClientConfig, TlsConfig, TlsServer, self_signed};

struct Echo;

impl Service for Echo {
    type Codec = gannet::proto::Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"through TLS: ", line]);
    }
}

#[test]
fn a_pool_speaks_tls_and_refuses_a_server_that_it_does_not_trust() {
    let certificate = self_signed(&["localhost".into()]).expect("a certificate");
    let (pem, identity) = (certificate.certificate_pem.clone(), certificate.identity);
    let server = TlsServer::new(TlsConfig::new(identity)).expect("a server");
    let engine = Engine::new().reactors(1);
    let engine = engine.listen_filtered("tls://127.0.0.1:0", Arc::new(server), || Echo).expect("a port");
    let running = engine.start().expect("it starts");
    let Some(Address::Tls(at)) = running.addresses().next().cloned() else { panic!("it listens") };

    let url = format!("tls://{at}");
    assert!(matches!(Client::connect(Lines::new(), &url), Err(Error::Endpoint { .. })));
    let trusting = TlsClientConfig::new().ca(pem.as_bytes()).and_then(|config| config.build("localhost"));
    let pool = Pool::builder(Lines::new()).endpoint(&url).through(Arc::new(trusting.expect("a client")));
    let lines = Client::start(pool).expect("it answers");
    assert_eq!(lines.call(&[b"hello"]), Ok(b"through TLS: hello".to_vec()));

    let other = self_signed(&["localhost".into()]).expect("another certificate").certificate_pem;
    let distrusting = TlsClientConfig::new().ca(other.as_bytes()).and_then(|config| config.build("localhost"));
    let mut settings = Settings::default();
    settings.connect = Duration::from_millis(300);
    let pool = Pool::builder(Lines::new()).endpoint(&url).settings(settings);
    let refused = Client::start(pool.through(Arc::new(distrusting.expect("a client"))));
    assert!(matches!(refused, Err(Error::NotReady { .. })), "{refused:?}");
    drop(running);
}
