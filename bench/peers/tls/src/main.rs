//! An echo server by tokio-rustls, which `gannet-bench` measures TLS in the engine beside: `peer-tls tokio-rustls PORT`.
//!
//! tokio's current-thread runtime with a task for each connection, and in it what the server of tokio-rustls's examples has:
//! `accept`, `split`, `copy`, `flush`. Sessions are taken up by tickets with rustls's own `Ticketer`, as its documentation
//! advises ("with_single_cert" alone has tickets that only its memory knows).

#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::io::{AsyncWriteExt, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::Ticketer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn main() -> ExitCode {
    peer_start::serve("peer-tls", &[("tokio-rustls", serve)])
}

fn serve(port: u16) -> io::Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(config()?));
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            spawn_local(async move {
                // An error ends the connection, and nothing else.
                let _ = echo(acceptor, stream).await;
            });
        }
    })
}

async fn echo(acceptor: TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let (mut reader, mut writer) = split(acceptor.accept(stream).await?);
    copy(&mut reader, &mut writer).await?;
    writer.flush().await
}

fn config() -> io::Result<ServerConfig> {
    let certificates = CertificateDer::pem_file_iter(file("GANNET_BENCH_CERTIFICATE")?).map_err(io::Error::other)?;
    let certificates = certificates.collect::<Result<_, _>>().map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(file("GANNET_BENCH_KEY")?).map_err(io::Error::other)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key);
    let mut config = config.map_err(io::Error::other)?;
    config.ticketer = Ticketer::new().map_err(io::Error::other)?;
    Ok(config)
}

/// A file that the parent has written and named.
fn file(name: &str) -> io::Result<OsString> {
    std::env::var_os(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{name} names no file")))
}
