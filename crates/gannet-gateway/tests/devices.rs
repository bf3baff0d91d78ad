//! Sessions of devices: Protobuf over plain TCP, and over TLS.

mod rig;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use gannet::Engine;
use gannet_gateway::settings::Settings;
use gannet_proto::centrifuge::{PublishRequest, ReplyBody, Request};
use gannet_testing::certificates::Ca;
use gannet_tls::{Identity, TlsConfig, TlsServer};
use rig::device::Device;
use rig::{Rig, drivers};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

impl Device<StreamOwned<ClientConnection, TcpStream>> {
    fn connect_tls(rig: &Rig, ca: &Ca) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.pem().as_bytes()).expect("a certificate")).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().expect("a name"));
        Self { stream: StreamOwned::new(connection.expect("settings"), rig::tcp(rig.devices)), received: Vec::new() }
    }
}

#[test]
fn a_device_subscribes_and_publishes() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut device = Device::connect(&rig);
        speaks_and_hears(&rig, &mut device);
    }
}

/// A device subscribes and publishes, and so hears itself, as a browser does.
fn speaks_and_hears<S: Read + Write>(rig: &Rig, device: &mut Device<S>) {
    let channel = "demo:a";
    device.subscribe(channel);
    let mut browser = rig.subscribed(channel);
    device.send(3, Request::Publish(PublishRequest { channel: channel.into(), data: b"{\"t\":21}" }));
    device.next(|reply| assert!(matches!(reply.map(|reply| &reply.body), Some(ReplyBody::Publish)), "{reply:?}"));
    assert_eq!(device.publication(), b"{\"t\":21}");
    assert_eq!(browser.push()["pub"]["data"]["t"], 21);
}

#[test]
fn a_device_does_so_over_tls() {
    let ca = Ca::new("an authority for tests");
    let issued = ca.server(&["localhost"]);
    for driver in drivers() {
        let identity = Identity::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes()).expect("an identity");
        let tls = TlsServer::new(TlsConfig::new(identity)).expect("a server");
        let engine = Engine::new().driver(driver).reactors(2);
        let rig = Rig::with_devices_over(engine, 2, Settings::demo(), Some(Arc::new(tls)));
        let mut device = Device::connect_tls(&rig, &ca);
        speaks_and_hears(&rig, &mut device);
        // More than one record, and more than the filter takes at once.
        let large = format!("\"{}\"", "x".repeat(60 << 10));
        for _ in 0..10 {
            rig.publish("demo:a", &large);
        }
        for _ in 0..10 {
            assert_eq!(device.publication(), large.as_bytes());
        }
        rig.running.remote().stop();
        assert_eq!(device.ends(), 3001);
    }
}

#[test]
fn a_device_takes_what_was_published_within_the_delay_in_order() {
    for driver in drivers() {
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.coalesce = Some(std::time::Duration::from_millis(100));
        let rig = Rig::start(driver, settings);
        let mut device = Device::connect(&rig);
        device.subscribe("demo:a");
        for number in 0..5 {
            rig.publish("demo:a", &number.to_string());
        }
        for number in 0..5 {
            assert_eq!(device.publication(), number.to_string().as_bytes());
        }
    }
}

#[test]
fn a_shutdown_tells_devices_3001() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        let mut device = Device::connect(&rig);
        device.subscribe("demo:a");
        rig.running.remote().stop();
        assert_eq!(device.ends(), 3001);
        drop(device);
        rig.running.join().expect("it ends");
    }
}

#[test]
fn a_device_that_breaks_the_protocol_is_told_and_closed() {
    for driver in drivers() {
        let rig = Rig::demo(driver);
        // A length of 4 GiB, a message that is none, and a command before connect.
        for bytes in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[2, 0xff, 0xff], &[0]] {
            let mut device = Device::connect(&rig);
            device.stream.write_all(bytes).expect("it is taken");
            assert_eq!(device.ends(), 3501, "{bytes:?}");
        }
    }
}
