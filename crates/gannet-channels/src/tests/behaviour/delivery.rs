//! Publications on their way to the subscribers of the moment.

use super::*;

#[test]
fn subscribers_on_all_reactors_receive_a_publication() {
    let mut world = World::with(Options::default(), Limits::default(), 2);
    world.join(0, "ada", Subscribe::default());
    world.join(1, "bob", Subscribe::default());
    world.publish("hello");
    assert_eq!(world.deliver(0), ["ada: hello"]);
    assert_eq!(world.deliver(1), ["bob: hello"]);
}

#[test]
fn a_subscriber_gets_nothing_that_was_published_before_it_subscribed() {
    let mut world = World::new(Options::default());
    world.join(0, "ada", Subscribe::default());
    world.publish("1");
    world.join(0, "bob", Subscribe::default());
    world.publish("2");
    assert_eq!(world.deliver(0), ["ada: 1", "ada: 2", "bob: 2"]);
}

/// Counts the subscribers before each delivery that has passed.
#[derive(Default)]
struct Passed {
    pushed: usize,
    passed: Vec<usize>,
}

impl Sink<&'static str> for Passed {
    fn push(&mut self, _: ClientKey, _: &mut &'static str, _: u8, _: &Arc<Delivery>) -> Pushed {
        self.pushed += 1;
        Pushed::Taken
    }

    fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}

    fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}

    fn passed(&mut self, _: &Delivery) {
        self.passed.push(self.pushed);
    }
}

#[test]
fn a_delivery_has_passed_once_when_its_last_subscriber_has_it_however_often_the_walk_paused() {
    for coalesce in [None, Some(Duration::from_millis(20))] {
        let mut world = World::new(Options { coalesce, ..Options::default() });
        for _ in 0..7 {
            world.join(0, "ada", Subscribe::default());
        }
        world.publish("1");
        if coalesce.is_none() {
            world.publish("2");
        }
        let mut sink = Passed::default();
        // It pauses after three subscribers, and after six.
        for now in [NOW, later(20)] {
            while world.rosters[0].deliver(&mut sink, now, 3).more {}
        }
        assert_eq!(sink.passed, if coalesce.is_none() { vec![7, 14] } else { vec![7] });
    }
}

/// A wire format, and how many deliveries were encoded in each.
#[derive(Default)]
struct Encoder {
    encoded: [usize; 2],
    sent: usize,
}

impl Sink<&'static str> for Encoder {
    fn push(&mut self, _: ClientKey, _: &mut &'static str, format: u8, delivery: &Arc<Delivery>) -> Pushed {
        delivery.wire(format, |_| {
            self.encoded[usize::from(format)] += 1;
            "bytes".into()
        });
        self.sent += 1;
        Pushed::Taken
    }

    fn gap(&mut self, _: ClientKey, _: &mut &'static str, _: &str, _: bool) {}

    fn slow(&mut self, _: ClientKey, _: &mut &'static str) {}
}

#[test]
fn a_publication_is_encoded_once_for_each_wire_format_on_all_reactors_together() {
    let mut world = World::with(Options::default(), Limits::default(), 2);
    for reactor in 0..2 {
        for format in [0, 1, 0, 1, 1] {
            let connect = Connect { user: "ada".into(), conn_info: None, format, value: "ada" };
            let client = world.rosters[reactor].connect(connect).unwrap().0;
            world.subscribe(reactor, client, Subscribe::default());
        }
    }
    world.publish("1");
    let mut sink = Encoder::default();
    for roster in &mut world.rosters {
        while roster.deliver(&mut sink, NOW, 100).more {}
    }
    assert_eq!((sink.encoded, sink.sent), ([1, 1], 10));
}

#[test]
fn a_client_that_unsubscribed_and_subscribed_again_gets_only_what_came_since() {
    let mut world = World::new(Options::default());
    let ada = world.join(0, "ada", Subscribe::default());
    world.publish("1");
    assert!(world.rosters[0].unsubscribe(ada, "a1:x", NOW));
    assert!(!world.rosters[0].unsubscribe(ada, "a1:x", NOW));
    world.publish("2");
    world.subscribe(0, ada, Subscribe::default());
    world.publish("3");
    assert_eq!(world.deliver(0), ["ada: 3"]);
}

#[test]
fn the_place_of_a_channel_that_another_one_took_over_is_not_confused_with_it() {
    let mut world = World::new(Options::default());
    let ada = world.join(0, "ada", Subscribe::default());
    world.publish("of x");
    world.rosters[0].unsubscribe(ada, "a1:x", NOW);
    world.rosters[0].subscribe(ada, "a1:y", &Subscribe::default(), NOW).unwrap();
    world.space.publish("a1:y", Publish::new("of y"), NOW).unwrap();
    assert_eq!(world.deliver(0), ["ada: of y"]);
}
