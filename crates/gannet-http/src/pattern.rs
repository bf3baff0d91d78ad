//! What a pattern is made of.

/// What stands between two slashes of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment<'p> {
    /// Exactly this, without braces.
    Fixed(&'p str),
    /// Exactly `{name}`.
    Param(&'p str),
    /// Something else with braces, such as `{name}.txt`. What is fixed, but with braces, is taken for it.
    Affixed,
    /// `{*name}`, with or without something before it. What is fixed, but has `{*` in it, is taken for it.
    Rest,
}

/// The segments of a pattern: what is before its first slash is none.
pub(crate) fn segments(pattern: &str) -> impl Iterator<Item = Segment<'_>> {
    pattern.split('/').skip(1).map(Segment::of)
}

impl<'p> Segment<'p> {
    fn of(text: &'p str) -> Self {
        let is_brace = |each| matches!(each, '{' | '}');
        if !text.contains(is_brace) {
            return Self::Fixed(text);
        }
        match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            _ if text.contains("{*") => Self::Rest,
            Some(name) if !name.contains(is_brace) => Self::Param(name),
            _ => Self::Affixed,
        }
    }
}
