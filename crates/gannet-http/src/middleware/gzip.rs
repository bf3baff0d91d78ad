//! Compresses responses.

use std::cell::RefCell;

use flate2::{Compress, Compression, FlushCompress, Status};
use gannet::proto::http::HeaderLines;

use super::accept_encoding::{Wanted, wanted};
use crate::cx::Cx;
use crate::draft::Draft;
use crate::layer::Layer;

/// What gzip and the field for it cost a response, and what it then still has to save, is not had below this, in bytes.
const SMALLEST: usize = 1 << 10;

/// At the level that is the default, 1.5 ms of the reactor's time, in bytes.
const LARGEST: usize = 256 << 10;

/// Nobody may hold up a reactor for longer than this takes, in bytes.
const MOST: usize = 1 << 20;

/// Memory over this is given back after the response that needed it, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// Most of what there is to gain, at a third of the time of level 6.
const LEVEL: u32 = 2;

/// Compresses responses with gzip (RFC 9110 §8.4.1.3), if the client accepts it (§12.5.3) and they get smaller.
///
/// | a response is not compressed | because |
/// |---|---|
/// | if its type is not text, JSON, XML, script, WebAssembly or the like | it is probably compressed already |
/// | under 1 KiB ([`smallest`](Self::smallest)) | there is little to gain; it is, if the client says `identity;q=0` |
/// | over 256 KiB ([`largest`](Self::largest)) | compressing would hold up the reactor |
/// | with a `Content-Encoding`, or `Cache-Control: no-transform` | the handler asked for that |
/// | with status 206 | its range counts uncompressed bytes |
/// | if it is streamed | its body is never complete in memory |
///
/// A strong `ETag` becomes a weak one, because the bytes differ, and `Accept-Ranges` is removed; a 304 names the tag that the
/// client has. `Vary: Accept-Encoding` is added to every response that another client might get compressed, and to 206 and
/// 304. `HEAD` has the same header fields as `GET`.
///
/// Compression runs on the reactor's thread. At level 2, the default, 1 MiB of text takes 6 ms and shrinks to 30 %; at level
/// 1 it takes 3 ms (40 %), at level 6 it takes 15 ms (27 %). Each reactor has one compressor for all connections, which takes
/// about 300 KiB from its first use on.
///
/// If a page contains both a secret and text that an attacker can choose, its compressed length reveals something about the
/// secret (BREACH): exclude such pages.
///
/// Needs the feature `gzip`, which is on by default.
#[derive(Clone, Debug)]
pub struct Gzip {
    level: u32,
    smallest: usize,
    largest: usize,
}

impl Gzip {
    /// Makes the layer with the default level and sizes.
    #[must_use]
    pub const fn new() -> Self {
        Self { level: LEVEL, smallest: SMALLEST, largest: LARGEST }
    }

    /// Sets the level, from 1 (fast) to 9 (small); the default is 2.
    ///
    /// Use one level in a service: a reactor makes its compressor anew each time the level changes.
    #[must_use]
    pub const fn level(mut self, level: u32) -> Self {
        self.level = if level < 1 {
            1
        } else if level > 9 {
            9
        } else {
            level
        };
        self
    }

    /// Sets the size of the smallest body that is compressed, in bytes (default 1 KiB).
    #[must_use]
    pub const fn smallest(mut self, bytes: usize) -> Self {
        self.smallest = bytes;
        self
    }

    /// Sets the size of the largest body that is compressed, in bytes (default 256 KiB, at most 1 MiB).
    #[must_use]
    pub const fn largest(mut self, bytes: usize) -> Self {
        self.largest = if bytes < MOST { bytes } else { MOST };
        self
    }

    /// Compresses a response where it can be, and says of what it depends.
    fn finish(&self, draft: &mut Draft, asked: Asked) {
        match draft.status {
            304 => {
                vary(&mut draft.headers);
                // It has to name what the client has, or no cache could tell what is fresh (RFC 9111 §4.3.4).
                if asked.has_weak_tag {
                    weaken_tag(&mut draft.headers);
                }
                return;
            }
            // It says of its bytes what 200 would say (RFC 9110 §15.3.7).
            206 if may_compress(draft) => return vary(&mut draft.headers),
            ..200 | 204..=206 => return,
            _ if draft.next.is_some() || draft.body.is_empty() || !may_compress(draft) => return,
            _ => vary(&mut draft.headers),
        }
        let smallest = match asked.wanted {
            Wanted::Plain => return,
            Wanted::Gzip => self.smallest,
            Wanted::OnlyGzip => 0,
        };
        if draft.body.len() < smallest || draft.body.len() > self.largest {
            return;
        }
        draft.work += PACKED_WORK * draft.body.len();
        if !pack(self.level, &mut draft.body) {
            return;
        }
        // Its name and value are fine.
        let _ = draft.headers.set("Content-Encoding", b"gzip");
        draft.headers.remove("Accept-Ranges");
        weaken_tag(&mut draft.headers);
    }
}

/// What a request says of this.
#[derive(Clone, Copy, Debug)]
struct Asked {
    wanted: Wanted,
    /// Whether it names a weak tag as one that the client has: of something that was compressed, it may be.
    has_weak_tag: bool,
}

impl Default for Gzip {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for Gzip {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        let request = cx.request();
        let asked = Asked {
            wanted: wanted(request.header_all("accept-encoding")),
            has_weak_tag: request.header_all("if-none-match").any(|tags| tags.windows(3).any(|three| three == b"W/\"")),
        };
        let gzip = self.clone();
        cx.finally(move |reply| gzip.finish(reply.draft, asked));
    }
}

/// Whether the body of a response may be changed, and is of a kind that gains by it.
fn may_compress(draft: &Draft) -> bool {
    let field = |name| draft.headers.get(name);
    draft.fault.is_none()
        && field("content-encoding").is_none()
        && field("content-type").is_none_or(is_compressible)
        && !draft.headers.get_all("cache-control").any(|value| has(value, b"no-transform"))
}

/// Makes a tag say that the same thing may come in other bytes (RFC 9110 §8.8.1).
fn weaken_tag(headers: &mut HeaderLines) {
    if let Some(tag) = headers.get("etag").filter(|tag| !tag.starts_with(b"W/")) {
        let weak = [b"W/", tag].concat();
        // The tag could be sent before.
        let _ = headers.set("ETag", &weak);
    }
}

/// Whether something of this type is worth compressing. Streams of events never come to an end, and are not.
fn is_compressible(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &str| essence.eq_ignore_ascii_case(name.as_bytes());
    let starts = |name: &str| essence.get(..name.len()).is_some_and(|own| own.eq_ignore_ascii_case(name.as_bytes()));
    let ends = |name: &str| {
        essence.len().checked_sub(name.len()).is_some_and(|at| essence[at..].eq_ignore_ascii_case(name.as_bytes()))
    };
    (starts("text/") && !is("text/event-stream"))
        || ends("+json")
        || ends("+xml")
        || COMPRESSIBLE.iter().any(|own| is(own))
}

/// What is worth compressing beside texts and what is made of JSON or XML.
const COMPRESSIBLE: [&str; 16] = [
    "application/json",
    "application/javascript",
    "application/x-javascript",
    "application/xml",
    "application/wasm",
    "application/x-ndjson",
    "application/yaml",
    "application/toml",
    "application/sql",
    "application/graphql",
    "application/rtf",
    "application/vnd.ms-fontobject",
    "font/ttf",
    "font/otf",
    "image/bmp",
    "image/x-icon",
];

/// Adds `Accept-Encoding` to what the response depends on (RFC 9110 §12.5.5).
fn vary(headers: &mut HeaderLines) {
    if headers.get_all("vary").any(|fields| has(fields, b"accept-encoding") || has(fields, b"*")) {
        return;
    }
    let mut all = headers.get_all("vary").collect::<Vec<_>>().join(&b", "[..]);
    if !all.is_empty() {
        all.extend_from_slice(b", ");
    }
    all.extend_from_slice(b"Accept-Encoding");
    // What was there could be sent, and so can this.
    let _ = headers.set("Vary", &all);
}

/// Whether a list has this element, in whatever case.
fn has(list: &[u8], element: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|own| own.trim_ascii().eq_ignore_ascii_case(element))
}

/// What a byte that is compressed counts as, in bytes of work.
const PACKED_WORK: usize = 16;

/// What a thread compresses with.
struct Packer {
    level: u32,
    stream: Compress,
    packed: Vec<u8>,
}

thread_local! {
    static PACKER: RefCell<Option<Packer>> = const { RefCell::new(None) };
}

/// Compresses a body, if that makes it smaller. Says whether it did.
fn pack(level: u32, body: &mut Vec<u8>) -> bool {
    PACKER.with_borrow_mut(|packer| {
        let packer = match packer {
            Some(packer) if packer.level == level => packer,
            _ => packer.insert(Packer {
                level,
                stream: Compress::new_gzip(Compression::new(level), 15),
                packed: Vec::new(),
            }),
        };
        let Packer { stream, packed, .. } = packer;
        stream.reset();
        packed.clear();
        packed.reserve(body.len());
        // Where it does not fit it would not be smaller.
        let status = stream.compress_vec(body, packed, FlushCompress::Finish);
        let smaller = matches!(status, Ok(Status::StreamEnd)) && packed.len() < body.len();
        if smaller {
            std::mem::swap(packed, body);
        }
        if packed.capacity() > KEPT_BYTES {
            *packed = Vec::new();
        }
        smaller
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_compressed_if_it_is_a_text_of_some_kind() {
        for kind in [
            "text/plain; charset=utf-8",
            "TEXT/HTML",
            "application/json",
            "application/problem+json; a=b",
            "image/svg+xml",
            "application/wasm",
        ] {
            assert!(is_compressible(kind.as_bytes()), "{kind}");
        }
        for kind in
            ["image/png", "video/mp4", "application/octet-stream", "text/event-stream", "font/woff2", "", "text"]
        {
            assert!(!is_compressible(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn what_a_response_depends_on_is_said_once() {
        for (before, after) in [
            (&[][..], "Accept-Encoding"),
            (&["Origin"], "Origin, Accept-Encoding"),
            (&["Cookie", "Origin"], "Cookie, Origin, Accept-Encoding"),
            (&["Origin", "Accept-Encoding, Cookie"], "Origin"),
            (&["Origin, accept-encoding"], "Origin, accept-encoding"),
            (&["*"], "*"),
        ] {
            let mut headers = HeaderLines::new();
            for field in before {
                headers.add("Vary", field.as_bytes()).expect("it can be sent");
            }
            vary(&mut headers);
            assert_eq!(headers.get("vary"), Some(after.as_bytes()), "{before:?}");
        }
    }
}
