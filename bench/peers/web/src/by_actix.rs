//! actix-web with one worker, as the documentation's first example.

use std::io;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};

/// Longer than any run.
const KEEP_ALIVE: Duration = Duration::from_secs(3_600);

pub fn serve(port: u16) -> io::Result<()> {
    let listener = peer_start::listen_nonblocking(port)?;
    actix_web::rt::System::new().block_on(async move {
        let app = || {
            App::new().route(
                "/",
                web::get().to(|| async { HttpResponse::Ok().content_type("text/plain").body("hello, world\n") }),
            )
        };
        HttpServer::new(app).workers(1).keep_alive(KEEP_ALIVE).disable_signals().listen(listener)?.run().await
    })
}
