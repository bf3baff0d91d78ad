//! Forms with files (`multipart/form-data`, RFC 7578): in memory with [`Cx::multipart`], or streamed, in any size, with
//! [`Cx::receive_multipart`].

use std::borrow::Cow;
use std::fmt;

use gannet::proto::Decoded;
use gannet::proto::multipart::{Event, Multipart, MultipartState};

pub use gannet::proto::multipart::Part as PartHead;

use crate::cx::Cx;
use crate::receive::{Receive, Receiving};
use crate::rejection::Rejection;

/// Holds one field of a form with all of its data.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part<'a> {
    /// The name of the field.
    pub name: Cow<'a, str>,
    /// The name of the file on the client's machine, if the field is a file. Never use it as a path: the client chooses it.
    pub filename: Option<Cow<'a, str>>,
    /// The media type of the data, which the client chooses.
    pub content_type: Option<&'a str>,
    /// The data.
    pub bytes: &'a [u8],
}

/// Iterates over the fields of a form that is in memory, in the order in which they were sent.
pub struct Parts<'a> {
    form: Multipart,
    state: MultipartState,
    rest: &'a [u8],
    failed: bool,
}

/// Receives the parts of a form as they arrive; pass it to [`Cx::receive_multipart`].
///
/// The rules are those of [`Receive`]: no method may block; while offloaded work is under way, nothing more of the form
/// comes; clean up in `Drop`.
pub trait ReceiveParts: 'static {
    /// Is called when a part begins.
    fn part(&mut self, head: &PartHead<'_>, body: &mut Receiving<'_, '_>);

    /// Receives a piece of the part's data. It is not empty.
    fn data(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>);

    /// Is called when the part ends.
    fn part_end(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }

    /// Is called when the form is whole and no work for it is under way. Make the response here, as in [`Receive::whole`].
    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }
}

/// Forms with files.
impl<'a> Cx<'a> {
    /// Reads the body as a form with files; nothing is copied.
    ///
    /// The whole form is in memory, bounded by [`Requests::max_body`](crate::Requests::max_body). Up to 1,000 parts are read.
    ///
    /// ```
    /// use gannet_http::{Cx, Rejection, Router};
    ///
    /// fn upload(cx: &mut Cx<'_>) -> Result<String, Rejection> {
    ///     let mut files = 0;
    ///     for part in cx.multipart()? {
    ///         files += usize::from(part?.filename.is_some());
    ///     }
    ///     Ok(format!("{files} files\n"))
    /// }
    ///
    /// let routes = Router::new().post("/upload", upload).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Rejection::ContentType`]: the body has another type, or no boundary. The iterator returns [`Rejection::Malformed`] if
    /// the body is malformed.
    pub fn multipart(&self) -> Result<Parts<'a>, Rejection> {
        Ok(Parts {
            form: self.form_with_files()?,
            state: MultipartState::default(),
            rest: self.request_body(),
            failed: false,
        })
    }

    /// Streams a form with files of up to `limit` bytes to `receiver`, which makes the response; see
    /// [`receive`](Self::receive).
    ///
    /// A malformed form is answered with 400.
    ///
    /// # Errors
    ///
    /// [`Rejection::ContentType`]: the body has another type, or no boundary.
    pub fn receive_multipart(&mut self, limit: u64, receiver: impl ReceiveParts) -> Result<(), Rejection> {
        let (form, state) = (self.form_with_files()?, MultipartState::default());
        self.receive(limit, Driver { form, state, carry: Vec::new(), receiver });
        Ok(())
    }

    fn form_with_files(&self) -> Result<Multipart, Rejection> {
        let expected = "multipart/form-data with a boundary";
        let content_type = self.request_header("content-type").and_then(|value| std::str::from_utf8(value).ok());
        Multipart::new(content_type.unwrap_or_default()).map_err(|_| Rejection::ContentType { expected })
    }
}

fn malformed(why: impl fmt::Display) -> Rejection {
    Rejection::Malformed { what: "form", why: why.to_string() }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, Rejection>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let part = self.part().transpose();
        self.failed = !matches!(part, Some(Ok(_)));
        part
    }
}

impl<'a> Parts<'a> {
    /// The next part, where there is one.
    fn part(&mut self) -> Result<Option<Part<'a>>, Rejection> {
        let mut part = None;
        while !self.rest.is_empty() {
            match self.form.decode(&mut self.state, self.rest).map_err(malformed)? {
                Decoded::Taken { consumed } => self.rest = &self.rest[consumed..],
                Decoded::Message { message, consumed } => {
                    self.rest = &self.rest[consumed..];
                    match message {
                        Event::Part(PartHead { name, filename, content_type, .. }) => {
                            part = Some(Part { name, filename, content_type, bytes: &[] });
                        }
                        // All of them are there, so they come at once.
                        Event::Data(bytes) => part.iter_mut().for_each(|part| part.bytes = bytes),
                        Event::PartEnd => return Ok(part),
                    }
                }
                // Not whole.
                _ => break,
            }
        }
        if self.state.is_whole() { Ok(None) } else { Err(malformed("it is cut off")) }
    }
}

impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").field("left", &self.rest.len()).finish_non_exhaustive()
    }
}

/// Takes a form off a body.
struct Driver<R> {
    form: Multipart,
    state: MultipartState,
    /// What was not taken yet: at most what was read at once, and a boundary or the head of a part before it.
    carry: Vec<u8>,
    receiver: R,
}

impl<R: ReceiveParts> Driver<R> {
    /// Takes what there is, until there is work to be waited for. Says how much that was.
    fn take(&mut self, input: &[u8], body: &mut Receiving<'_, '_>) -> usize {
        let mut taken = 0;
        while taken < input.len() && !body.is_busy() {
            match self.form.decode(&mut self.state, &input[taken..]) {
                Ok(Decoded::Taken { consumed }) => taken += consumed,
                Ok(Decoded::Message { message, consumed }) => {
                    taken += consumed;
                    match message {
                        Event::Part(head) => self.receiver.part(&head, body),
                        Event::Data(bytes) => self.receiver.data(bytes, body),
                        Event::PartEnd => self.receiver.part_end(body),
                    }
                }
                // Not whole.
                Ok(_) => break,
                Err(error) => body.answer(malformed(error)),
            }
        }
        taken
    }
}

impl<R: ReceiveParts> Receive for Driver<R> {
    fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>) {
        if self.carry.is_empty() {
            let taken = self.take(bytes, body);
            self.carry.extend_from_slice(&bytes[taken..]);
        } else {
            self.carry.extend_from_slice(bytes);
            self.ready(body);
        }
    }

    fn ready(&mut self, body: &mut Receiving<'_, '_>) {
        let mut carry = std::mem::take(&mut self.carry);
        let taken = self.take(&carry, body);
        carry.drain(..taken);
        self.carry = carry;
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        if self.state.is_whole() && self.carry.is_empty() {
            self.receiver.whole(body);
        } else {
            body.answer(malformed("it is cut off"));
        }
    }
}
