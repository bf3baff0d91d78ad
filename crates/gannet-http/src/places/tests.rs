use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Patterns, how they are searched, and a tree of all that says what is right.
struct Both {
    places: Places,
    tree: matchit::Router<u32>,
    patterns: Vec<String>,
}

impl Both {
    /// Of all that do not conflict.
    fn of<P: AsRef<str>>(candidates: &[P]) -> Self {
        let (mut tree, mut patterns) = (matchit::Router::new(), Vec::new());
        for pattern in candidates.iter().map(AsRef::as_ref) {
            if tree.insert(pattern, patterns.len() as u32).is_ok() {
                patterns.push(pattern.to_owned());
            } else {
                // What was refused may have left something there.
                tree = super::tree(&numbered(&patterns)).expect("they were taken before");
            }
        }
        let places = Places::of(numbered(&patterns), tree.clone());
        Self { places, tree, patterns }
    }

    /// Compares what is found, and gives the pattern.
    #[track_caller]
    fn find(&self, path: &str) -> Option<&str> {
        const NAMES: [&str; 4] = ["p", "q", "r", "none"];
        let (found, expected) = (self.places.at(path), self.tree.at(path).ok());
        let found = found.map(|(place, params)| (place, NAMES.map(|name| params.get(name))));
        let expected = expected.map(|found| (*found.value, NAMES.map(|name| found.params.get(name))));
        assert_eq!(found, expected, "{path} in {:?}", self.patterns);
        found.map(|(place, _)| &*self.patterns[place as usize])
    }

    /// Those that are in tables.
    fn in_tables(&self) -> Vec<&str> {
        let Some(shapes) = &self.places.shapes else { return Vec::new() };
        let found = |&(place, pattern): &(u32, &str)| shapes.at(pattern).is_some_and(|(found, _)| found == place);
        numbered(&self.patterns).into_iter().filter(found).map(|(_, pattern)| pattern).collect()
    }
}

fn numbered(patterns: &[String]) -> Vec<(u32, &str)> {
    (0..).zip(patterns.iter().map(String::as_str)).collect()
}

/// A pattern of few that often overlap, where the names of parameters say their segments.
fn pattern() -> impl Strategy<Value = String> {
    let simple = select(vec!["a", "a", "a", "b", "b", "b", "ab", "", "{}", "{}", "{}", "{}", "{}", "{}"]);
    let affixed = select(vec!["{}a", "{}b", "{}ab", "a{}", "b{}", "ab{}", "a{}b", "{{", "a}}"]);
    let segment = prop_oneof![12 => simple, 1 => affixed];
    let rest = select(vec!["", "", "", "", "", "", "", "/{*r}", "/a{*r}"]);
    (prop::collection::vec(segment, 1..4), rest).prop_map(|(segments, rest)| {
        let segments = if rest.is_empty() { &segments } else { &segments[..segments.len() - 1] };
        let named = segments.iter().zip(["{p}", "{q}", "{r}"]).map(|(text, name)| text.replace("{}", name));
        named.flat_map(|segment| ["/".to_owned(), segment]).collect::<String>() + rest
    })
}

/// All paths of up to three of these segments, longer ones, and what is none.
fn paths() -> Vec<String> {
    let mut paths = vec!["/a/b/a/b".to_owned(), "/a".repeat(20), "*".to_owned(), String::new()];
    let mut longest = vec![String::new()];
    for _ in 0..3 {
        let longer = |path: &String| ["", "a", "b", "ab", "bab", "{"].map(|segment| format!("{path}/{segment}"));
        longest = longest.iter().flat_map(longer).collect();
        paths.extend_from_slice(&longest);
    }
    paths
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]
    #[test]
    fn tables_and_tree_together_find_what_a_tree_of_all_patterns_finds(patterns in prop::collection::vec(pattern(), 1..12)) {
        let both = Both::of(&patterns);
        for path in paths().iter().chain(&both.patterns) {
            both.find(path);
        }
    }
}

#[test]
fn a_catch_all_and_an_affixed_parameter_leave_hundreds_of_simple_patterns_in_the_tables() {
    let of = |route: usize, user: &str| format!("/v1/resource-{route:03}/{user}");
    let mut patterns: Vec<String> = (0..300).map(|route| of(route, "{p}")).collect();
    patterns.extend(["/static/{*p}", "/{p}.txt", "/{p}"].map(str::to_owned));
    let both = Both::of(&patterns);
    assert_eq!(both.in_tables(), patterns[..300]);
    let paths =
        (0..300).map(|route| of(route, "7")).chain(["/static/a/b", "/robots.txt", "/robots"].map(str::to_owned));
    for (path, pattern) in paths.zip(&patterns) {
        assert_eq!(both.find(&path), Some(&**pattern));
    }
    assert_eq!(both.find("/v1/resource-300/7"), None);
    assert_eq!(both.find(&format!("/static{}", "/a".repeat(20))), Some("/static/{*p}"));
}

#[test]
fn simple_patterns_are_in_the_tree_exactly_where_one_there_may_come_before_them() {
    for (patterns, in_tables) in [
        // What is fixed comes first, and all that cannot match the same is by itself.
        (&["/{*p}", "/", "/a", "/a/{q}"][..], &["/", "/a", "/a/{q}"][..]),
        (&["/a/{*q}", "/{p}", "/{p}/b", "/a/", "/{p}/{q}/{r}"], &["/{p}", "/a/"]),
        (&["/{p}.txt", "/a.txt", "/{p}", "/{p}/b"], &["/a.txt", "/{p}/b"]),
        (&["/{p}.txt/a", "/{p}/b", "/{p}"], &["/{p}"]),
        (&["/a{p}", "/ab", "/{p}"], &["/ab"]),
        (&["/a/{q}.txt", "/{p}/{q}", "/{p}/b", "/{p}"], &["/{p}"]),
        (&["/a{*p}", "/ab/c", "/{p}/c"], &["/ab/c"]),
        (&["/{p}/b/{*r}", "/b/{q}/{r}"], &["/b/{q}/{r}"]),
        // The second goes because of the first, and the third because of the second.
        (&["/a/b/{r}.txt", "/a/{q}/{r}", "/{p}/d/{r}"], &[]),
        (&["/x/b/{r}.txt", "/a/{q}/{r}", "/{p}/d/{r}"], &["/a/{q}/{r}", "/{p}/d/{r}"]),
    ] {
        let both = Both::of(patterns);
        assert_eq!(both.patterns, patterns, "none conflicts");
        assert_eq!(both.in_tables(), in_tables);
    }
}

#[test]
fn where_patterns_have_too_many_shapes_all_are_in_the_tree() {
    let segment = |is_fixed: bool| if is_fixed { "/a" } else { "/{p}" };
    let pattern = |bits: usize| (0..4).map(|bit| segment(bits >> bit & 1 == 0)).collect::<String>();
    let both = Both::of(&(0..16).map(pattern).collect::<Vec<_>>());
    assert_eq!(both.in_tables(), [""; 0]);
    for bits in 0..16 {
        assert_eq!(both.find(&pattern(bits).replace("{p}", "b")), Some(&*pattern(bits)));
    }
}

#[test]
fn where_a_tree_would_not_take_some_patterns_without_the_others_all_are_in_it() {
    let both = Both::of(&["/b", "/{p}b", "/b{p}"]);
    assert_eq!((both.patterns.len(), both.in_tables()), (3, vec![]));
    for (path, pattern) in [("/b", "/b"), ("/ab", "/{p}b"), ("/ba", "/b{p}"), ("/bab", "/b{p}")] {
        assert_eq!(both.find(path), Some(pattern));
    }
}

#[test]
fn patterns_that_are_too_long_for_tables_are_in_the_tree() {
    let (deep, long) = ("/a".repeat(17), format!("/{}", "a".repeat(70_000)));
    let both = Both::of(&["/a", &deep, &long]);
    assert_eq!(both.in_tables(), ["/a"]);
    for path in ["/a", &deep, &long] {
        assert_eq!(both.find(path), Some(path));
    }
}
