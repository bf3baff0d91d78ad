//! The page that says what runs.

use std::fmt;

use gannet_http::Cx;

use super::site::{Place, Site};

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>gannet</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
td { padding: 0 1.5rem 0 0 }
</style>
";

/// Writes the page.
pub(super) fn write(cx: &mut Cx<'_>, site: &Site) {
    cx.header("Content-Type", "text/html; charset=utf-8");
    cx.text(HEAD);
    writeln!(cx, "<h1>gannet {}</h1>", env!("CARGO_PKG_VERSION"));
    if let Some(what) = site.what() {
        writeln!(cx, "<p>{} reactors on {} ({})</p>\n<table>", what.reactors, what.driver, Escaped(&what.why));
        for Place { service, address, command } in &what.listeners {
            let (address, command) = (Escaped(address), Escaped(command));
            writeln!(cx, "<tr><td>{service}<td>{address}<td><code>{command}</code>");
        }
        cx.text("</table>\n");
    }
    cx.text("<ul>\n");
    for (path, about) in [
        ("/hello/you", "a greeting by name"),
        ("/ws/echo", "an echo by WebSocket"),
        ("/healthz", "whether it lives"),
        ("/readyz", "whether it takes new clients; 503 when it shuts down"),
        ("/metrics", "its counters, for Prometheus"),
    ] {
        writeln!(cx, "<li><a href=\"{path}\">{path}</a>: {about}");
    }
    cx.text("</ul>\n");
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
