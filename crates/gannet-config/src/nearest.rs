//! The name that was probably meant.

/// Finds the known name that differs least from a word, if it differs by few letters.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let lower = word.to_lowercase();
    // A long word differs from all of them, and measuring takes the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let all = known.into_iter().map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name));
    let (letters, name) = all.min()?;
    let most = (word.chars().count().max(name.chars().count()) / 3).max(1);
    (letters <= most && letters < word.chars().count()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_that_differs_by_few_letters_is_found_and_no_other() {
        let known = ["frame", "outbox_high", "outbox_hard", "connections"];
        for (word, name) in [
            ("framee", Some("frame")),
            ("farme", Some("frame")),
            ("FRAME", Some("frame")),
            ("outbox_hihg", Some("outbox_high")),
            ("conections", Some("connections")),
            ("overflow", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), name, "{word}");
        }
        assert_eq!(nearest(&"connections".repeat(100), known), None);
    }
}
