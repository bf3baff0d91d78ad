//! ntex on its own reactor of tokio, one worker: the bytes that a read brought are handed to the write buffer.

use std::io;

use ntex::codec::BytesCodec;
use ntex::io::Io;
use ntex::service::fn_service;

pub fn serve(port: u16) -> io::Result<()> {
    let listener = peer_start::listen(port)?;
    let system = ntex::rt::System::new("echo", ntex::rt::DefaultRuntime);
    system.block_on(async move {
        let server = ntex::server::build().workers(1).disable_signals();
        let server = server.listen("echo", listener, async move |_| {
            fn_service(async |io: Io| {
                while let Ok(Some(bytes)) = io.recv(&BytesCodec).await {
                    if io.send(bytes, &BytesCodec).await.is_err() {
                        break;
                    }
                }
                Ok::<_, io::Error>(())
            })
        })?;
        server.run().await
    })
}
