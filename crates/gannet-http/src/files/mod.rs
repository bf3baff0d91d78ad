//! Serves the files of a directory to `GET` and `HEAD`.

mod conditions;
mod kind;
mod look;
mod path;
mod root;
mod send;

use std::io;
use std::path::Path;
use std::sync::Arc;

use gannet::Pool;

use self::conditions::Conditions;
use self::path::Name;
use self::root::Root;
use self::send::Permits;
use crate::cx::Cx;

/// Serves the files of a directory; pass it to [`Router::files`](crate::Router::files).
///
/// ```no_run
/// use gannet_http::{Files, Router};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let www = Files::new("./www")?.cache_control("public, max-age=3600");
/// let routes = Router::new().files("/static", www).get("/", |cx| cx.text("it flies\n")).build()?;
/// # Ok(())
/// # }
/// ```
///
/// # Which files are served
///
/// Regular files only. A path is decoded once, segment by segment. It names no file if it is not UTF-8, or if a segment is
/// empty, is `.` or `..`, or contains a backslash, an encoded slash or a control character. Names that begin with a dot are
/// served only with [`hidden`](Self::hidden). Files without read permission are answered with 404.
///
/// The directory is opened once, when this is made, and all files are opened beneath it. On Linux the kernel resolves the
/// whole path (`openat2` with `RESOLVE_BENEATH`): relative symbolic links are followed if they stay inside. On other
/// systems, and on kernels before 5.6, no symbolic link is followed. If you replace the directory itself by another one,
/// restart the server.
///
/// For a directory, its [`index`](Self::index) is served; if the path lacks the slash at its end, the client is redirected
/// with 301. Directories are not listed.
///
/// # Header fields
///
/// `Content-Type` follows from the extension of the name. There are `Content-Length`, `Last-Modified`, `Accept-Ranges`, and a
/// strong `ETag` of inode, size and the time of the last change in nanoseconds. Conditional requests are evaluated as RFC
/// 9110 §13.2.2 says. A single range is answered with 206 or 416, several ranges with the whole file (RFC 9110 §14.2).
///
/// To replace a file, move a new one over it. A file that is written in place may be sent half old and half new. If a file
/// gets shorter while it is sent, the connection is broken, so that the client notices.
///
/// # Threads, memory and limits
///
/// Files are read on [`Pool::Files`], whose threads do nothing else, and never on a reactor. A file of up to 256 KiB is read
/// at once and becomes an ordinary response, which [`Gzip`](crate::middleware::Gzip) compresses. A larger one is streamed in
/// pieces of 128 KiB as the client reads; [`Limits::outbox_high`](gannet::Limits) and one piece are waiting at most.
///
/// A request over [`Limits::file_offloads`](gannet::Limits), or over the number of [`streams`](Self::streams), is answered
/// with 503 and `Retry-After`.
#[derive(Debug)]
pub struct Files {
    root: Root,
    index: Option<String>,
    hidden: bool,
    cache_control: Option<String>,
    permits: Permits,
}

/// Files that are streamed at a time, where nothing else was said: each takes a descriptor.
const STREAMS: usize = 1_024;

impl Files {
    /// Opens a directory to serve its files, with `index.html` for directories in it.
    ///
    /// # Errors
    ///
    /// The path is no directory, or it cannot be opened.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: Root::open(root.as_ref())?,
            index: Some("index.html".to_owned()),
            hidden: false,
            cache_control: None,
            permits: Permits::new(STREAMS),
        })
    }

    /// Sets the name of the file that is served for its directory (default `index.html`).
    ///
    /// With `None`, directories are answered with 404.
    #[must_use]
    pub fn index<'n>(mut self, name: impl Into<Option<&'n str>>) -> Self {
        self.index = name.into().map(str::to_owned);
        self
    }

    /// Sets whether names that begin with a dot are served (default no): `.well-known`, for example, but also `.git`.
    #[must_use]
    pub fn hidden(mut self, served: bool) -> Self {
        self.hidden = served;
        self
    }

    /// Sets `Cache-Control` for files and for the responses 304 (default none; caches then guess by `Last-Modified`).
    #[must_use]
    pub fn cache_control(mut self, value: impl Into<String>) -> Self {
        self.cache_control = Some(value.into());
        self
    }

    /// Sets how many files over 256 KiB are streamed at a time (default 1,024).
    ///
    /// Each takes a descriptor as long as its client reads.
    #[must_use]
    pub fn streams(mut self, streams: usize) -> Self {
        self.permits = Permits::new(streams);
        self
    }

    /// Answers with the file of a path beneath the root, as it was sent.
    pub(crate) fn serve(self: &Arc<Self>, cx: &mut Cx<'_>, path: &str) {
        let Some(name) = Name::of(path, self.hidden) else { return cx.refuse(404, NOT_FOUND) };
        let conditions = Conditions::of(cx.request());
        let with_slash = if name.directory { String::new() } else { with_slash(cx) };
        let files = Arc::clone(self);
        cx.offload_to(
            Pool::Files,
            move || {
                let found = files.look(&name, &conditions);
                (files, found)
            },
            move |(files, found), reply| found.answer(&files, &with_slash, reply),
        );
    }
}

/// Sends a client to this path with a slash behind it.
pub(crate) fn redirect_to_directory(cx: &mut Cx<'_>) {
    cx.status(301);
    let location = with_slash(cx);
    cx.header("Location", location);
}

/// The target of a request with a slash behind its path. No path comes here whose second byte is a slash too, which
/// would be the name of a host; a backslash, which browsers take for a slash, is encoded.
fn with_slash(cx: &Cx<'_>) -> String {
    let path = cx.path().replace('\\', "%5C");
    match cx.query() {
        Some(query) => format!("{path}/?{query}"),
        None => format!("{path}/"),
    }
}

const NOT_FOUND: &str = "not found\n";
