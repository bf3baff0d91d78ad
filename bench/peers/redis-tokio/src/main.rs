//! Calls a Redis server without end through the multiplexed connection of the crate `redis`: 64 callers, each of whom calls
//! again when it was answered, on a current-thread runtime of tokio.
//!
//! It is driven as the subjects of `gannet-bench` are: it says that it is ready, reads the port of the server from its
//! standard input, and answers each further line with the number of calls that were answered.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis::{Client, RedisError, Value};

/// The allocator that the subjects of Gannet have.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Callers, each of whom calls again when it was answered.
const CALLERS: u64 = 64;

/// A key that the server does not have.
const KEY: &str = "gannet-bench";

fn main() -> io::Result<()> {
    let own_port = std::env::args().nth(1).unwrap_or_default();
    println!("ready {own_port}");
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let url = format!("redis://127.0.0.1:{}/", line.trim());
    let answered = Arc::new(AtomicU64::new(0));
    let counted = answered.clone();
    std::thread::spawn(move || {
        if let Err(error) = call(&url, &counted) {
            eprintln!("peer-redis-tokio: {error}");
            std::process::exit(1);
        }
    });
    for _ in io::stdin().lock().lines() {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", answered.load(Ordering::Relaxed))?;
        out.flush()?;
    }
    Ok(())
}

fn call(url: &str, answered: &Arc<AtomicU64>) -> Result<(), RedisError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let connection = Client::open(url)?.get_multiplexed_async_connection().await?;
        let callers: Vec<_> = (0..CALLERS)
            .map(|_| {
                let (mut connection, answered) = (connection.clone(), answered.clone());
                tokio::spawn(async move {
                    // Built once: the callers of Gannet encode theirs each time.
                    let mut command = redis::cmd("GET");
                    command.arg(KEY);
                    loop {
                        match connection.send_packed_command(&command).await {
                            // One thread adds, without a bus lock.
                            Ok(Value::Nil) => answered.store(answered.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
                            Ok(other) => eprintln!("peer-redis-tokio: {other:?}"),
                            Err(error) => return Err::<(), RedisError>(error),
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.map_err(|error| io::Error::other(error.to_string()))??;
        }
        Ok(())
    })
}
