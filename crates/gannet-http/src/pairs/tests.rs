use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(default, deny_unknown_fields)]
struct Search<'a> {
    #[serde(borrow)]
    q: Cow<'a, str>,
    page: Option<u32>,
    tag: Vec<String>,
    order: Order,
    exact: bool,
}

#[derive(Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Up,
    Down,
}

fn form<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    let pairs = Pairs::of_form(text).map_err(str::to_owned)?;
    pairs.read().map_err(|Fault { field, why }| format!("{field}: {why}"))
}

#[test]
fn values_have_the_types_of_the_fields_with_their_names() {
    let search: Search<'_> = form("tag=a+b&q=x%26y&tag=c&page=7&order=down&exact=true").expect("it fits");
    let tag = vec!["a b".to_owned(), "c".to_owned()];
    assert_eq!(search, Search { q: "x&y".into(), page: Some(7), tag, order: Order::Down, exact: true });
    assert_eq!(form::<Search<'_>>(""), Ok(Search::default()));
    assert_eq!(form::<Search<'_>>("&&tag=&"), Ok(Search { tag: vec![String::new()], ..Search::default() }));
    let map: HashMap<u8, Vec<f32>> = form("1=2.5&2=3&1=4").expect("it fits");
    assert_eq!(map, [(1, vec![2.5, 4.0]), (2, vec![3.0])].into());
}

#[test]
fn what_does_not_fit_names_its_field() {
    for (text, why) in [
        ("page=x", "page: invalid value: string \"x\", expected u32"),
        ("page=-1", "page: invalid value: string \"-1\", expected u32"),
        ("page=1&page=2", "page: given 2 times, where one is expected"),
        ("order=left", "order: unknown variant `left`, expected `up` or `down`"),
        ("exact=1", "exact: invalid value: string \"1\", expected a boolean"),
        ("other=1", ": unknown field `other`, expected one of `q`, `page`, `tag`, `order`, `exact`"),
        ("q=%zz", "its percent-encoding is no text"),
        ("%ff=1", "its percent-encoding is no text"),
    ] {
        assert_eq!(form::<Search<'_>>(text), Err(why.to_owned()), "{text}");
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Needs {
        id: u32,
    }
    assert_eq!(form::<Needs>("ID=1"), Err(": missing field `id`".to_owned()));
    assert!(form::<BTreeMap<String, String>>(&"a&".repeat(MOST + 1)).is_err());
    assert!(form::<BTreeMap<String, Vec<String>>>(&"a&".repeat(MOST)).is_ok());
}

proptest! {
    #[test]
    fn what_another_program_has_encoded_is_read_as_it_was(values in prop::collection::btree_map(".*", ".*", 0..6)) {
        let encode = |text: &String| -> String { text.bytes().map(|byte| format!("%{byte:02x}")).collect() };
        let pairs = values.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
        let text = pairs.collect::<Vec<_>>().join("&");
        prop_assert_eq!(form::<BTreeMap<String, String>>(&text), Ok(values));
    }

    #[test]
    fn nothing_that_comes_panics(text in ".{0,40}") {
        let _ = form::<Search<'_>>(&text);
        let _ = form::<(u32, String)>(&text);
        let _ = form::<Vec<bool>>(&text);
        let _ = form::<Option<char>>(&text);
    }
}
