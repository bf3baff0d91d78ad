//! Who is there, comes and goes.

use super::*;

#[test]
fn subscribers_that_ask_for_it_learn_who_comes_and_goes() {
    let mut world = World::new(Options { join_leave: true, presence: true, ..Options::default() });
    let wants = || Subscribe { join_leave: true, ..Subscribe::default() };
    let ada = world.join(0, "ada", wants());
    world.join(0, "bob", Subscribe::default());
    assert_eq!(world.deliver(0), ["ada: +ada", "ada: +bob"], "bob did not ask");
    let eve = world.join(0, "eve", wants());
    world.rosters[0].disconnect(ada, NOW);
    world.rosters[0].unsubscribe(eve, "a1:x", NOW);
    assert_eq!(world.deliver(0), Vec::<String>::new(), "those who asked are gone");
    assert_eq!(world.space.presence_stats("a1:x"), Ok(PresenceStats { clients: 1, users: 1 }));
}

#[test]
fn a_roster_that_is_dropped_tells_the_others_that_its_clients_left() {
    let mut world = World::with(
        Options { join_leave: true, force_push_join_leave: true, presence: true, ..Options::default() },
        Limits::default(),
        2,
    );
    world.join(0, "ada", Subscribe::default());
    world.join(1, "bob", Subscribe::default());
    world.deliver(0);
    world.rosters.pop();
    assert_eq!(world.deliver(0), ["ada: -bob"]);
    assert_eq!(world.space.presence("a1:x").unwrap().len(), 1);
    // The reactor may begin anew, and gets nothing that was for the roster before.
    let mut again: Roster<&'static str> = Roster::new(&world.space, 1);
    world.publish("1");
    assert_eq!(again.deliver(&mut world.log, NOW, 10).pushed, 0);
}

#[test]
fn an_information_that_changes_is_seen_in_the_presence() {
    let mut world = World::new(stream());
    let ada = world.join(0, "ada", Subscribe::default());
    world.rosters[0]
        .subscribe(ada, "a1:y", &Subscribe { chan_info: Some("own".into()), ..Subscribe::default() }, NOW)
        .unwrap();
    assert!(world.rosters[0].set_conn_info(ada, Some("new".into())));
    for (channel, own) in [("a1:x", None), ("a1:y", Some(&b"own"[..]))] {
        let info = world.space.presence(channel).unwrap().remove(0);
        assert_eq!(info.conn_info().map(|info| &info[..]), Some(&b"new"[..]));
        assert_eq!(info.chan_info().map(|info| &info[..]), own);
    }
}

#[test]
fn clients_of_a_user_are_found_whichever_of_them_left() {
    let mut world = World::new(Options::default());
    let all: Vec<_> = (0..3).map(|_| world.connect(0, "ada")).collect();
    for (gone, left) in [(1, vec![all[2], all[0]]), (2, vec![all[0]]), (0, vec![])] {
        world.rosters[0].disconnect(all[gone], NOW);
        assert_eq!(world.rosters[0].clients_of("ada").collect::<Vec<_>>(), left);
        assert_eq!(world.space.stats().users, u64::from(!left.is_empty()));
    }
    assert_eq!(world.rosters[0].disconnect(all[0], NOW), None);
}
