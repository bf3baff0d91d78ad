//! Each future of sessions says what dropping it loses, and is dropped by a test: by the text of the sources.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Which test drops which future.
const DROPPED: &[(&str, &str)] = &[
    ("Next", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("NextWith", "requests_that_were_not_read_survive_the_end_of_serving"),
    ("Sending", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("Flush", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("Within", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("First", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("Sleep", "a_session_whose_futures_are_dropped_at_every_await_loses_nothing"),
    ("Recv", "values_of_futures_that_are_dropped_come_once_or_not_at_all"),
    ("Send", "values_of_futures_that_are_dropped_come_once_or_not_at_all"),
    ("RemoteSend", "values_of_futures_that_are_dropped_come_once_or_not_at_all"),
    ("Offload", "a_result_that_nobody_waits_for_disturbs_no_other"),
    ("Connecting", "an_outbound_connection_loses_nothing_to_futures_that_are_dropped"),
    ("UpstreamNext", "an_outbound_connection_loses_nothing_to_futures_that_are_dropped"),
    ("UpstreamSending", "an_outbound_connection_loses_nothing_to_futures_that_are_dropped"),
    ("Draining", "a_drain_leaves_a_stream_open_and_is_heard_beside_it"),
    ("Both", "halves_that_are_dropped_at_every_await_lose_nothing"),
    ("Serve", "requests_that_were_not_read_survive_the_end_of_serving"),
    ("Call", "whatever_the_server_does_no_caller_gets_the_reply_of_another"),
];

/// The text of every source file of sessions.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).expect("a folder of this crate").map(|entry| entry.expect("an entry").path());
    let texts = entries.map(|path| {
        if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).expect("a file of this crate") }
    });
    texts.collect()
}

#[test]
fn every_future_says_what_dropping_it_loses_and_is_dropped_by_a_test() {
    let crate_sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let source = sources(&crate_sources.join("session"));
    let mut tests = sources(&crate_sources.join("conformance/sessions"));
    tests.push_str(&fs::read_to_string(crate_sources.join("conformance/streams.rs")).expect("it is there"));
    let futures: BTreeSet<&str> = source
        .split("Future for ")
        .skip(1)
        .map(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or(rest))
        .collect();
    let known: BTreeSet<&str> = DROPPED.iter().map(|(future, _)| *future).collect();
    assert_eq!(futures, known, "left: the futures of sessions; right: those that a test drops");
    for (_, test) in DROPPED {
        assert!(tests.contains(&format!("fn {test}<")), "there is no test {test}");
    }
    // What returns a future says in its documentation what dropping it means.
    let mut said = BTreeSet::new();
    let mut documentation = String::new();
    let lines: Vec<&str> = source.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        let line = line.trim();
        if line.starts_with("///") {
            documentation.push_str(line);
        } else if line.starts_with("pub fn ") {
            let head: String = lines[at..].iter().take_while(|line| !line.ends_with('}')).take(4).copied().collect();
            let head = head.split('{').next().unwrap_or(&head);
            if let Some((_, result)) = head.split_once("-> ") {
                let returned = result.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or(result);
                if futures.contains(returned) {
                    assert!(documentation.contains("# Cancel safety"), "{line} does not say what dropping loses");
                    said.insert(returned.to_owned());
                }
            }
            documentation.clear();
        } else if !line.starts_with("#[") {
            documentation.clear();
        }
    }
    let said: BTreeSet<&str> = said.iter().map(String::as_str).collect();
    assert_eq!(said, futures, "left: those that a public function with documentation returns");
}
