//! Metrics of what decides about clients: tokens, their keys, and the application.

use std::fmt::{self, Write as _};

use super::head;
use crate::application::Application;
use crate::token::Tokens;

/// Writes them in Prometheus's text format.
pub(crate) fn write(out: &mut String, tokens: &Tokens, application: &Application) -> fmt::Result {
    let stats = tokens.stats();
    head(out, "gannet_push_tokens_total", "counter", "Tokens, by what became of them.")?;
    writeln!(out, "gannet_push_tokens_total{{result=\"accepted\"}} {}", stats.accepted)?;
    for (error, count) in stats.refused {
        writeln!(out, "gannet_push_tokens_total{{result=\"{}\"}} {count}", error.name())?;
    }
    if let Some(jwks) = stats.jwks {
        head(out, "gannet_push_jwks_keys", "gauge", "Keys for tokens that were fetched by URL.")?;
        writeln!(out, "gannet_push_jwks_keys {}", jwks.keys)?;
        head(out, "gannet_push_jwks_fetches_total", "counter", "Fetches of these keys, by result.")?;
        for (result, count) in [("fetched", jwks.fetched), ("failed", jwks.failed)] {
            writeln!(out, "gannet_push_jwks_fetches_total{{result=\"{result}\"}} {count}")?;
        }
        head(out, "gannet_push_jwks_skipped_total", "counter", "Fetched keys that cannot verify tokens.")?;
        writeln!(out, "gannet_push_jwks_skipped_total {}", jwks.skipped)?;
    }
    let stats = application.stats();
    head(out, "gannet_push_proxy_running", "gauge", "Requests to the application that are under way.")?;
    writeln!(out, "gannet_push_proxy_running {}", stats.running)?;
    head(out, "gannet_push_proxy_calls_total", "counter", "Events that the application was asked about, by result.")?;
    for (event, result, count) in stats.calls {
        writeln!(out, "gannet_push_proxy_calls_total{{event=\"{event}\",result=\"{}\"}} {count}", result.name())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gannet_channels::Time;

    use super::*;
    use crate::settings::{ApplicationSettings, EventKind};

    #[test]
    fn tokens_and_calls_are_written_by_their_result() {
        let tokens = Tokens::default();
        assert!(tokens.connection("no token", Time(0)).is_err());
        let endpoints = vec![(EventKind::Rpc, "http://127.0.0.1:9/".parse().expect("a URL"))];
        let application = Application::new(ApplicationSettings { endpoints, concurrent: 0, ..Default::default() });
        assert!(application.begin(EventKind::Rpc).is_err());
        let mut text = String::new();
        write(&mut text, &tokens, &application).expect("written");
        for line in [
            "gannet_push_tokens_total{result=\"malformed\"} 1",
            "gannet_push_tokens_total{result=\"accepted\"} 0",
            "gannet_push_proxy_running 0",
            "gannet_push_proxy_calls_total{event=\"rpc\",result=\"full\"} 1",
            "gannet_push_proxy_calls_total{event=\"rpc\",result=\"timeout\"} 0",
        ] {
            assert!(text.lines().any(|own| own == line), "{line} in {text}");
        }
        assert!(!text.contains(r#"event="connect""#) && !text.contains("jwks"), "{text}");
    }
}
