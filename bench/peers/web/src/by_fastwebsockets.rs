//! fastwebsockets on hyper and tokio's current-thread runtime, as its example of an echo server: a `FragmentCollector`, and
//! the conversation outside of tokio's budget (`unconstrained`).

use std::io;

use fastwebsockets::{FragmentCollector, OpCode, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

pub fn serve(port: u16) -> io::Result<()> {
    Builder::new_current_thread().enable_io().build()?.block_on(async {
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(accept));
                // An error ends the connection, and nothing else.
                let _ = connection.with_upgrades().await;
            });
        }
    })
}

async fn accept(mut request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    tokio::spawn(async move {
        // As above.
        let _ = tokio::task::unconstrained(converse(upgraded)).await;
    });
    Ok(response)
}

async fn converse(upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut conversation = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = conversation.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => conversation.write_frame(frame).await?,
            _ => {}
        }
    }
}
