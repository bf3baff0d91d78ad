//! Reading what is kept.

use super::*;

#[test]
fn a_history_is_read_in_both_directions() {
    let world = World::new(stream());
    for data in ["1", "2", "3", "4"] {
        world.publish(data);
    }
    let read = |limit: Option<usize>, since: Option<u64>, reverse: bool| -> Vec<u64> {
        let since = since.map(|offset| Since::new(offset, ""));
        let history = world.space.history("a1:x", &HistoryRequest { limit, since, reverse }, NOW).unwrap();
        assert_eq!(history.position.offset, 4);
        history.publications.iter().map(|publication| publication.offset).collect()
    };
    assert_eq!(read(None, None, false), [1, 2, 3, 4]);
    assert_eq!(read(Some(2), None, true), [4, 3]);
    assert_eq!(read(Some(0), None, false), [0u64; 0]);
    assert_eq!(read(Some(2), Some(1), false), [2, 3]);
    assert_eq!(read(None, Some(3), true), [2, 1]);
    let other = HistoryRequest { since: Some(Since::new(1, "other")), ..HistoryRequest::default() };
    assert_eq!(world.space.history("a1:x", &other, NOW).unwrap_err(), HistoryError::Unrecoverable);
    let position = world.space.history_remove("a1:x", NOW).unwrap();
    let empty = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap();
    assert_eq!((empty.publications.len(), empty.position), (0, position));
    assert_eq!(world.publish("5").offset, 5);
    let off = World::new(Options::default());
    assert_eq!(off.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap_err(), HistoryError::Off);
}

#[test]
fn channels_with_subscribers_are_listed_by_pattern() {
    let mut world = World::new(stream());
    let ada = world.join(0, "ada", Subscribe::default());
    world.rosters[0].subscribe(ada, "a1:yy", &Subscribe::default(), NOW).unwrap();
    world.space.publish("a1:only a history", Publish::new(""), NOW).unwrap();
    assert_eq!(world.space.channels(Some("*:x"), 9), [("a1:x".to_owned(), 1)]);
    assert_eq!((world.space.channels(None, 9).len(), world.space.channels(None, 1).len()), (2, 1));
    let mut channels: Vec<_> = world.rosters[0].channels(ada).collect();
    channels.sort_unstable();
    assert_eq!(channels, [("a1:x", false), ("a1:yy", false)]);
}
