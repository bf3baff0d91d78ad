//! Reads requests: as values of the application's types, or as a stream.

use serde::Deserialize;

use crate::cx::Cx;
use crate::next::Next;
use crate::pairs::{Fault, Pairs};
use crate::receive::{Receive, Reception};
use crate::rejection::Rejection;

/// Values of your own types, read with serde. Types that borrow (`&str`) borrow from the request, so that nothing is
/// allocated unless something has to be decoded.
impl<'a> Cx<'a> {
    /// Reads the body as JSON. `Content-Type` has to be `application/json` or end in `+json`.
    ///
    /// ```
    /// use gannet_http::{Cx, Json, Rejection, Router};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Order {
    ///     items: Vec<u32>,
    /// }
    ///
    /// fn order(cx: &mut Cx<'_>) -> Result<Json<usize>, Rejection> {
    ///     let order: Order = cx.json()?;
    ///     Ok(Json(order.items.len()))
    /// }
    ///
    /// let routes = Router::new().post("/orders", order).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Rejection::ContentType`]: the body has another type.
    /// - [`Rejection::Malformed`]: it is no JSON.
    /// - [`Rejection::Json`]: a value does not fit. The error has its path, line and column.
    pub fn json<T: Deserialize<'a>>(&self) -> Result<T, Rejection> {
        if !self.media_type().is_some_and(is_json) {
            return Err(Rejection::ContentType { expected: "application/json" });
        }
        let body = self.request_body();
        serde_json::from_slice(body).map_err(|error| explain::<T>(body, error))
    }

    /// Reads the body as a form (`application/x-www-form-urlencoded`).
    ///
    /// A field that comes more than once fills a `Vec`. Up to 1,000 fields are read.
    ///
    /// # Errors
    ///
    /// - [`Rejection::ContentType`]: the body has another type.
    /// - [`Rejection::Malformed`]: its percent-encoding is malformed, or it has too many fields.
    /// - [`Rejection::Form`]: a field does not fit or is missing.
    pub fn form<T: Deserialize<'a>>(&self) -> Result<T, Rejection> {
        const FORM: &str = "application/x-www-form-urlencoded";
        if !self.media_type().is_some_and(|media| media.eq_ignore_ascii_case(FORM)) {
            return Err(Rejection::ContentType { expected: FORM });
        }
        let malformed = |why: &str| Rejection::Malformed { what: "form", why: why.to_owned() };
        let body = std::str::from_utf8(self.request_body()).map_err(|_| malformed("it is no UTF-8"))?;
        let pairs = Pairs::of_form(body).map_err(malformed)?;
        pairs.read().map_err(|Fault { field, why }| Rejection::Form { field, why })
    }

    /// Reads the query (`?page=2&tag=a&tag=b`).
    ///
    /// A name that comes more than once fills a `Vec`. An optional value is an `Option`, or has serde's `default`. Up to 1,000
    /// values are read.
    ///
    /// ```
    /// use gannet_http::{Cx, Rejection, Router};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Page {
    ///     #[serde(default)]
    ///     page: u32,
    ///     tag: Vec<String>,
    /// }
    ///
    /// fn list(cx: &mut Cx<'_>) -> Result<String, Rejection> {
    ///     let Page { page, tag } = cx.query_as()?;
    ///     Ok(format!("page {page} of {}\n", tag.join(" and ")))
    /// }
    ///
    /// let routes = Router::new().get("/list", list).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Rejection::Malformed`]: the percent-encoding is malformed, or there are too many values.
    /// - [`Rejection::Query`]: a value does not fit or is missing.
    pub fn query_as<T: Deserialize<'a>>(&self) -> Result<T, Rejection> {
        let malformed = |why: &str| Rejection::Malformed { what: "query", why: why.to_owned() };
        let pairs = Pairs::of_form(self.query().unwrap_or_default()).map_err(malformed)?;
        pairs.read().map_err(|Fault { field, why }| Rejection::Query { field, why })
    }

    /// Reads the decoded parameters of the path.
    ///
    /// A route with one parameter gives one value. A route with several gives a tuple in the order of the pattern, or a struct
    /// with fields of their names.
    ///
    /// ```
    /// use gannet_http::{Cx, Rejection, Router};
    ///
    /// fn post(cx: &mut Cx<'_>) -> Result<String, Rejection> {
    ///     let (user, post): (&str, u64) = cx.params()?;
    ///     Ok(format!("post {post} of {user}\n"))
    /// }
    ///
    /// let routes = Router::new().get("/users/{user}/posts/{post}", post).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - [`Rejection::Malformed`]: the percent-encoding is malformed.
    /// - [`Rejection::Params`]: a value does not fit.
    pub fn params<T: Deserialize<'a>>(&self) -> Result<T, Rejection> {
        let malformed = |why: &str| Rejection::Malformed { what: "path", why: why.to_owned() };
        let pairs = Pairs::of_params(self.params.as_ref()).map_err(malformed)?;
        pairs.read().map_err(|Fault { field, why }| Rejection::Params { field, why })
    }

    /// The type of the body as `Content-Type` has it, without its parameters.
    pub(crate) fn media_type(&self) -> Option<&'a str> {
        let value = std::str::from_utf8(self.request_header("content-type")?).ok()?;
        Some(value.split_once(';').map_or(value, |(media, _)| media).trim_ascii())
    }
}

/// Streamed bodies.
impl Cx<'_> {
    /// Streams the body to `receiver` piece by piece, which makes the response; see [`Receive`].
    ///
    /// At most `limit` bytes are received; more is answered with 413. If the length is known, this is answered before the
    /// client sends the body.
    ///
    /// In a route of [`Router::upload`](crate::Router::upload), the handler is called when the head has come, and the body may
    /// have any size. In any other route the body is in memory already, and comes as one piece.
    ///
    /// Status and header fields that the handler and its layers set count for the response, as for one that
    /// [is deferred](Self::is_deferred).
    pub fn receive(&mut self, limit: u64, receiver: impl Receive) {
        self.draft.next = Some(Next::Receive(Reception { receiver: Box::new(receiver), limit }));
    }
}

/// Whether this is JSON, or a format made of it (RFC 6839 §3.1).
fn is_json(media: &str) -> bool {
    let is_made_of_it = || {
        let suffix = media.len().checked_sub(5).and_then(|at| media.get(at..));
        media.contains('/') && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
    };
    media.eq_ignore_ascii_case("application/json") || is_made_of_it()
}

/// Finds out which value did not fit. The body is read once more for that, so that one that fits costs nothing.
#[cold]
fn explain<'a, T: Deserialize<'a>>(body: &'a [u8], error: serde_json::Error) -> Rejection {
    let (line, column) = (error.line(), error.column());
    // The text ends with where it is, which is said in a way of its own.
    let why = error.to_string();
    let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why).to_owned();
    if !error.is_data() {
        return Rejection::Malformed { what: "JSON", why: format!("{why} at line {line} column {column}") };
    }
    let mut again = serde_json::Deserializer::from_slice(body);
    let field = serde_path_to_error::deserialize::<_, T>(&mut again).err().map(|error| error.path().to_string());
    let field = field.filter(|field| field != ".").unwrap_or_default();
    Rejection::Json { field, why, line, column }
}
