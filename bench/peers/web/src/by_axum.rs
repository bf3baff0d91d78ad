//! axum on tokio's current-thread runtime: `axum::serve` with one route, as the documentation's first example.

use std::io;

use axum::Router;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub fn serve(port: u16) -> io::Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let routes = Router::new().route("/", get(|| async { "hello, world\n" }));
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        // As the documentation of `ListenerExt::tap_io` has it for TCP_NODELAY.
        let listener = listener.tap_io(|stream| _ = stream.set_nodelay(true));
        axum::serve(listener, routes).await
    })
}
