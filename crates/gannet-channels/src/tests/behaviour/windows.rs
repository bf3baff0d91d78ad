//! Events that leave together.

use super::*;

#[test]
fn events_of_one_window_leave_as_one_frame() {
    let mut world = World::new(Options {
        coalesce: Some(Duration::from_millis(20)),
        join_leave: true,
        presence: true,
        ..Options::default()
    });
    world.join(0, "ada", Subscribe::default());
    let wants = Subscribe { join_leave: true, ..Subscribe::default() };
    world.join(0, "bob", wants);
    world.publish("1");
    world.publish("2");
    assert!(world.deliver_at(0, later(1)).is_empty());
    world.join(0, "mid", Subscribe::default());
    world.publish("3");
    assert!(world.deliver_at(0, later(19)).is_empty());
    assert_eq!(world.rosters[0].next_due(), Some(later(20)), "the end of the window, for all channels alike");
    assert_eq!(
        world.deliver_at(0, later(20)),
        ["ada: [1, 2, 3]", "bob: [+bob, 1, 2, +mid, 3]", "mid: 3"],
        "mid came in the middle of the window"
    );
    assert_eq!(world.rosters[0].next_due(), None);
    world.publish("4");
    world.deliver_at(0, later(21));
    assert_eq!(world.deliver_at(0, later(40)), ["ada: 4", "bob: 4", "mid: 4"]);
    let stats = world.space.stats().namespaces[0].clone();
    assert_eq!((stats.deliveries, stats.frames), (3 + 5 + 1 + 3, 6));
}

#[test]
fn a_joined_frame_is_encoded_once_for_all_subscribers_of_the_channel() {
    let mut world = World::new(Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() });
    for name in ["a", "b", "c"] {
        world.join(0, name, Subscribe::default());
    }
    for data in ["1", "2", "3", "4"] {
        world.publish(data);
    }
    struct Count(usize, usize);
    impl Sink<&'static str> for Count {
        fn push(&mut self, _: ClientKey, _: &mut &'static str, format: u8, delivery: &Arc<Delivery>) -> Pushed {
            delivery.wire(format, |_| {
                self.0 += 1;
                bytes::Bytes::new()
            });
            self.1 += 1;
            Pushed::Taken
        }
        fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}
        fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}
    }
    let mut count = Count(0, 0);
    world.rosters[0].deliver(&mut count, NOW, 100);
    world.rosters[0].deliver(&mut count, later(20), 100);
    assert_eq!((count.0, count.1), (1, 3), "four publications to three clients: three frames of the same bytes");
}

#[test]
fn a_full_window_leaves_before_its_time() {
    let mut world = World::with(
        Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() },
        Limits { batch_events: 2, ..Limits::default() },
        1,
    );
    world.join(0, "ada", Subscribe::default());
    for data in ["1", "2", "3"] {
        world.publish(data);
    }
    assert_eq!(world.deliver(0), ["ada: [1, 2]"]);
    assert_eq!(world.deliver_at(0, later(20)), ["ada: 3"]);
}
