//! Measures what the verification of a token costs: `cargo run --release -p gannet-gateway --example token_cost`.

use std::time::{Duration, Instant};

use gannet_channels::Time;
use gannet_gateway::Secret;
use gannet_gateway::token::{Issue, Key, Tokens};

/// 2026-11-30.
const NOW: Time = Time(1_796_000_000_000);

#[expect(clippy::disallowed_methods, reason = "time is what is measured")]
fn measure(what: &str, mut work: impl FnMut()) {
    let mut best = Duration::MAX;
    const ROUNDS: u32 = 20_000;
    for _ in 0..10 {
        let begun = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        best = best.min(begun.elapsed() / ROUNDS);
    }
    println!("{what}: {} ns", best.as_nanos());
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = Secret::new("a secret of 32 bytes, as it should");
    let tokens = Tokens::new(vec![Key::secret(&secret)?]);
    let exp = Some(NOW.0 / 1_000 + 3_600);
    let plain = Issue { sub: "user-1234567".to_owned(), exp, ..Issue::default() }.sign(&secret)?;
    let info =
        Some(serde_json::value::RawValue::from_string(r#"{"name":"Ann","avatar":"/a/1234567.png"}"#.to_owned())?);
    let rich = Issue { sub: "user-1234567".to_owned(), exp, info, iat: exp, ..Issue::default() };
    let rich = Issue { channels: vec!["news".to_owned(), "chat:1234567".to_owned()], ..rich }.sign(&secret)?;
    let channel = Some("chat:1234567".to_owned());
    let subscription = Issue { sub: "user-1234567".to_owned(), exp, channel, ..Issue::default() }.sign(&secret)?;
    measure("connection token, HS256", || {
        std::hint::black_box(tokens.connection(std::hint::black_box(&plain), NOW).is_ok());
    });
    measure("connection token, HS256, with info and two channels", || {
        std::hint::black_box(tokens.connection(std::hint::black_box(&rich), NOW).is_ok());
    });
    measure("subscription token, HS256", || {
        std::hint::black_box(tokens.subscription(std::hint::black_box(&subscription), NOW).is_ok());
    });
    Ok(())
}
