//! What is in a file, by the ending of its name.

/// The media type of a file with this name; `application/octet-stream` where its ending is not known.
pub(super) fn media_type(name: &str) -> &'static str {
    let ending = name.rsplit('/').next().and_then(|file| file.rsplit_once('.')).map_or("", |(_, ending)| ending);
    let known = TYPES.iter().find(|(endings, _)| endings.iter().any(|own| own.eq_ignore_ascii_case(ending)));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

/// Endings and types, as registered with IANA, the frequent ones first. Texts are UTF-8.
const TYPES: &[(&[&str], &str)] = &[
    (&["html", "htm"], "text/html; charset=utf-8"),
    (&["css"], "text/css; charset=utf-8"),
    (&["js", "mjs"], "text/javascript; charset=utf-8"),
    (&["png"], "image/png"),
    (&["svg"], "image/svg+xml"),
    (&["jpg", "jpeg"], "image/jpeg"),
    (&["webp"], "image/webp"),
    (&["avif"], "image/avif"),
    (&["gif"], "image/gif"),
    (&["ico"], "image/x-icon"),
    (&["bmp"], "image/bmp"),
    (&["tif", "tiff"], "image/tiff"),
    (&["json", "map"], "application/json"),
    (&["wasm"], "application/wasm"),
    (&["woff2"], "font/woff2"),
    (&["woff"], "font/woff"),
    (&["ttf"], "font/ttf"),
    (&["otf"], "font/otf"),
    (&["txt", "text", "log"], "text/plain; charset=utf-8"),
    (&["md", "markdown"], "text/markdown; charset=utf-8"),
    (&["csv"], "text/csv; charset=utf-8"),
    (&["ics"], "text/calendar; charset=utf-8"),
    (&["vtt"], "text/vtt; charset=utf-8"),
    (&["xml", "xsl"], "application/xml"),
    (&["atom"], "application/atom+xml"),
    (&["rss"], "application/rss+xml"),
    (&["xhtml"], "application/xhtml+xml"),
    (&["webmanifest"], "application/manifest+json"),
    (&["jsonld"], "application/ld+json"),
    (&["geojson"], "application/geo+json"),
    (&["ndjson", "jsonl"], "application/x-ndjson"),
    (&["yaml", "yml"], "application/yaml"),
    (&["toml"], "application/toml"),
    (&["pdf"], "application/pdf"),
    (&["epub"], "application/epub+zip"),
    (&["zip"], "application/zip"),
    (&["gz", "tgz"], "application/gzip"),
    (&["zst"], "application/zstd"),
    (&["tar"], "application/x-tar"),
    (&["mp4", "m4v"], "video/mp4"),
    (&["webm"], "video/webm"),
    (&["m3u8"], "application/vnd.apple.mpegurl"),
    (&["ts"], "video/mp2t"),
    (&["mp3"], "audio/mpeg"),
    (&["m4a"], "audio/mp4"),
    (&["ogg", "oga", "opus"], "audio/ogg"),
    (&["ogv"], "video/ogg"),
    (&["wav"], "audio/wav"),
    (&["flac"], "audio/flac"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_that_of_the_last_ending_in_whatever_case() {
        for (name, kind) in [
            ("index.html", "text/html; charset=utf-8"),
            ("a.b/c.PNG", "image/png"),
            ("archive.tar.gz", "application/gzip"),
            ("a.html/none", "application/octet-stream"),
            ("html", "application/octet-stream"),
            ("a.", "application/octet-stream"),
            ("a.unheard", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name), kind, "{name}");
        }
        let mut endings: Vec<_> = TYPES.iter().flat_map(|(endings, _)| *endings).collect();
        let all = endings.len();
        endings.sort();
        endings.dedup();
        assert_eq!(endings.len(), all, "no ending is there twice");
    }
}
