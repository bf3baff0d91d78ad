//! The options of targets that speak TLS.

use std::path::PathBuf;

use clap::Args;
use gannet_load::run::Kind;
use gannet_tls::{TlsClient, TlsClientConfig};

use super::options::usage;
use super::target::Target;
use crate::failure::Failure;

/// See the module.
#[derive(Args, Clone, Debug)]
pub(super) struct TlsOptions {
    /// CAs to trust instead of the system's, as PEM
    #[arg(long, value_name = "FILE", conflicts_with = "insecure", help_heading = "TLS", hide_short_help = true)]
    tls_ca: Option<PathBuf>,

    /// Accept any certificate: neither its name nor its issuer is checked
    #[arg(long, help_heading = "TLS", hide_short_help = true)]
    insecure: bool,

    /// Name to send (SNI), which the server's certificate has to have [default: the target's host]
    #[arg(long, value_name = "NAME", help_heading = "TLS", hide_short_help = true)]
    tls_server_name: Option<String>,

    /// Make every handshake a full one: resume no earlier session
    #[arg(long, help_heading = "TLS", hide_short_help = true)]
    no_resumption: bool,
}

impl TlsOptions {
    /// The first option that was given, if any was.
    fn given(&self) -> Option<&'static str> {
        let all = [
            ("--tls-ca", self.tls_ca.is_some()),
            ("--insecure", self.insecure),
            ("--tls-server-name", self.tls_server_name.is_some()),
            ("--no-resumption", self.no_resumption),
        ];
        all.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// Whom to trust, where the target speaks TLS.
    ///
    /// # Errors
    ///
    /// It does not, and there are options for it; the file has no certificates; the name is none.
    pub(super) fn client(&self, target: &Target, kind: Kind) -> Result<Option<TlsClient>, Failure> {
        if !target.is_tls() {
            let Some(option) = self.given() else { return Ok(None) };
            return Err(usage(&format!("{option} is for targets that speak TLS, as tls://host:port")));
        }
        let wrong = |error| Failure::Usage(format!("TLS: {error}"));
        let mut config = TlsClientConfig::new();
        if let Some(file) = &self.tls_ca {
            config = config.ca_file(file).map_err(wrong)?;
        }
        if self.insecure {
            config = config.dangerous_accept_any_certificate();
        }
        if self.no_resumption {
            config = config.sessions(0);
        }
        if matches!(kind, Kind::Http | Kind::Ws | Kind::Push) {
            config = config.alpn(["http/1.1"]);
        }
        let name = self.tls_server_name.as_deref().unwrap_or_else(|| target.host_name());
        config.build(name).map(Some).map_err(wrong)
    }
}
