//! A sequential session that uses a pool of connections to Redis: it reads balances, and moves one coin from an account to
//! another in a transaction, on a connection that it has alone meanwhile.
//!
//! ```sh
//! redis-server &
//! cargo run --release -p gannet-client --example transfer -- tcp://127.0.0.1:6379
//! nc 127.0.0.1 7000
//! ```
//!
//! A line is one account, or two. See pool.rs for callbacks in place of sessions.

use std::time::Duration;

use gannet::session::{self, Connection, within};
use gannet::{Engine, proto::Lines};
use gannet_client::{CallError, OwnedValue, Pool, Redis};

async fn balance(redis: &Pool<Redis>, account: &[u8]) -> Result<String, CallError> {
    let reply = redis.call(&[b"GET", account]).await?;
    Ok(String::from_utf8_lossy(reply.as_bytes().unwrap_or(b"0")).into_owned())
}

async fn transfer(redis: &Pool<Redis>, from: &[u8], to: &[u8]) -> Result<String, CallError> {
    let lease = redis.lease("transfer").await?;
    // All requests leave together; the last reply is the outcome.
    let queued = [lease.call(&[b"MULTI"]), lease.call(&[b"DECR", from]), lease.call(&[b"INCR", to])];
    let outcome = lease.call(&[b"EXEC"]).await?;
    drop(queued);
    Ok(match outcome {
        OwnedValue::Array(_) => "moved".to_owned(),
        other => format!("not moved: {other:?}"),
    })
}

async fn teller(redis: Pool<Redis>, mut connection: Connection<Lines>) -> session::Result {
    while let Some(line) = connection.next().await? {
        let mut accounts = line.split(|byte| *byte == b' ');
        let work = async {
            match (accounts.next(), accounts.next()) {
                (Some(from), Some(to)) => transfer(&redis, from, to).await,
                _ => balance(&redis, &line).await,
            }
        };
        // Giving up is safe at any point: nobody else gets the reply.
        let answer = match within(Duration::from_secs(1), work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "Redis is slow; try again".to_owned(),
        };
        connection.send([answer.as_bytes()]).await?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:6379".to_owned());
    let mut engine = Engine::new();
    let redis = Pool::builder(Redis::new()).endpoint(url).attach(&mut engine)?;
    let serve = move |connection| teller(redis.clone(), connection);
    Ok(engine.sessions("tcp://127.0.0.1:7000", Lines::default, serve)?.run()?)
}
