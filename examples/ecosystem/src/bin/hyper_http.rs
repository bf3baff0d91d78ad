//! hyper on Gannet's reactors: HTTP/1.1, HTTP/2, and HTTP/1.1 through TLS, each at an address of its own.
//!
//! ```sh
//! cargo run --release --bin hyper_http
//! curl http://127.0.0.1:8080
//! curl --http2-prior-knowledge -d hello http://127.0.0.1:8081/echo
//! curl --insecure https://127.0.0.1:8443
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use gannet::proto::Raw;
use gannet::session::hyper::{Executor, Timer};
use gannet::session::{self, Connection, Either, draining, first, sleep};
use gannet_ecosystem::{address, engine, tls};
use http_body_util::{BodyExt, Either as Body, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};

/// Greets; sends a body back as it comes; answers after a while.
async fn answer(request: Request<Incoming>) -> Result<Response<Body<Full<Bytes>, Incoming>>, Infallible> {
    let text = |text: &'static str| Response::new(Body::Left(Full::from(text)));
    Ok(match request.uri().path() {
        "/" => text("hello, world\n"),
        "/echo" => Response::new(Body::Right(request.into_body())),
        "/count" => match request.into_body().collect().await {
            Ok(body) => Response::new(Body::Left(Full::from(format!("{} bytes\n", body.to_bytes().len())))),
            Err(_) => text("the body ended early\n"),
        },
        "/late" => {
            sleep(Duration::from_millis(100)).await;
            text("late\n")
        }
        _ => {
            let mut response = text("not here\n");
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    })
}

/// Serves a connection; when the engine drains, lets hyper finish what was asked for.
async fn serve<S>(serving: S, end: impl FnOnce(Pin<&mut S>)) -> session::Result
where
    S: Future<Output = hyper::Result<()>>,
{
    let mut serving = pin!(serving);
    let served = match first(serving.as_mut(), draining()).await {
        Either::Left(served) => served,
        Either::Right(()) => {
            end(serving.as_mut());
            serving.await
        }
    };
    served.map_err(session::Error::other)
}

async fn http1(connection: Connection<Raw>) -> session::Result {
    let serving = http1::Builder::new().timer(Timer).serve_connection(connection.into_stream(), service_fn(answer));
    serve(serving, |serving| serving.graceful_shutdown()).await
}

async fn http2(connection: Connection<Raw>) -> session::Result {
    let builder = http2::Builder::new(Executor);
    let serving = { builder }.timer(Timer).serve_connection(connection.into_stream(), service_fn(answer));
    serve(serving, |serving| serving.graceful_shutdown()).await
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    engine()
        .sessions(address(1, "tcp://127.0.0.1:8080"), || Raw, http1)?
        .sessions(address(2, "tcp://127.0.0.1:8081"), || Raw, http2)?
        .sessions_filtered(address(3, "tls://127.0.0.1:8443"), tls()?, || Raw, http1)?
        .run()?;
    Ok(())
}
