//! What TLS costs a server: handshakes, signatures and records, in memory and on one thread. Times are CPU time of the
//! server's side alone.
//!
//! `cargo run --release -p gannet-tls --example handshake_rate`

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use gannet::{Filter, FilterFactory, FilterOutput};
use gannet_tls::{Identity, TlsConfig, TlsServer};
use rcgen::{CertificateParams, KeyPair, RsaKeySize};
use rustix::time::{ClockId, clock_gettime};
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::unbuffered::ConnectionState;
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let p256 = key(KeyPair::generate()?)?;
    let rsa2048 = key(KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048)?)?;
    let rsa4096 = key(KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_4096)?)?;

    println!("one signature");
    for (name, key, scheme) in [
        ("ECDSA P-256", &p256, SignatureScheme::ECDSA_NISTP256_SHA256),
        ("RSA 2048", &rsa2048, SignatureScheme::RSA_PSS_SHA256),
        ("RSA 4096", &rsa4096, SignatureScheme::RSA_PSS_SHA256),
    ] {
        let private = PrivateKeyDer::try_from(key.private.clone())?;
        let signer = aws_lc_rs::default_provider().key_provider.load_private_key(private)?;
        let signer = signer.choose_scheme(&[scheme]).ok_or("the key cannot sign like this")?;
        let each = median(200, || {
            let begin = now();
            signer.sign(&[7; 130])?;
            Ok(now() - begin)
        })?;
        println!("  {name:12} {:8.1} us", micros(each));
    }

    println!("handshakes of the server, per second of its CPU");
    let tls12 = &rustls::version::TLS12;
    let tls13 = &rustls::version::TLS13;
    for (name, key) in [("ECDSA P-256", &p256), ("RSA 2048", &rsa2048)] {
        for (version, protocol) in [("1.3", tls13), ("1.2", tls12)] {
            for (kind, resumes) in [("full", false), ("resumed", true)] {
                let server = TlsServer::new(TlsConfig::new(key.identity.clone()))?;
                let client = client(key, protocol, resumes, aws_lc_rs::default_provider())?;
                handshake(&server, &client)?;
                let shake = median(300, || Ok(handshake(&server, &client)?.busy))?;
                let sent = handshake(&server, &client)?.sent;
                println!(
                    "  {name:12} TLS {version} {kind:8} {:8.0}/s {:8.1} us, {sent} bytes sent",
                    1e6 / micros(shake),
                    micros(shake)
                );
            }
        }
    }
    let mut hybrid = aws_lc_rs::default_provider();
    hybrid.kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    let server = TlsServer::new(TlsConfig::new(p256.identity.clone()))?;
    let client = client(&p256, tls13, false, hybrid)?;
    let shake = median(300, || Ok(handshake(&server, &client)?.busy))?;
    println!("  ECDSA P-256  TLS 1.3 full, X25519MLKEM768 {:8.0}/s {:8.1} us", 1e6 / micros(shake), micros(shake));

    println!("tickets, in bytes the server sends in a handshake");
    for tickets in [0, 1, 2] {
        let server = TlsServer::new(TlsConfig::new(p256.identity.clone()).tickets(tickets))?;
        println!("  {tickets} {:6}", handshake(&server, &client)?.sent);
    }

    println!("records");
    for (version, protocol) in [("1.3", tls13), ("1.2", tls12)] {
        let client = self::client(&p256, protocol, false, aws_lc_rs::default_provider())?;
        for size in [100, 1024, 16 * 1024] {
            let mut shake = handshake(&server, &client)?;
            let (plain, mut wire, mut out) = (vec![7; size], Vec::new(), Vec::new());
            let mut encrypt = Duration::MAX;
            let mut decrypt = Duration::MAX;
            for _ in 0..30 {
                let begin = now();
                for _ in 0..100 {
                    wire.clear();
                    shake.server.send(&plain, &mut wire)?;
                }
                encrypt = encrypt.min(now() - begin);
                let mut records: Vec<Vec<u8>> = (0..100).map(|_| shake.encrypted(&plain)).collect::<Result<_>>()?;
                let begin = now();
                for record in &mut records {
                    out.clear();
                    shake.server.receive(record, &mut FilterOutput::new(&mut out, &mut wire))?;
                }
                decrypt = decrypt.min(now() - begin);
            }
            let rate = |time: Duration| {
                let each = micros(time) / 100.0;
                format!("{each:6.2} us {:9.0}/s {:6.0} MB/s", 1e6 / each, size as f64 / each)
            };
            println!("  TLS {version} {size:6} bytes  encrypt {}  decrypt {}", rate(encrypt), rate(decrypt));
        }
    }
    Ok(())
}

struct Key {
    identity: Identity,
    certificate: CertificateDer<'static>,
    private: Vec<u8>,
}

fn key(key: KeyPair) -> Result<Key> {
    let certificate = CertificateParams::new(["localhost".to_owned()])?.self_signed(&key)?;
    let identity = Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes())?;
    Ok(Key { identity, certificate: certificate.der().clone(), private: key.serialize_der() })
}

fn client(
    key: &Key,
    version: &'static SupportedProtocolVersion,
    resumes: bool,
    provider: CryptoProvider,
) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(key.certificate.clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}

/// Both ends of a connection, and what the server's end has cost.
struct Shaken {
    server: Box<dyn Filter>,
    client: UnbufferedClientConnection,
    busy: Duration,
    sent: usize,
}

fn handshake(server: &TlsServer, client: &Arc<ClientConfig>) -> Result<Shaken> {
    let name = ServerName::try_from("localhost")?;
    let mut client = UnbufferedClientConnection::new(client.clone(), name)?;
    let begin = now();
    let mut server = server.filter()?;
    let mut busy = now() - begin;
    let (mut up, mut down, mut plain, mut sent) = (Vec::new(), Vec::new(), Vec::new(), 0);
    loop {
        up.clear();
        let waits = drive(&mut client, &mut down, &mut up)?;
        if up.is_empty() && waits {
            return Ok(Shaken { server, client, busy, sent });
        }
        let begin = now();
        let taken = server.receive(&mut up, &mut FilterOutput::new(&mut plain, &mut down))?;
        busy += now() - begin;
        assert_eq!(taken.consumed, up.len(), "whole records were shown");
        sent += down.len();
    }
}

/// True once the client has nothing left to do.
fn drive(client: &mut UnbufferedClientConnection, received: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<bool> {
    loop {
        let status = client.process_tls_records(received);
        let discard = status.discard;
        let mut waits = false;
        match status.state? {
            ConnectionState::EncodeTlsData(mut data) => {
                let begin = wire.len();
                wire.resize(begin + 20_000, 0);
                let length = data.encode(&mut wire[begin..])?;
                wire.truncate(begin + length);
            }
            ConnectionState::TransmitTlsData(data) => data.done(),
            _ => waits = true,
        }
        received.drain(..discard);
        if waits {
            return Ok(true);
        }
    }
}

impl Shaken {
    fn encrypted(&mut self, plain: &[u8]) -> Result<Vec<u8>> {
        let mut record = vec![0; plain.len() + 100];
        match self.client.process_tls_records(&mut []).state? {
            ConnectionState::WriteTraffic(mut traffic) => {
                let length = traffic.encrypt(plain, &mut record)?;
                record.truncate(length);
                Ok(record)
            }
            other => Err(format!("{other:?}").into()),
        }
    }
}

/// The median of so many.
fn median(times: usize, mut once: impl FnMut() -> Result<Duration>) -> Result<Duration> {
    let mut all = (0..times).map(|_| once()).collect::<Result<Vec<_>>>()?;
    all.sort();
    Ok(all[times / 2])
}

/// CPU time of this thread.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
