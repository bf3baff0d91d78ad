//! TLS subjects, and the certificates that the server and its peers show.

use std::fs;
use std::io::{self, BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::parent_id;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gannet::proto::Raw;
use gannet::{Context, DriverChoice, Refused, Service};
use gannet_http::HttpService;
use gannet_tls::{Identity, TlsConfig, TlsInfo, TlsServer, self_signed};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use crate::engine::{self, Echo};
use crate::http;
use crate::subject::Ready;

/// Whom all certificates are for.
pub const NAME: &str = "localhost";

/// The key of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256.
    Ecdsa,
    /// RSA with 2048 bits.
    Rsa2048,
    /// RSA with 4096 bits.
    Rsa4096,
}

impl Key {
    fn file(self) -> &'static str {
        match self {
            Self::Ecdsa => "p256",
            Self::Rsa2048 => "rsa2048",
            Self::Rsa4096 => "rsa4096",
        }
    }
}

/// A certificate and its private key.
pub struct Pem {
    /// The certificate, signed with its own key.
    pub certificate: String,
    /// PKCS #8.
    pub key: String,
}

/// Certificates for all servers that this process starts: a key of 4096 bits takes long to make. Dropping it removes
/// them.
pub struct Certificates(PathBuf);

impl Certificates {
    /// Makes one of each key.
    pub fn new() -> io::Result<Self> {
        let made = Self(directory(std::process::id()));
        // One that was killed has left them.
        let _ = fs::remove_dir_all(&made.0);
        fs::DirBuilder::new().mode(0o700).create(&made.0)?;
        for key in [Key::Ecdsa, Key::Rsa2048, Key::Rsa4096] {
            let Pem { certificate, key: secret } = make(key)?;
            fs::write(made.0.join(key.file()), certificate)?;
            fs::write(made.0.join(key.file()).with_extension("key"), secret)?;
        }
        Ok(made)
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        // They are of no use to anybody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn directory(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("gannet-bench-certificates-{pid}"))
}

/// The certificate that the process has made which started this one, or a new one.
pub fn pem(key: Key) -> io::Result<Pem> {
    let file = directory(parent_id()).join(key.file());
    match fs::read_to_string(&file) {
        Ok(certificate) => Ok(Pem { certificate, key: fs::read_to_string(file.with_extension("key"))? }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(key),
        Err(error) => Err(error),
    }
}

fn make(key: Key) -> io::Result<Pem> {
    let bits = match key {
        Key::Ecdsa => {
            let made = self_signed(&[NAME.into()]).map_err(io::Error::other)?;
            return Ok(Pem { certificate: made.certificate_pem, key: made.key_pem });
        }
        Key::Rsa2048 => RsaKeySize::_2048,
        Key::Rsa4096 => RsaKeySize::_4096,
    };
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, bits).map_err(io::Error::other)?;
    let params = CertificateParams::new([NAME.into()]).map_err(io::Error::other)?;
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    Ok(Pem { certificate: certificate.pem(), key: key.serialize_pem() })
}

/// The filters of a server with a certificate of this key.
pub fn filters(key: Key) -> io::Result<Arc<TlsServer>> {
    let Pem { certificate, key } = pem(key)?;
    let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).map_err(io::Error::other)?;
    TlsServer::new(TlsConfig::new(identity)).map(Arc::new).map_err(io::Error::other)
}

/// Bytes, answered with the same bytes, by the service that `gannet-poll` and `gannet-uring` have.
pub fn echo(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let running = engine::start_filtered(port, driver, filters(Key::Ecdsa)?, || Echo)?;
    ready.announce(port)?;
    running.join().map_err(io::Error::other)
}

/// `GET /`.
pub fn home(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let routes = http::home_routes()?;
    let running = engine::start_filtered(port, driver, filters(Key::Ecdsa)?, move || HttpService::new(&routes))?;
    ready.announce(port)?;
    running.join().map_err(io::Error::other)
}

/// What a server of [`count`] says of itself, counted from its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Handshakes that were completed.
    pub handshakes: u64,
    /// Those of them that took up an earlier session.
    pub resumed: u64,
    /// Turns of the reactor over 25 ms.
    pub stalls: u64,
}

impl FromStr for Counted {
    type Err = io::Error;

    fn from_str(line: &str) -> io::Result<Self> {
        let numbers: Result<Vec<u64>, _> = line.split_ascii_whitespace().map(str::parse).collect();
        match numbers.map_err(io::Error::other)?[..] {
            [handshakes, resumed, stalls] => Ok(Self { handshakes, resumed, stalls }),
            _ => Err(io::Error::other(format!("not what a server counts: {line:?}"))),
        }
    }
}

#[derive(Default)]
struct Counters {
    handshakes: AtomicU64,
    resumed: AtomicU64,
}

struct Counting(Arc<Counters>);

impl Service for Counting {
    type Codec = Raw;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.0.handshakes.fetch_add(1, Ordering::Relaxed);
        if cx.filter_info::<TlsInfo>().is_some_and(TlsInfo::resumed) {
            self.0.resumed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn message(&mut self, _: &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[bytes]);
    }
}

/// An echo that answers each line on standard input with what it has counted.
pub fn count(port: u16, ready: Ready, driver: DriverChoice, key: Key) -> io::Result<()> {
    let counters = Arc::<Counters>::default();
    let of_service = counters.clone();
    let running = engine::start_filtered(port, driver, filters(key)?, move || Counting(of_service.clone()))?;
    ready.announce(port)?;
    let remote = running.remote();
    for _ in io::stdin().lock().lines() {
        let stalls: u64 = remote.stats().iter().map(|reactor| reactor.stalls).sum();
        let (handshakes, resumed) =
            (counters.handshakes.load(Ordering::Relaxed), counters.resumed.load(Ordering::Relaxed));
        let mut out = io::stdout().lock();
        writeln!(out, "{handshakes} {resumed} {stalls}")?;
        out.flush()?;
    }
    running.join().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_counts_is_three_numbers() {
        let counted: Counted = "12 7 0".parse().expect("three numbers");
        assert_eq!(counted, Counted { handshakes: 12, resumed: 7, stalls: 0 });
        for broken in ["", "1 2", "1 2 3 4", "1 2 x"] {
            assert!(broken.parse::<Counted>().is_err(), "{broken:?}");
        }
    }

    #[test]
    fn certificates_are_readable_by_their_owner_only_and_gone_afterwards() {
        use std::os::unix::fs::PermissionsExt;

        let certificates = Certificates::new().expect("certificates");
        let directory = certificates.0.clone();
        assert_eq!(fs::metadata(&directory).expect("it is there").permissions().mode() & 0o777, 0o700);
        let keys = [Key::Ecdsa, Key::Rsa2048, Key::Rsa4096].map(|key| directory.join(key.file()).with_extension("key"));
        let lengths = keys.map(|key| fs::read_to_string(key).expect("a key").len());
        assert!(lengths.is_sorted() && lengths[0] > 200, "{lengths:?}");
        drop(certificates);
        assert!(!directory.exists());
    }
}
