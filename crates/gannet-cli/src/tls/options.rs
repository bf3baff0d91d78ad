//! The options of TLS, and what is wrong with them.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gannet_tls::{ClientAuthMode, TlsFiles, TlsVersion};

use crate::failure::{as_given, is_from_environment};

/// What `tls://` listeners are served with.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsOptions {
    /// Certificate chain of tls:// listeners as PEM; may be given many times, each with a --tls-key
    ///
    /// The server sends the chain that has the name the client asks for (SNI), and otherwise the first one. It reads the
    /// files again when they change, and on SIGHUP.
    #[arg(long, value_name = "FILE", env = "GANNET_TLS_CERT")]
    tls_cert: Vec<PathBuf>,

    /// Private key of each --tls-cert as PEM, in the same order; may be the same file
    #[arg(long, value_name = "FILE", env = "GANNET_TLS_KEY")]
    tls_key: Vec<PathBuf>,

    /// Ask clients for a certificate issued by one of these authorities (PEM)
    #[arg(long, value_name = "FILE", env = "GANNET_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,

    /// Whether a client without a certificate is refused, with --tls-client-ca [default: required]
    #[arg(long, value_enum, env = "GANNET_TLS_CLIENT_AUTH")]
    tls_client_auth: Option<ClientAuthName>,

    /// Revocation list for client certificates, as PEM or DER; may be given many times, one for each authority
    #[arg(long, value_name = "FILE", env = "GANNET_TLS_CRL")]
    tls_crl: Vec<PathBuf>,

    /// Oldest version of TLS that is accepted [default: 1.2]
    #[arg(long, value_enum, env = "GANNET_TLS_MIN_VERSION")]
    tls_min_version: Option<VersionName>,

    /// Make a certificate for development, which no client trusts: for localhost, and the hosts of tls:// listeners
    #[arg(long, env = "GANNET_TLS_SELF_SIGNED")]
    tls_self_signed: bool,

    /// Let an expired certificate or revocation list replace a valid one at a reload
    ///
    /// This also allows a certificate that is not valid yet. Without this option, such a file changes nothing at a reload,
    /// and the log says so. At the start, such a file is used in any case.
    #[arg(long, env = "GANNET_TLS_ACCEPT_EXPIRED")]
    tls_accept_expired: bool,
}

/// `--tls-client-auth`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClientAuthName {
    Optional,
    Required,
}

/// `--tls-min-version`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum VersionName {
    #[value(name = "1.2")]
    V1_2,
    #[value(name = "1.3")]
    V1_3,
}

/// The options, where they fit together.
#[derive(Debug)]
pub(super) struct Settings {
    /// All files; none has a certificate where that is made on the spot.
    pub(super) files: TlsFiles,
    pub(super) self_signed: bool,
}

impl TlsOptions {
    /// Checks that they fit together and to the listeners; nothing where there is neither a listener nor an option on the
    /// command line.
    ///
    /// # Errors
    ///
    /// What is wrong, and what to do.
    pub(super) fn settings(&self, has_listener: bool) -> Result<Option<Settings>, String> {
        if !has_listener {
            // The environment may be that of several servers, of which others have such a listener.
            let given = self.given();
            return match given.iter().find(|option| !is_from_environment(option)) {
                None => {
                    let variables = given.iter().map(|option| as_given(option)).collect::<Vec<_>>().join(", ");
                    if !variables.is_empty() {
                        tracing::debug!(variables, "nothing listens on tls://: the TLS settings are not used");
                    }
                    Ok(None)
                }
                Some(option) => Err(format!(
                    "{option} is of no use without a tls:// listener; add one, as --listen http=tls://127.0.0.1:8443"
                )),
            };
        }
        let (mut certificates, mut keys) = (&self.tls_cert, &self.tls_key);
        let is_elsewhere = |option: &str, given: &Vec<PathBuf>| given.is_empty() || is_from_environment(option);
        let own = self.tls_self_signed && !is_from_environment("--tls-self-signed");
        let none = Vec::new();
        if own && is_elsewhere("--tls-cert", certificates) && is_elsewhere("--tls-key", keys) {
            // What is asked for on the command line counts more than the environment.
            (certificates, keys) = (&none, &none);
        }
        if self.tls_self_signed && (!certificates.is_empty() || !keys.is_empty()) {
            return Err("--tls-self-signed makes a certificate of its own; leave it out, or --tls-cert and --tls-key"
                .to_owned());
        }
        if let Some(certificate) = certificates.get(keys.len()) {
            let certificate = certificate.display();
            return Err(format!("--tls-cert {certificate} has no --tls-key; give one for each, in the same order"));
        }
        if let Some(key) = keys.get(certificates.len()) {
            return Err(format!("--tls-key {} has no --tls-cert; give one for each, in the same order", key.display()));
        }
        if certificates.is_empty() && !self.tls_self_signed {
            return Err(
                "tls:// needs a certificate: --tls-cert FILE and --tls-key FILE, or --tls-self-signed to try it"
                    .to_owned(),
            );
        }
        if self.tls_client_ca.is_none() {
            if self.tls_client_auth.is_some() {
                return Err(
                    "--tls-client-auth needs a CA to check clients against; add --tls-client-ca FILE".to_owned()
                );
            }
            if !self.tls_crl.is_empty() {
                return Err("--tls-crl is for client certificates; add --tls-client-ca FILE".to_owned());
            }
        }
        // Application protocols are for each service to say, and at the start a pipe is a file like any other.
        let mut files = TlsFiles::default();
        files.identities = certificates.iter().cloned().zip(keys.iter().cloned()).collect();
        files.client_ca = self.tls_client_ca.clone();
        files.client_auth = match self.tls_client_auth {
            Some(ClientAuthName::Optional) => ClientAuthMode::Optional,
            Some(ClientAuthName::Required) | None => ClientAuthMode::Required,
        };
        files.crls = self.tls_crl.clone();
        files.min_version = match self.tls_min_version {
            Some(VersionName::V1_3) => TlsVersion::V1_3,
            Some(VersionName::V1_2) | None => TlsVersion::V1_2,
        };
        files.accept_expired = self.tls_accept_expired;
        Ok(Some(Settings { files, self_signed: self.tls_self_signed }))
    }

    /// Those that were given.
    fn given(&self) -> Vec<&'static str> {
        let given = [
            ("--tls-cert", !self.tls_cert.is_empty()),
            ("--tls-key", !self.tls_key.is_empty()),
            ("--tls-client-ca", self.tls_client_ca.is_some()),
            ("--tls-client-auth", self.tls_client_auth.is_some()),
            ("--tls-crl", !self.tls_crl.is_empty()),
            ("--tls-min-version", self.tls_min_version.is_some()),
            ("--tls-self-signed", self.tls_self_signed),
            ("--tls-accept-expired", self.tls_accept_expired),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}
