//! The page that says what runs.

use std::fmt;

use gannet_http::Cx;

use super::site::{Place, Site};

/// The looks of the page, which is one file: nothing is fetched from anywhere.
const STYLE: &str = include_str!("page.css");

/// What makes its demonstrations go.
const SCRIPT: &str = include_str!("page.js");

/// What a browser may do for this page: run this script and this style, which are named by their SHA-256, and talk to
/// this server; nothing else (Content Security Policy Level 3 §2.3.1). What would get into the page stays text.
const POLICY: &str = "default-src 'none'; \
    script-src 'sha256-vGsmyGLhA8hS1rXEpoycBLs+ulMgBeftFECCPIogn/k='; \
    style-src 'sha256-wb0aO2OJBR/jZ/1OXKunl+vDNBNA1sNeFx3jpe5HMKM='; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The paths of this service, and what they are.
const PATHS: [(&str, &str); 6] = [
    ("/hello/you", "a greeting by name"),
    ("/ws/echo", "a WebSocket that sends back what comes"),
    ("/sse/clock", "the time of day as events, every second"),
    ("/healthz", "whether it lives"),
    ("/readyz", "whether it takes new clients; 503 when it shuts down"),
    ("/metrics", "its counters and times, for Prometheus"),
];

/// The demonstrations. Who tests them finds what they show by its `id`.
const DEMOS: &str = "<h2>Try it here</h2>
<div class=\"demos\">
<section><h3>WebSocket</h3>
<p class=\"faint\"><code>/ws/echo</code> <span id=\"ws-state\"></span></p>
<form id=\"ws-form\"><input id=\"ws-text\" value=\"hello\" aria-label=\"what to send\" autocomplete=\"off\">\
<button>Send</button></form>
<output id=\"ws-echo\" for=\"ws-text\"></output></section>
<section><h3>Server-sent events</h3>
<p class=\"faint\"><code>/sse/clock</code> <span id=\"sse-state\">connecting</span></p>
<time id=\"sse-clock\"></time></section>
</div>
<noscript><p>The demonstrations need JavaScript.</p></noscript>
";

/// Writes the page.
pub(super) fn write(cx: &mut Cx<'_>, site: &Site) {
    cx.header("Content-Type", "text/html; charset=utf-8");
    cx.header("Content-Security-Policy", POLICY);
    cx.header("Referrer-Policy", "no-referrer");
    cx.header("X-Content-Type-Options", "nosniff");
    cx.text("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    cx.text("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    cx.text("<title>gannet</title>\n<link rel=\"icon\" href=\"data:,\">\n");
    writeln!(cx, "<style>{STYLE}</style>");
    writeln!(cx, "<h1>gannet {}</h1>", env!("CARGO_PKG_VERSION"));
    if let Some(what) = site.what() {
        writeln!(cx, "<p class=\"faint\">{} reactors on {} ({})</p>", what.reactors, what.driver, Escaped(&what.why));
        cx.text("<h2>Listens</h2>\n<div class=\"wide\"><table>\n<tr><th>service<th>address<th>try\n");
        for Place { service, address, command, .. } in what.listeners.iter().flatten().filter(|place| place.is_open) {
            let (address, command) = (Escaped(address), Escaped(command));
            writeln!(cx, "<tr><td>{service}<td>{address}<td><code>{command}</code>");
        }
        cx.text("</table></div>\n");
    }
    cx.text(DEMOS);
    cx.text("<h2>Paths</h2>\n<ul>\n");
    for (path, about) in PATHS {
        writeln!(cx, "<li><a href=\"{path}\">{path}</a>: {about}");
    }
    writeln!(cx, "</ul>\n<script>{SCRIPT}</script>");
}

/// A text as HTML has it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => fmt::Write::write_char(f, other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_markup_is_text() {
        assert_eq!(Escaped(r#"<a href="x">&'"#).to_string(), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }
}
