//! A message that does not lie in one piece in what was received: fragments are put together here (RFC 6455 §5.4), and
//! compressed messages unpacked.

#[cfg(feature = "deflate")]
use super::deflate::Inflater;
use super::utf8::Utf8;
use super::{Error, Message};

/// What has come of such a message.
#[derive(Debug, Default)]
pub(super) struct Assembly {
    pub(super) bytes: Vec<u8>,
    is_text: bool,
    pub(super) compressed: bool,
    text: Utf8,
}

impl Assembly {
    pub(super) fn new(is_text: bool, compressed: bool) -> Self {
        Self { is_text, compressed, ..Self::default() }
    }

    /// Appends a fragment as it is. Its length was held to `limit` before.
    pub(super) fn append(&mut self, fragment: &[u8], limit: usize) -> Result<(), Error> {
        if self.is_text {
            self.text.check(fragment)?;
        }
        #[cfg(test)]
        crate::work::looked_at(fragment.len());
        let needed = self.bytes.len() + fragment.len();
        if needed > self.bytes.capacity() {
            #[cfg(test)]
            crate::work::looked_at(self.bytes.len());
            let capacity = needed.max(self.bytes.capacity().saturating_mul(2)).min(limit);
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }

    /// Appends what a fragment of a compressed message is unpacked to.
    #[cfg(feature = "deflate")]
    pub(super) fn inflate(
        &mut self,
        fragment: &[u8],
        last: bool,
        inflater: &mut Inflater,
        limit: usize,
    ) -> Result<(), Error> {
        let start = self.bytes.len();
        inflater.inflate(fragment, last, &mut self.bytes, limit)?;
        if self.is_text {
            self.text.check(&self.bytes[start..])?;
        }
        Ok(())
    }

    /// The message, which is whole now.
    pub(super) fn into_message(self) -> Result<Message<'static>, Error> {
        if !self.is_text {
            return Ok(Message::Binary(self.bytes.into()));
        }
        #[cfg(test)]
        crate::work::looked_at(self.bytes.len());
        // The pieces were checked, but only a second look makes a `String` of them.
        let text = String::from_utf8(self.bytes).map_err(|_| Error::NotUtf8)?;
        Ok(Message::Text(text.into()))
    }
}
