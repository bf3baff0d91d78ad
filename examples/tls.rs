//! Lines over TLS, with a certificate from files or one for development:
//!
//! ```sh
//! cargo run --example tls --features gannet-tls/self-signed
//! openssl s_client -quiet -connect 127.0.0.1:7443
//! cargo run --example tls --features gannet-tls/self-signed -- chain.pem key.pem
//! ```

use std::sync::Arc;

use gannet::proto::Lines;
use gannet::{Context, Engine, Service};
use gannet_tls::{TlsConfig, TlsFiles, TlsInfo, TlsServer, self_signed};

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let cipher = cx.filter_info::<TlsInfo>().map_or("nothing", TlsInfo::cipher_suite);
        cx.send(&[b"echo through ", cipher.as_bytes(), b": ", line]);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files: Vec<String> = std::env::args().skip(1).collect();
    let server = match &files[..] {
        [chain, key] => TlsServer::from_files(&TlsFiles::new(chain, key))?,
        _ => TlsServer::new(TlsConfig::new(self_signed(&["localhost".into(), "127.0.0.1".into()])?.identity))?,
    };
    // A clone of `server` on any thread renews the certificate: `reload_files`.
    Ok(Engine::new().listen_filtered("tls://127.0.0.1:7443", Arc::new(server), || Echo)?.run()?)
}
