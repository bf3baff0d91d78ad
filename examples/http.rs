//! An HTTP server: a page, a greeting by name, and an echo that asks for a token.
//!
//! `cargo run --release --example http`, then `curl http://127.0.0.1:8080/hello/you`.

use gannet::Engine;
use gannet_http::middleware::{Bearer, Recover};
use gannet_http::{HttpService, Router};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let routes = Router::new()
        .layer(Recover)
        .get("/", |cx| cx.text("it flies\n"))
        .get("/hello/{name}", |cx| {
            let name = cx.param("name");
            writeln!(cx, "hello {name}");
        })
        .group("/admin", |admin| admin.layer(Bearer::new("secret")).post("/echo", |cx| cx.bytes(cx.request_body())))
        .build()?;
    Ok(Engine::new().listen("tcp://127.0.0.1:8080", move || HttpService::new(&routes))?.run()?)
}
