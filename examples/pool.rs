//! A pool of connections to Redis, called from the sessions of a service: it answers each line with what Redis has under
//! that key.
//!
//! ```sh
//! redis-server &
//! cargo run --release -p gannet-client --example pool -- tcp://127.0.0.1:6379
//! nc 127.0.0.1 7000
//! ```

use gannet::proto::Lines;
use gannet::{Context, Engine, Notice, Service};
use gannet_client::{Answered, OwnedValue, Pool, Redis};

struct Lookup {
    redis: Pool<Redis>,
}

impl Service for Lookup {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), key: &[u8], cx: &mut Context<'_, Self>) {
        if let Err(error) = self.redis.call_from(cx, &[b"GET", key], 0) {
            cx.send(&[error.to_string().as_bytes()]);
        }
    }
}

impl Notice<Answered<Redis>> for Lookup {
    fn notice(&mut self, (): &mut (), answered: Answered<Redis>, cx: &mut Context<'_, Self>) {
        match answered.take(cx).map(|answer| answer.result) {
            Some(Ok(OwnedValue::Bulk(value))) => cx.send(&[&value]),
            Some(Ok(other)) => cx.send(&[format!("{other:?}").as_bytes()]),
            Some(Err(error)) => cx.send(&[error.to_string().as_bytes()]),
            None => return,
        };
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or_else(|| "tcp://127.0.0.1:6379".to_owned());
    let mut engine = Engine::new();
    let redis = Pool::builder(Redis::new()).endpoint(url).attach(&mut engine)?;
    Ok(engine.listen("tcp://127.0.0.1:7000", move || Lookup { redis: redis.clone() })?.run()?)
}
