//! Texts of which a process has one for each client or channel: short ones take no memory of their own.

/// The longest text that is kept in place, in bytes: so a text takes no more than three words.
const SHORT: usize = 22;

/// A text that does not change.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    /// The first `length` bytes of `bytes`.
    Short {
        length: u8,
        bytes: [u8; SHORT],
    },
    Long(Box<str>),
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        match self {
            // They were text when they came. To look again costs some nanoseconds; comparing does without.
            Self::Short { .. } => std::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Long(text) => text,
        }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        if text.len() > SHORT {
            return Self::Long(text.into());
        }
        let mut bytes = [0; SHORT];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Self::Short { length: text.len() as u8, bytes }
    }
}

impl From<Box<str>> for Text {
    fn from(text: Box<str>) -> Self {
        if text.len() > SHORT { Self::Long(text) } else { Self::from(&*text) }
    }
}

const _: () = assert!(size_of::<Text>() == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_text_of_any_length_is_what_it_was(text in "\\PC{0,40}") {
            for made in [Text::from(&*text), Text::from(text.clone().into_boxed_str())] {
                prop_assert_eq!(made.as_str(), &*text);
                prop_assert_eq!(made.as_bytes(), text.as_bytes());
            }
        }
    }

    #[test]
    fn texts_up_to_22_bytes_are_kept_in_place() {
        assert!(matches!(Text::from(&*"x".repeat(22)), Text::Short { length: 22, .. }));
        assert!(matches!(Text::from(&*"x".repeat(23)), Text::Long(_)));
        assert!(matches!(Text::from(""), Text::Short { length: 0, .. }));
    }
}
