//! What operators and subscriptions decide.

use super::*;

#[test]
fn overrides_of_a_subscription_win_over_its_namespace() {
    let mut world = World::new(Options { join_leave: true, ..stream() });
    let ada = world.connect(0, "ada");
    let overrides = Overrides {
        presence: Some(false),
        join_leave: Some(false),
        force_push_join_leave: Some(true),
        force_positioning: Some(true),
        force_recovery: None,
    };
    let subscribed = world.subscribe(0, ada, Subscribe { overrides, ..Subscribe::default() });
    assert_eq!((subscribed.positioned, subscribed.recoverable), (true, false));
    assert_eq!(world.space.presence("a1:x").unwrap().len(), 0);
    world.join(0, "bob", Subscribe::default());
    assert_eq!(world.deliver(0), ["ada: +bob"], "its own join was not told");
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_names() {
    let refused = |name: &str, options: Options| {
        let settings = Settings { namespaces: vec![Namespace::new(name, options)], ..Settings::default() };
        Space::new(settings, 1, 0).unwrap_err().to_string()
    };
    let recovery = Options { force_recovery: true, ..Options::default() };
    assert_eq!(refused("ab", recovery), r#"namespace "ab": force_recovery needs history_size and history_ttl"#);
    let half = Options { history_size: 1, ..Options::default() };
    assert_eq!(refused("ab", half), r#"namespace "ab": a history needs both history_size and history_ttl"#);
    assert!(refused("a", Options::default()).contains("at least two letters"));
    let twice = vec![Namespace::default(), Namespace::default()];
    let twice = Space::new(Settings { namespaces: twice, ..Settings::default() }, 1, 0);
    assert_eq!(twice.unwrap_err().to_string(), r#"namespace "" is configured twice"#);
    assert!(Space::new(Settings::default(), 0, 0).is_err());
}

#[test]
fn a_pattern_is_held_against_what_follows_the_namespace() {
    let pattern = ChannelPattern::new("^[0-9]+$").unwrap();
    let world = World::new(Options { channel_pattern: Some(pattern), ..Options::default() });
    assert_eq!(world.space.fits_pattern("a1:42"), Ok(true));
    assert_eq!(world.space.fits_pattern("$a1:x"), Ok(false));
}
