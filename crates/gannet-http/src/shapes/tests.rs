use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// What has been found: which pattern, and its parameters.
type Found = Option<(u32, Vec<(String, String)>)>;

/// Patterns in both, and those that are: without what conflicts.
struct Both {
    shapes: Shapes,
    tree: matchit::Router<u32>,
    patterns: Vec<String>,
}

impl Both {
    fn of(candidates: Vec<String>) -> Self {
        let (mut tree, mut patterns) = (matchit::Router::new(), Vec::new());
        for pattern in candidates {
            if tree.insert(pattern.clone(), patterns.len() as u32).is_ok() {
                patterns.push(pattern);
            }
        }
        let shapes = shapes(&patterns).expect("all are simple");
        Self { shapes, tree, patterns }
    }

    fn by_shapes(&self, path: &str) -> Found {
        let (place, params) = self.shapes.at(path)?;
        let names = params.names.iter().map(|(name, _)| name.to_string());
        let params = names.map(|name| (params.get(&name).expect("it is there").to_owned(), name));
        Some((place, params.map(|(value, name)| (name, value)).collect()))
    }

    fn by_tree(&self, path: &str) -> Found {
        let found = self.tree.at(path).ok()?;
        Some((*found.value, found.params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

fn shapes<P: AsRef<str>>(patterns: &[P]) -> Option<Shapes> {
    Shapes::of(&(0..).zip(patterns.iter().map(P::as_ref)).collect::<Vec<_>>())
}

fn found(patterns: &[&'static str], path: &str) -> Option<&'static str> {
    let shapes = shapes(patterns).expect("they are simple");
    shapes.at(path).map(|(place, _)| patterns[place as usize])
}

fn joined(segments: Vec<&str>) -> String {
    segments.iter().flat_map(|segment| ["/", segment]).collect()
}

/// A pattern, where the names of parameters say their segments.
fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(select(vec!["", "a", "b", "ab", "abcdefgh", "ü", "{"]), 1..4).prop_map(|segments| {
        let names = ["{p}", "{q}", "{r}"];
        joined(segments.into_iter().zip(names).map(|(text, name)| if text == "{" { name } else { text }).collect())
    })
}

fn path() -> impl Strategy<Value = String> {
    let known = select(vec!["", "a", "b", "ab", "abc", "abcdefgh", "ü", "{", "%2F"]);
    prop_oneof![
        9 => prop::collection::vec(known, 0..5).prop_map(joined),
        1 => "[/ab*]{0,12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn they_find_what_the_tree_finds(
        patterns in prop::collection::vec(pattern(), 1..40),
        paths in prop::collection::vec(path(), 1..40),
    ) {
        let both = Both::of(patterns);
        for path in paths.iter().chain(&both.patterns) {
            prop_assert_eq!(both.by_shapes(path), both.by_tree(path), "{:?} in {:?}", path, both.patterns);
        }
    }

    #[test]
    fn slashes_are_found_wherever_they_are(text in "/[/a.0\u{af}]{0,40}") {
        let expected: Vec<usize> = text.match_indices('/').map(|(at, _)| at).chain([text.len()]).collect();
        match Cuts::of(&text) {
            Some(cuts) => {
                prop_assert_eq!(cuts.segments + 1, expected.len());
                prop_assert!(cuts.at.iter().map(|&at| at as usize).zip(&expected).all(|(at, &known)| at == known));
            }
            None => prop_assert!(expected.len() > SEGMENTS + 1),
        }
    }
}

#[test]
fn each_of_many_routes_is_found_and_their_neighbours_are_not() {
    let of = |route: usize, user: &str, page: &str| {
        let part = ["posts", "files", "likes"][route % 3];
        format!("/v1/resource-{:03}/{user}/{part}/{page}", route / 3)
    };
    let both = Both::of((0..900).map(|route| of(route, "{user}", "{page}")).collect());
    assert_eq!(both.shapes.shapes.len(), 1);
    assert_eq!(both.shapes.names.len(), 1, "the same names are kept once");
    for route in 0..900 {
        let path = of(route, "7", "x");
        let (place, params) = both.shapes.at(&path).expect("it is there");
        assert_eq!(place as usize, route);
        assert_eq!(["user", "page", "none"].map(|name| params.get(name)), [Some("7"), Some("x"), None]);
        assert!(both.shapes.at(&of(route, "", "x")).is_none());
        assert!(both.shapes.at(&of(route, "7", "")).is_none());
    }
    assert!(both.shapes.at(&of(900, "7", "x")).is_none());
}

#[test]
fn what_is_fixed_goes_first_where_patterns_differ_first() {
    let patterns = ["/{a}/b", "/a/{b}", "/{a}/{b}", "/a/c"];
    assert_eq!(found(&patterns, "/a/b"), Some("/a/{b}"));
    assert_eq!(found(&patterns, "/x/b"), Some("/{a}/b"));
    assert_eq!(found(&patterns, "/a/c"), Some("/a/c"));
    assert_eq!(found(&patterns, "/x/y"), Some("/{a}/{b}"));
    assert_eq!(found(&patterns, "/x/"), None);
    assert_eq!(found(&patterns, "a/c"), None);
}

#[test]
fn what_is_fixed_is_not_moved_from_one_side_of_a_parameter_to_the_other() {
    let patterns = ["/a/{x}/b/c", "/{x}/ab/{y}"];
    assert_eq!(found(&patterns, "/a/b/b/c"), Some("/a/{x}/b/c"));
    assert_eq!(found(&patterns, "/a/b/{x}/c"), None);
    assert_eq!(found(&patterns, "/1/a/2"), None);
}

#[test]
fn patterns_that_are_not_simple_or_have_too_many_segments_or_shapes_are_left_to_the_tree() {
    for pattern in ["/{*all}", "/{name}.txt", "/v{n}", "/{{x}}", "/{a}{b}", "/{{", "relative"] {
        assert!(shapes(&["/simple", pattern]).is_none(), "{pattern}");
    }
    assert!(shapes(&["/a".repeat(SEGMENTS)]).is_some());
    assert!(shapes(&["/a".repeat(SEGMENTS + 1)]).is_none());
    let segment = |is_fixed: bool| if is_fixed { "/a" } else { "/{p}" };
    let pattern = |bits: usize| (0..4).map(|bit| segment(bits >> bit & 1 == 0)).collect::<String>();
    let patterns: Vec<String> = (0..=SHAPES).map(pattern).collect();
    assert!(shapes(&patterns[1..]).is_some());
    assert!(shapes(&patterns).is_none());
}
