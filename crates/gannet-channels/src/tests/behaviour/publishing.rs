//! What comes with a publication, and what it leaves behind.

use super::*;

#[test]
fn publishing_with_a_known_key_returns_the_first_position_and_publishes_nothing() {
    let mut world = World::new(stream());
    world.join(0, "ada", Subscribe::default());
    let publish = |data: &'static str| Publish { idempotency_key: Some("k".into()), ..Publish::new(data) };
    let first = world.space.publish("a1:x", publish("1"), NOW).unwrap();
    assert_eq!(world.space.publish("a1:x", publish("2"), later(299_999)), Ok(first));
    assert_eq!(world.deliver(0), ["ada: 1 1"]);
    world.space.publish("a1:y", publish("of another channel"), NOW).unwrap();
    assert!(!world.space.tick(later(300_000)));
    let after = world.space.publish("a1:x", publish("3"), later(300_000)).unwrap();
    assert_eq!((after.offset, world.deliver(0)), (2, vec!["ada: 2 3".to_owned()]));
    assert_eq!(world.space.stats().namespaces[0].duplicates, 1);
}

#[test]
fn tags_and_the_publishing_client_arrive_with_the_publication() {
    let mut world = World::new(Options::default());
    let ada = world.connect(0, "ada");
    let own = Subscribe { chan_info: Some("here".into()), ..Subscribe::default() };
    world.subscribe(0, ada, own);
    let info = world.rosters[0].info(ada, "a1:x").unwrap();
    assert_eq!((info.user(), info.chan_info().unwrap().as_ref()), ("ada", &b"here"[..]));
    assert!(world.rosters[0].info(ada, "a1:y").unwrap().chan_info().is_none());
    let tags = vec![("k".to_owned(), "v".to_owned())];
    world.space.publish("a1:x", Publish { info: Some(info), tags, ..Publish::new("1") }, NOW).unwrap();
    struct Check(bool);
    impl Sink<&'static str> for Check {
        fn push(&mut self, _: ClientKey, _: &mut &'static str, _: u8, delivery: &Arc<Delivery>) -> Pushed {
            let Event::Publication(publication) = delivery.event() else { panic!("{delivery:?}") };
            assert_eq!(publication.tags, [("k".to_owned(), "v".to_owned())]);
            assert_eq!(publication.info.as_ref().unwrap().user(), "ada");
            self.0 = true;
            Pushed::Taken
        }
        fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}
        fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}
    }
    let mut check = Check(false);
    world.rosters[0].deliver(&mut check, NOW, 10);
    assert!(check.0);
}

#[test]
fn a_publication_that_skips_the_history_has_no_offset_and_is_no_gap() {
    let mut world = World::new(stream());
    world.join(0, "ada", positioned());
    world.publish("1");
    let skip = Publish { skip_history: true, ..Publish::new("between") };
    assert_eq!(world.space.publish("a1:x", skip, NOW), Ok(Position::default()));
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: 1 1", "ada: between", "ada: 2 2"]);
    let history = world.space.history("a1:x", &HistoryRequest::default(), NOW).unwrap();
    assert_eq!(history.publications.len(), 2);
}
