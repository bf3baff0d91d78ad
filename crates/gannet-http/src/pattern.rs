//! What a pattern is made of, and what is wrong with one.

/// Parameters that a pattern may have: the tree gives them letters, and panics where it has no more.
const PARAMETERS: usize = 25;

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

/// Whether what follows the first slash is a pattern's, and otherwise why not: also where it would never match a path, so
/// that it is a mistake.
pub(crate) fn check(pattern: &str) -> Result<(), String> {
    let mut names = Vec::new();
    for segment in pattern.split('/').skip(1) {
        let Some(parameter) = parameter_of(segment)? else { continue };
        let name = parameter.strip_prefix('*').unwrap_or(parameter);
        if name.is_empty() || !name.chars().all(|each| each.is_alphanumeric() || matches!(each, '-' | '_')) {
            return Err(format!("{name:?} is no name of a parameter: that is letters, digits, - and _"));
        }
        if parameter.starts_with('*') && !pattern.ends_with(&format!("{{{parameter}}}")) {
            return Err(format!("nothing can follow {{{parameter}}}, which takes all that is left"));
        }
        if names.contains(&name) {
            return Err(format!("two parameters are called {name}"));
        }
        names.push(name);
    }
    if names.len() > PARAMETERS { Err(format!("{PARAMETERS} parameters are the most")) } else { Ok(()) }
}

/// What is between the braces of a segment, where it has a parameter.
fn parameter_of(segment: &str) -> Result<Option<&str>, String> {
    let (mut parameter, mut rest) = (None, segment);
    while let Some(at) = rest.find(['{', '}']) {
        let (fixed, braces) = rest.split_at(at);
        check_fixed(fixed)?;
        if let Some(behind) = braces.strip_prefix("{{").or_else(|| braces.strip_prefix("}}")) {
            rest = behind;
            continue;
        }
        let inside = braces.strip_prefix('{').ok_or("the } closes nothing; }} is the character")?;
        let ends = "the { is not closed before the next slash; {{ is the character";
        let (inside, behind) = inside.split_once('}').ok_or(ends)?;
        // The tree takes it for a part of the name, or for the beginning of another one.
        if behind.starts_with("{{") || behind.starts_with('}') {
            return Err("a brace cannot follow a parameter".to_owned());
        }
        if parameter.replace(inside).is_some() {
            return Err("a segment has one parameter at most".to_owned());
        }
        rest = behind;
    }
    check_fixed(rest)?;
    Ok(parameter)
}

/// Whether a path may have this in it as it is sent: the codec refuses anything else.
fn check_fixed(text: &str) -> Result<(), String> {
    let is_sent = |each| matches!(each, '!'..='~') && !matches!(each, '"' | '#' | '<' | '>' | '?');
    match text.chars().find(|&each| !is_sent(each)) {
        None => Ok(()),
        Some('?') => Err("the query is no part of a path".to_owned()),
        Some(other) => {
            let encoded: String = other.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
            Err(format!("{other:?} is never in a path as it is sent; percent-encoded it is {encoded}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        #[test]
        fn the_tree_takes_what_is_a_pattern_and_finds_what_it_says(
            pattern in "(/|a|\\*|\\.t|\\{\\{|\\}\\}|\\{|\\}|\\{[a-c]{0,2}\\}|\\{\\*r\\}|\u{fc}){0,8}",
        ) {
            let pattern = format!("/{pattern}");
            if check(&pattern).is_ok() {
                let mut tree = matchit::Router::new();
                prop_assert_eq!(tree.insert(&*pattern, ()), Ok(()));
                let path = pattern.replace("{{", "<").replace("}}", ">").replace("{*", "").replace(['{', '}'], "");
                let path = path.replace('<', "{").replace('>', "}");
                let found = tree.at(&path).expect("a path that has the names of parameters in their places");
                prop_assert!(found.params.iter().all(|(name, value)| name == value));
            }
        }
    }
}
