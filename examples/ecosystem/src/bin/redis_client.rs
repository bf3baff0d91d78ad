//! The crate redis on Gannet's reactors: each session has a connection to Redis, and sends its lines there as commands.
//!
//! ```sh
//! redis-server &
//! cargo run --release --bin redis_client
//! printf 'set greeting hello\nget greeting\n' | nc 127.0.0.1 7000
//! ```

use gannet::proto::{Lines, Raw};
use gannet::session::{self, Connection, Error, connect, spawn};
use gannet::{Address, Connect};
use gannet_ecosystem::{address, engine};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisConnectionInfo, Value};

async fn answer(mut connection: Connection<Lines>, redis: Connect) -> session::Result {
    let stream = connect(Raw, &redis).await?.into_stream();
    // Its time-outs are tokio's: `session::within` is the one that works here.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let login = RedisConnectionInfo::default();
    let connecting = MultiplexedConnection::new_with_config(&login, stream, config);
    let (mut redis, driver) = connecting.await.map_err(Error::other)?;
    // It reads and writes for all clones of `redis`, and ends with this session.
    spawn(driver);
    while let Some(line) = connection.next().await? {
        let Ok(line) = std::str::from_utf8(&line) else { return connection.send([b"error: not text"]).await };
        let mut words = line.splitn(3, ' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        words.for_each(|word| {
            command.arg(word);
        });
        let answer = match command.query_async(&mut redis).await {
            Ok(Value::Nil) => b"(nothing)".to_vec(),
            Ok(Value::Okay) => b"OK".to_vec(),
            Ok(Value::BulkString(bytes)) => bytes,
            Ok(Value::SimpleString(text)) => text.into_bytes(),
            Ok(Value::Int(number)) => number.to_string().into_bytes(),
            Ok(other) => format!("{other:?}").into_bytes(),
            Err(error) => {
                connection.send([b"error: ", error.to_string().as_bytes()]).await?;
                if error.is_unrecoverable_error() {
                    return Ok(());
                }
                continue;
            }
        };
        connection.send([&answer]).await?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let redis: Address = address(2, "tcp://127.0.0.1:6379").parse()?;
    let redis = Connect::to(redis);
    let session = move |connection| answer(connection, redis.clone());
    engine().sessions(address(1, "tcp://127.0.0.1:7000"), Lines::default, session)?.run()?;
    Ok(())
}
