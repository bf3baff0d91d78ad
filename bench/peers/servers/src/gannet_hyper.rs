//! hyper's HTTP/1.1 server on one of Gannet's reactors: it answers `GET /` with 13 bytes.

use std::io;

use gannet::proto::Raw;
use gannet::session::{self, Connection};
use gannet::{DriverChoice, Engine, Error};
use hyper::server::conn::http1;
use hyper::service::service_fn;

use crate::tokio_hyper::hello;

async fn answer(connection: Connection<Raw>) -> session::Result {
    let stream = connection.into_stream();
    // A client that leaves is no fault.
    let _ = http1::Builder::new().pipeline_flush(true).serve_connection(stream, service_fn(hello)).await;
    Ok(())
}

/// Has a session of each connection.
pub fn serve(port: u16, driver: DriverChoice) -> io::Result<()> {
    let engine = Engine::new().reactors(1).driver(driver);
    let engine = engine.sessions(format!("tcp://127.0.0.1:{port}"), || Raw, answer).map_err(io::Error::other)?;
    let running = engine.start().map_err(|error| match error {
        Error::Listen { error, .. } => error,
        error => io::Error::other(error),
    })?;
    peer_start::announce(port)?;
    running.join().map_err(io::Error::other)
}
