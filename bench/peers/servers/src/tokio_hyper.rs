//! hyper on tokio's current-thread runtime, HTTP/1.1.

use std::convert::Infallible;
use std::io;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// The body of the answer to `GET /`, 13 bytes: hyper on tokio and hyper on Gannet have the same one.
pub const BODY: &str = "hello, world\n";

/// Answers whatever is asked for.
pub async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::from(BODY)))
}

/// Has a task of each connection.
pub fn serve(port: u16) -> io::Result<()> {
    crate::tokio_lines::accept(port, |stream| async {
        // A client that leaves is no fault.
        let _ =
            http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service_fn(hello)).await;
    })
}
