//! Orders for clients, in order with publications.

use super::*;

#[test]
fn an_order_comes_after_what_was_published_before_it_and_before_the_rest() {
    let mut world =
        World::with(Options { coalesce: Some(Duration::from_millis(20)), ..Options::default() }, Limits::default(), 1);
    let ada = world.join(0, "ada", Subscribe::default());
    let bob = world.join(0, "bob", Subscribe::default());
    world.publish("1");
    let target = Target::User { user: "ada".into(), client: None, session: None };
    let order = Order::Unsubscribe { channel: "a1:x".into(), code: 2000, reason: "".into() };
    assert_eq!(world.space.order(target, order), Ok(1));
    world.publish("2");
    let delivered = world.rosters[0].deliver(&mut world.log, NOW, 100);
    assert_eq!(world.log.take(), ["ada: 1", "bob: 1"], "without waiting for the end of the window");
    let ordered = delivered.order.unwrap();
    assert_eq!((ordered.clients(), delivered.more), (&[ada][..], true));
    world.rosters[0].unsubscribe(ada, "a1:x", NOW);
    world.deliver(0);
    assert_eq!(world.deliver_at(0, later(20)), ["bob: 2"]);
    assert!(world.rosters[0].is_subscribed(bob, "a1:x"));
}

#[test]
fn an_order_for_a_user_reaches_its_clients_of_that_moment_alone() {
    let mut world = World::with(Options::default(), Limits::default(), 2);
    let one = world.connect(0, "ada");
    let two = world.connect(0, "ada");
    let three = world.connect(1, "ada");
    world.connect(0, "bob");
    let spared = world.rosters[0].id(two).unwrap();
    let target = Target::User { user: "ada".into(), client: None, session: None };
    let order = Order::Disconnect { code: 3503, reason: "".into(), except: vec![spared] };
    assert_eq!(world.space.order(target.clone(), order), Ok(3));
    world.connect(1, "ada");
    let ordered = |world: &mut World, reactor: usize| {
        let order = world.rosters[reactor].deliver(&mut world.log, NOW, 10).order;
        order.map(|order| order.clients().to_vec())
    };
    assert_eq!(ordered(&mut world, 0), Some(vec![one]));
    assert_eq!(ordered(&mut world, 1), Some(vec![three]), "the other one connected later");
    assert_eq!(ordered(&mut world, 1), None);
    let nobody = Target::User { user: "eve".into(), client: None, session: None };
    assert_eq!(world.space.order(nobody, Order::Custom(Arc::new(()))), Ok(0));
    let elsewhere = Target::User { user: "bob".into(), client: Some(spared), session: None };
    world.space.order(elsewhere, Order::Custom(Arc::new(()))).unwrap();
    assert_eq!(ordered(&mut world, 0), None, "the client is not bob's");
    world.space.order(Target::Client(spared), Order::Custom(Arc::new(()))).unwrap();
    assert_eq!(ordered(&mut world, 0), Some(vec![two]));
    world.rosters[0].disconnect(two, NOW);
    world.space.order(Target::Client(spared), Order::Custom(Arc::new(()))).unwrap();
    world.connect(0, "its successor in the same place");
    assert_eq!(ordered(&mut world, 0), None);
}
