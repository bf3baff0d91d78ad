//! What the tap sees.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::{HistoryRequest, Namespace, Options, Publish, Settings, Space, Time};

type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// A space with the namespaces `open` and `plain`, and with what its tap has seen.
fn tapped(history_size: usize) -> (Arc<Space>, Seen) {
    let history_ttl = Duration::from_secs(if history_size > 0 { 60 } else { 0 });
    let plain = Options { history_size, history_ttl, ..Options::default() };
    let open = Options { redis: true, ..plain.clone() };
    let namespaces = vec![Namespace::new("open", open), Namespace::new("plain", plain)];
    let settings = Settings { namespaces, ..Settings::default() };
    let space = Space::new(settings, 1, 7).expect("settings that work");
    let seen = Seen::default();
    let tap = Arc::clone(&seen);
    space.set_tap(Box::new(move |channel, data| {
        let data = String::from_utf8(data.to_vec()).expect("text");
        tap.lock().expect("no panic").push((channel.to_owned(), data));
    }));
    (space, seen)
}

fn data(seen: &Seen) -> Vec<String> {
    seen.lock().expect("no panic").iter().map(|(_, data)| data.clone()).collect()
}

#[test]
fn the_tap_sees_each_publication_of_an_open_namespace_once_and_of_others_none() {
    for history_size in [0, 10] {
        let (space, seen) = tapped(history_size);
        let keyed = || Publish { idempotency_key: Some("k".to_owned()), ..Publish::new("2") };
        let passing = Publish { skip_history: true, ..Publish::new("3") };
        for publish in [Publish::new("1"), keyed(), keyed(), passing] {
            space.publish("open:a", publish, Time(1)).expect("published");
        }
        space.publish("plain:a", Publish::new("4"), Time(1)).expect("published");
        let large = vec![b'1'; space.limits().publication + 1];
        space.publish("open:a", Publish::new(large), Time(1)).expect_err("too large");
        assert_eq!(data(&seen), ["1", "2", "3"]);
        assert_eq!(seen.lock().expect("no panic")[0].0, "open:a");
    }
}

#[test]
fn the_tap_sees_publications_of_many_threads_in_the_order_of_their_offsets() {
    const EACH: usize = 500;
    let (space, seen) = tapped(4 * EACH);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let space = &space;
            scope.spawn(move || {
                for number in 0..EACH {
                    let publish = Publish::new(format!("{thread}-{number}"));
                    space.publish("open:a", publish, Time(1)).expect("published");
                }
            });
        }
    });
    let history = space.history("open:a", &HistoryRequest { limit: None, since: None, reverse: false }, Time(1));
    let publications = history.expect("a history").publications;
    let kept: Vec<_> = publications.iter().map(|own| String::from_utf8(own.data.to_vec()).expect("text")).collect();
    assert_eq!(kept.len(), 4 * EACH);
    assert_eq!(data(&seen), kept);
}
