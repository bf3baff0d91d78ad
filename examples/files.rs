//! Serves the files of a directory, compressed if the client accepts that, with a limit on the requests of each client.
//!
//! `cargo run --release --example files -- docs 127.0.0.1:8080`, then `curl --compressed http://127.0.0.1:8080/README.md`.

use gannet::Engine;
use gannet_http::middleware::{AccessLog, Gzip, RateLimit};
use gannet_http::{Files, HttpService, Router};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let root = arguments.next().unwrap_or_else(|| ".".to_owned());
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let files = Files::new(&root)?.cache_control("max-age=60");
    let routes = Router::new()
        .layer(AccessLog)
        .layer(RateLimit::per_second(500).burst(2_000))
        .layer(Gzip::new())
        .files("/", files)
        .build()?;
    Ok(Engine::new().listen(format!("tcp://{address}"), move || HttpService::new(&routes))?.run()?)
}
