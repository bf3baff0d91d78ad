//! Static files: what a directory holds, served to `GET` and `HEAD`.

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

/// Serves the files of a directory: given to [`Router::files`](crate::Router::files).
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
/// # What is a file
///
/// Regular files only. A path is decoded once, segment by segment; one with an empty segment, `.`, `..`, a backslash, an
/// encoded slash or a control character means no file, nor does one that is no UTF-8. Names that begin with a dot are not
/// served unless [`hidden`](Self::hidden) lets them. The directory is opened when this is made, and everything is opened
/// beneath it: on Linux the kernel resolves the whole path (`openat2` with `RESOLVE_BENEATH`), and symbolic links are
/// followed where they stay inside and are relative; elsewhere, and on kernels before 5.6, no symbolic link is followed at
/// all. What cannot be opened for want of rights is 404 as well. Who replaces the directory itself by another of its name
/// has to start anew.
///
/// For a directory its [`index`](Self::index) is served; where the slash at the end of the path is missing, it is sent
/// there with 301. Directories are not listed.
///
/// # What is said of it
///
/// `Content-Type` by the ending of the name, `Content-Length`, `Last-Modified`, `Accept-Ranges`, and a strong `ETag` of
/// inode, size and the time of the last change in nanoseconds. Conditions are evaluated as RFC 9110 §13.2.2 says, and a
/// single range is served (206, or 416); more ranges than one are answered with the whole (RFC 9110 §14.2).
///
/// Replace files by moving new ones over them. One that is written in place may be sent half old and half new; one that
/// has become shorter while it was sent breaks the connection, so that the client can tell.
///
/// # How it is read
///
/// On [`Pool::Files`], whose threads do nothing else, and never on a reactor. Up to 256 KiB are read in one go and are an ordinary response,
/// which [`Gzip`](crate::middleware::Gzip) compresses. More is streamed in pieces of 128 KiB as the client reads:
/// [`Limits::outbox_high`](gannet::Limits) and one piece is what waits for it. As many jobs wait and run as
/// [`Limits::file_offloads`](gannet::Limits) allows, and as many files are streamed at a time as [`streams`](Self::streams)
/// allows: one more is answered with 503 and `Retry-After`.
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
    /// Serves the files of this directory, with `index.html` for directories in it.
    ///
    /// # Errors
    ///
    /// It is no directory, or cannot be opened.
    pub fn new(root: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self {
            root: Root::open(root.as_ref())?,
            index: Some("index.html".to_owned()),
            hidden: false,
            cache_control: None,
            permits: Permits::new(STREAMS),
        })
    }

    /// Sets the name of the file that is served for a directory it is in (default `index.html`); without one,
    /// directories are 404.
    #[must_use]
    pub fn index<'n>(mut self, name: impl Into<Option<&'n str>>) -> Self {
        self.index = name.into().map(str::to_owned);
        self
    }

    /// Sets whether files and directories whose names begin with a dot are served too (default not), `.well-known` for
    /// one, but also `.git`.
    #[must_use]
    pub fn hidden(mut self, served: bool) -> Self {
        self.hidden = served;
        self
    }

    /// Sets `Cache-Control` of files, and of the answers that say that one has not changed (default none: then caches
    /// guess by `Last-Modified`).
    #[must_use]
    pub fn cache_control(mut self, value: impl Into<String>) -> Self {
        self.cache_control = Some(value.into());
        self
    }

    /// Sets how many files over 256 KiB are sent at a time (default 1,024). Each takes a descriptor for as long as its
    /// client reads.
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
