//! An authority for tests, and what it issues.

use rcgen::{
    BasicConstraints, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyUsagePurpose, RevokedCertParams, SerialNumber, SignatureAlgorithm,
};
pub use rcgen::{CertificateParams, KeyPair, date_time_ymd};

/// An authority with one key.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, alone.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Ca {
    /// An authority of this name, with a new key.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::with_key(name, &rcgen::PKCS_ECDSA_P256_SHA256)
    }

    /// An authority of this name, with a new key for `algorithm`.
    #[must_use]
    pub fn with_key(name: &str, algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        Self { issuer: CertifiedIssuer::self_signed(of_authority(name), key).expect("a certificate") }
    }

    /// An authority that this one vouches for.
    #[must_use]
    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        Self { issuer: CertifiedIssuer::signed_by(of_authority(name), key, &self.issuer).expect("a certificate") }
    }

    /// Gives its certificate, as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Gives its own key, as PEM.
    #[must_use]
    pub fn key(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a certificate for a server of these names.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Issued {
        self.issue(names, 1, |_| ())
    }

    /// Issues a certificate for a client.
    #[must_use]
    pub fn client(&self, serial: u64) -> Issued {
        self.issue(&["client"], serial, |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    /// Issues a certificate for a server, after `change`.
    #[must_use]
    pub fn issue(&self, names: &[&str], serial: u64, change: impl FnOnce(&mut CertificateParams)) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let mut params = params(names);
        params.serial_number = Some(SerialNumber::from(serial));
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// Issues a certificate for a server with this key.
    #[must_use]
    pub fn certificate(&self, names: &[&str], key: &KeyPair) -> String {
        params(names).signed_by(key, &self.issuer).expect("a certificate").pem()
    }

    /// Gives a list of revoked certificates that is valid until the end of `year`.
    #[must_use]
    pub fn crl(&self, revoked: &[u64], year: i32) -> String {
        let revoked = revoked.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(year, 12, 31),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("as text")
    }
}

fn of_authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// For a server.
fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}
