//! Requests whose head comes before their body: answered by the head where that says the answer, or kept until the body
//! has come.

use std::mem;

use gannet::Context;
use gannet::proto::http::{CONTINUE, Request};

use super::{HttpService, Mode, Session};
use crate::next::Next;
use crate::wire::Protocol;

/// The largest body, in bytes, that is read and dropped after a response that did not wait for it: 64 KiB.
///
/// The connection then takes further requests. It closes if the body is larger, or its size is unknown.
pub const DROPPED_BODY: u64 = 64 << 10;

/// Memory for heads that a reactor keeps for the next ones, so that none of them allocates.
const KEPT: usize = 64;

/// Memory over this is given back, in bytes.
const KEPT_BYTES: usize = 4 << 10;

/// A request whose body is to come.
#[derive(Debug, Default)]
pub(crate) struct Upload {
    head: Vec<u8>,
    /// What layers have charged it with.
    charged: Vec<usize>,
}

/// Memory of uploads that are over.
#[derive(Debug, Default)]
pub(crate) struct Uploads(
    #[expect(clippy::vec_box, reason = "a session holds the box, and gives it back as it is")] Vec<Box<Upload>>,
);

impl Uploads {
    fn begin(&mut self, head: &[u8], charged: &mut Vec<usize>) -> Box<Upload> {
        let mut upload = self.0.pop().unwrap_or_default();
        upload.head.clear();
        upload.head.extend_from_slice(head);
        mem::swap(&mut upload.charged, charged);
        upload
    }

    fn end(&mut self, upload: Box<Upload>) {
        if self.0.len() < KEPT && upload.head.capacity() <= KEPT_BYTES {
            self.0.push(upload);
        }
    }
}

impl HttpService {
    /// The head of a request has come, and its body has not, or not whole.
    pub(crate) fn begin_upload(&mut self, request: Request<'_>, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.serial += 1;
        self.draft.clear();
        if self.routes.answer_by_head(request, &mut self.draft, cx, self.serial) {
            return self.answer_by_head(request, session, cx);
        }
        if let Err(error) = self.codec.requests.check_length(&request) {
            return self.turn_away(error.status(), format_args!("{error}\n"), cx);
        }
        session.mode = Mode::Upload(self.uploads.begin(request.head(), &mut self.draft.charged));
        if request.expects_continue() {
            session.seen = 1;
            cx.answer(CONTINUE);
            cx.set_timer(self.body_pace.1);
        }
    }

    /// Sends a response that did not wait for the body. A client that was not told to send its body may send it all the
    /// same, or not: the connection closes then, since nobody knows where the next request would begin (RFC 9110
    /// §10.1.1).
    fn answer_by_head(&mut self, request: Request<'_>, session: &mut Session, cx: &mut Context<'_, Self>) {
        let is_dropped = request.body_length().is_some_and(|length| length <= DROPPED_BODY);
        let goes_on = is_dropped && !request.expects_continue();
        let answer = if goes_on { request.answer() } else { request.answer().last() };
        match self.draft.next.take() {
            None => {
                self.send(answer, cx);
                if goes_on {
                    session.seen = 1;
                    cx.set_timer(self.body_pace.1);
                }
            }
            Some(Next::Receive(reception)) => self.begin_reception(reception, &request, session, cx),
            // The body would be taken for frames.
            Some(Next::WebSocket(_)) => self.turn_away(400, format_args!("an upgrade with a body\n"), cx),
            Some(next) => self.follow(next, answer, session, cx),
        }
    }

    /// A body has come whose head was delivered before.
    pub(crate) fn end_upload(&mut self, body: &[u8], session: &mut Session, cx: &mut Context<'_, Self>) {
        let mut upload = match mem::take(&mut session.mode) {
            Mode::Upload(upload) => upload,
            // The request was answered by its head.
            mode => {
                if matches!(mode, Mode::Idle) {
                    cx.set_timer(self.keep_alive);
                }
                return session.mode = mode;
            }
        };
        match Request::from_head(&upload.head, body) {
            Ok(request) => {
                self.serial += 1;
                self.draft.clear();
                mem::swap(&mut self.draft.charged, &mut upload.charged);
                self.serve(request, session, cx);
            }
            // It was one before.
            Err(error) => self.turn_away(error.status(), format_args!("{error}\n"), cx),
        }
        self.uploads.end(upload);
    }

    /// Whether a body is read that nobody waits for, since its request was answered by its head. A head that was not
    /// delivered, because its body is wrong from the first bytes on, was answered by nobody.
    pub(crate) fn is_dropping(session: &Session, cx: &mut Context<'_, Self>) -> bool {
        matches!(session.mode, Mode::Idle)
            && matches!(cx.codec_state(), Protocol::Http(state) if state.is_head_delivered())
    }
}
