//! `redis`: an in-memory store that speaks the Redis protocol.

use gannet::Address;
use gannet_redis::Redis;

use super::{ServiceKind, listen, quoted, reachable_host};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "redis",
    about: "a store for Redis clients, in memory only (tcp, tls, unix)",
    defaults: &["tcp://127.0.0.1:6380"],
    streams: Some(|to, at, settings| {
        let (server, number, largest) = (settings.redis.clone(), settings.redis.add_listener(), settings.max_value);
        listen(to, at, settings, Protocol::Unnamed, move || Redis::new(server.clone()).at(number).max_word(largest))
    }),
    datagrams: None,
    try_it: redis_cli,
    answer: "PONG",
};

fn redis_cli(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("redis-cli -h {} -p {} ping", reachable_host(*address), address.port()),
        Address::Tls(address) => {
            format!("redis-cli --tls --insecure -h {} -p {} ping", reachable_host(*address), address.port())
        }
        Address::Unix(path) => format!("redis-cli -s {} ping", quoted(&path.to_string_lossy())),
        _ => "redis-cli ping".to_owned(),
    }
}
