//! Channels: which there are, and what is in one.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gannet_channels::{HistoryRequest, Options, Publication, RecoveryMode, Since, SlowPolicy, Space, Time, split_name};
use gannet_http::Cx;
use serde_json::{Map, Value, json};

use crate::api::client_info;
use crate::clock::time_of_day;
use crate::gateway::Gateway;

/// Channels that a search looks at, of those that match; and those of them that it answers with.
const LOOKED_AT: usize = 20_000;
const MOST_CHANNELS: usize = 200;

/// Clients in an answer. Where more are present than can be looked at, only their number is told.
const MOST_PRESENT: usize = 100;
const PRESENT_LOOKED_AT: u32 = 10_000;

/// Publications in an answer, and bytes of each. The rest is to be had by the server API.
const MOST_PUBLICATIONS: usize = 25;
const MOST_BYTES: usize = 4_096;

/// Answers with the channels that match `?q=`: a pattern with `*` and `?`, or a part of a name.
pub(super) fn search(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let query = cx.query_value("q").unwrap_or_default().into_owned();
    let gateway = gateway.clone();
    // The names of a million channels take longer than a turn should.
    cx.offload(move || found(gateway.space(), &query), |value, reply| super::json(reply, &value));
}

fn found(space: &Space, query: &str) -> Value {
    let pattern = pattern(query);
    let mut channels = space.channels(pattern.as_deref(), LOOKED_AT + 1);
    let is_more = channels.len() > MOST_CHANNELS;
    // Names without a bound would be slow to sort, but there are at most so many.
    channels.sort_by(|(name, clients), (other, others)| others.cmp(clients).then_with(|| name.cmp(other)));
    let total = channels.len().min(LOOKED_AT);
    channels.truncate(MOST_CHANNELS);
    let channels: Vec<Value> =
        channels.into_iter().map(|(name, clients)| json!({ "channel": name, "clients": clients })).collect();
    json!({ "channels": channels, "more": is_more, "total": total, "counted": total < LOOKED_AT })
}

/// The pattern that a search means.
fn pattern(query: &str) -> Option<Cow<'_, str>> {
    match query.trim() {
        "" => None,
        pattern if pattern.contains(['*', '?']) => Some(pattern.into()),
        part => Some(format!("*{part}*").into()),
    }
}

/// Answers with everything about the channel `?name=`, with the publications before `?before=`.
pub(super) fn inspect(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let name = cx.query_value("name").unwrap_or_default().into_owned();
    let before = cx.query_value("before").and_then(|before| before.parse().ok());
    let gateway = gateway.clone();
    cx.offload(
        move || inside(gateway.space(), &name, before, time_of_day()),
        |inside, reply| match inside {
            Ok(value) => super::json(reply, &value),
            Err(why) => reply.refuse(404, &format!("{why}\n")),
        },
    );
}

fn inside(space: &Space, name: &str, before: Option<u64>, now: Time) -> Result<Value, String> {
    let options = space.options(name).map_err(|error| error.to_string())?;
    let mut map = Map::new();
    map.insert("channel".to_owned(), name.into());
    map.insert("namespace".to_owned(), split_name(name).0.into());
    map.insert("options".to_owned(), words(&options).into());
    map.insert("clients".to_owned(), space.subscribers(name).map_err(|error| error.to_string())?.into());
    if options.presence {
        map.insert("presence".to_owned(), present(space, name));
    }
    if options.has_history() {
        map.insert("history".to_owned(), history(space, name, before, now));
    }
    Ok(map.into())
}

/// Who is there. The users are counted over all of them.
fn present(space: &Space, name: &str) -> Value {
    let stats = space.presence_stats(name).unwrap_or_default();
    let mut clients = if stats.clients > PRESENT_LOOKED_AT { None } else { space.presence(name).ok() };
    if let Some(clients) = &mut clients {
        clients.sort_by(|one, other| one.user().cmp(other.user()));
        clients.truncate(MOST_PRESENT);
    }
    let clients = clients.map(|clients| clients.iter().map(|info| client_info(info)).collect::<Vec<_>>());
    json!({ "clients": stats.clients, "users": stats.users, "list": clients })
}

/// The newest publications, or those before an offset.
fn history(space: &Space, name: &str, before: Option<u64>, now: Time) -> Value {
    let read = |since| {
        let request = HistoryRequest { limit: Some(MOST_PUBLICATIONS), since, reverse: true };
        space.history(name, &request, now)
    };
    // Where a stream begins anew meanwhile, it is shown from its end.
    let read_before = |offset| {
        let epoch = read(None)?.position.epoch.to_string();
        read(Some(Since::new(offset, epoch)))
    };
    match before.map_or_else(|| read(None), read_before) {
        Ok(history) => json!({
            "offset": history.position.offset,
            "epoch": history.position.epoch.to_string(),
            "more": history.publications.len() == MOST_PUBLICATIONS,
            "publications": history.publications.iter().map(|own| publication(own)).collect::<Vec<_>>(),
        }),
        Err(error) => json!({ "error": error.to_string() }),
    }
}

/// A publication as text: of a long one its beginning.
fn publication(own: &Publication) -> Value {
    let kept = &own.data[..own.data.len().min(MOST_BYTES)];
    let (text, is_base64) = match std::str::from_utf8(kept) {
        Ok(text) => (text.to_owned(), false),
        // A character may be cut.
        Err(error) if kept.len() - error.valid_up_to() < 4 && kept.len() < own.data.len() => {
            (String::from_utf8_lossy(&kept[..error.valid_up_to()]).into_owned(), false)
        }
        Err(_) => (STANDARD.encode(kept), true),
    };
    let mut map = Map::new();
    map.insert("offset".to_owned(), own.offset.into());
    map.insert("time".to_owned(), own.time.0.into());
    map.insert("bytes".to_owned(), own.data.len().into());
    map.insert("text".to_owned(), text.into());
    map.insert("base64".to_owned(), is_base64.into());
    map.insert("cut".to_owned(), (kept.len() < own.data.len()).into());
    if let Some(info) = &own.info {
        map.insert("client".to_owned(), info.client().to_string().into());
        map.insert("user".to_owned(), info.user().into());
    }
    if !own.tags.is_empty() {
        let tags = own.tags.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        map.insert("tags".to_owned(), Value::Object(tags));
    }
    map.into()
}

/// What applies to a channel, in words.
fn words(options: &Options) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |applies: bool, word: &str| {
        if applies {
            words.push(word.to_owned());
        }
    };
    add(options.presence, "presence");
    add(options.force_push_join_leave, "join and leave events to all");
    add(options.join_leave && !options.force_push_join_leave, "join and leave events");
    if options.has_history() {
        add(true, &format!("history of {} for {}", options.history_size, time(options.history_ttl)));
    }
    let cache = matches!(options.recovery_mode, RecoveryMode::Cache);
    add(options.force_recovery && !cache, "recovery");
    add(options.allow_recovery && !options.force_recovery && !cache, "recovery on demand");
    add(options.force_recovery && cache, "last value on subscribing");
    add(options.allow_recovery && !options.force_recovery && cache, "last value on demand");
    add(options.force_positioning && !options.force_recovery, "positioning");
    add(options.allow_positioning && !options.force_positioning && !options.force_recovery, "positioning on demand");
    add(matches!(options.slow, SlowPolicy::Drop), "slow subscribers miss publications");
    add(matches!(options.slow, SlowPolicy::LatestOnly), "slow subscribers get the latest only");
    if let Some(delay) = options.coalesce {
        add(true, &format!("collected for {}", time(delay)));
    }
    add(options.redis, "reachable by Redis");
    words
}

/// A time in the largest unit in which it is whole.
fn time(time: Duration) -> String {
    let ms = time.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1_000, "s"), (1, "ms")];
    let (unit, name) = units.into_iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)).unwrap_or((1, "ms"));
    format!("{} {name}", ms / unit)
}

#[cfg(test)]
mod tests {
    use gannet_channels::Publish;

    use super::*;
    use crate::settings::Settings;

    const NOW: Time = Time(1_000_000);

    fn space() -> Arc<Space> {
        Space::new(Settings::demo().channels, 1, 7).expect("settings that work")
    }

    #[test]
    fn a_word_is_searched_for_anywhere_in_a_name_and_a_pattern_is_one() {
        assert_eq!(pattern("  "), None);
        assert_eq!(pattern(" chat ").as_deref(), Some("*chat*"));
        assert_eq!(pattern("demo:*").as_deref(), Some("demo:*"));
        assert_eq!(pattern("a?").as_deref(), Some("a?"));
    }

    #[test]
    fn the_newest_publications_come_first_and_older_ones_page_by_page() {
        let space = space();
        for number in 1..=60 {
            space.publish("demo:chat", Publish::new(format!("{{\"n\":{number}}}")), NOW).expect("published");
        }
        let offsets = |value: &Value| -> Vec<u64> {
            let publications = value["history"]["publications"].as_array().expect("publications");
            publications.iter().map(|own| own["offset"].as_u64().expect("a number")).collect()
        };
        let newest = inside(&space, "demo:chat", None, NOW).expect("a channel");
        assert_eq!(offsets(&newest), (36..=60).rev().collect::<Vec<_>>());
        assert_eq!(newest["history"]["publications"][0]["text"], "{\"n\":60}");
        assert_eq!((&newest["history"]["offset"], &newest["history"]["more"]), (&json!(60), &json!(true)));
        let older = inside(&space, "demo:chat", Some(36), NOW).expect("a channel");
        assert_eq!(offsets(&older), (11..=35).rev().collect::<Vec<_>>());
        let oldest = inside(&space, "demo:chat", Some(11), NOW).expect("a channel");
        assert_eq!((offsets(&oldest).len(), &oldest["history"]["more"]), (10, &json!(false)));
    }

    #[test]
    fn long_publications_are_cut_between_characters_and_other_bytes_are_base64() {
        let space = space();
        let long = format!("\"x{}\"", "ü".repeat(4_000));
        for data in [long.clone().into_bytes(), vec![0xff, 0, 1]] {
            space.publish("demo:chat", Publish::new(data), NOW).expect("published");
        }
        let value = inside(&space, "demo:chat", None, NOW).expect("a channel");
        let [bytes, text] = [0, 1].map(|place: usize| value["history"]["publications"][place].clone());
        assert_eq!((&bytes["text"], &bytes["base64"], &bytes["bytes"]), (&json!("/wAB"), &json!(true), &json!(3)));
        assert_eq!((&text["cut"], &text["base64"], &text["bytes"]), (&json!(true), &json!(false), &json!(8_003)));
        let shown = text["text"].as_str().expect("text");
        assert!(long.starts_with(shown) && shown.len() <= MOST_BYTES && shown.len() > MOST_BYTES - 4);
    }

    #[test]
    fn a_channel_that_nobody_uses_is_empty_and_one_without_a_namespace_is_refused() {
        let space = space();
        let value = inside(&space, "demo:nobody", None, NOW).expect("a channel");
        assert_eq!((&value["clients"], &value["presence"]["clients"]), (&json!(0), &json!(0)));
        assert_eq!(value["history"]["publications"], json!([]));
        assert!(value["options"].as_array().expect("words").contains(&json!("history of 100 for 5 min")));
        assert!(inside(&space, "nowhere:x", None, NOW).is_err());
        assert!(inside(&space, "", None, NOW).is_err());
    }
}
