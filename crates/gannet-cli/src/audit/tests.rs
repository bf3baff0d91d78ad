//! What is written, and what is counted where it cannot be.

use std::time::{Duration, Instant};

use gannet::Peer;
use serde_json::json;

use super::*;
use crate::control::Refused;

fn folder(name: &str) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("gannet-audit-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a temporary folder");
    path
}

fn ann() -> Who {
    Who { by: "unix", peer: Some("unix".to_owned()), operator: Some("ann".to_owned()) }
}

#[test]
fn each_order_is_a_line_that_says_who_gave_it_and_what_came_of_it() {
    let folder = folder("lines");
    let path = folder.join("audit.log");
    let audit = Audit::start(Some(&Target::File(path.clone()))).expect("a thread");
    audit.order("kick", &ann(), json!({ "cidr": "10.0.0.0/8" }), &Ok::<_, Refused>(json!({})));
    audit.order("reload", &Who::signal(), json!({}), &Err(Refused::new("invalid", "2 settings are wrong")));
    let peer = Peer::from(std::net::SocketAddr::from(([192, 0, 2, 1], 9)));
    audit.gateway(&Audited::new("api", Credential::ApiKey, peer, false).method("publish"));
    audit.end();
    assert_eq!(audit.stats(), Some(AuditStats { written: 3, dropped: 0 }));
    let text = std::fs::read_to_string(&path).expect("it was written");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let without_time = lines.iter().cloned().map(|mut line| {
        let time = line.as_object_mut().expect("an object").remove("timestamp").expect("a time");
        assert!(time.as_str().is_some_and(|time| time.len() == 27 && time.ends_with('Z')), "{time}");
        line
    });
    assert_eq!(
        without_time.collect::<Vec<_>>(),
        [
            json!({ "action": "kick", "outcome": "done", "by": "unix", "peer": "unix", "operator": "ann", "what": { "cidr": "10.0.0.0/8" } }),
            json!({ "action": "reload", "outcome": "refused", "by": "signal", "what": {}, "error": "2 settings are wrong" }),
            json!({ "action": "api", "outcome": "refused", "by": "api_key", "peer": "192.0.2.1:9", "what": { "method": "publish" } }),
        ]
    );
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(std::fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    audit.order("late", &ann(), json!({}), &Ok::<_, Refused>(json!({})));
    assert_eq!(audit.stats(), Some(AuditStats { written: 3, dropped: 1 }), "it had ended");
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn a_file_that_was_moved_away_begins_anew() {
    let folder = folder("moved");
    let path = folder.join("audit.log");
    let audit = Audit::start(Some(&Target::File(path.clone()))).expect("a thread");
    audit.done("login", &ann(), json!({}));
    gannet_testing::until("the first line", || audit.stats().is_some_and(|stats| stats.written == 1));
    std::fs::rename(&path, folder.join("audit.log.1")).expect("it is there");
    audit.done("logout", &ann(), json!({}));
    audit.end();
    let text = std::fs::read_to_string(&path).expect("it was written");
    assert!(text.contains("logout") && text.lines().count() == 1, "{text}");
    let _ = std::fs::remove_dir_all(folder);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_and_a_pipe_that_nobody_reads_lose_lines_of_the_audit_log_and_hold_nobody_up() {
    let folder = folder("full");
    let pipe = folder.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs");
    assert!(made.success());
    for path in ["/dev/full".into(), pipe, folder.join("nowhere/audit.log")] {
        let audit = Audit::start(Some(&Target::File(path))).expect("a thread");
        (0..3).for_each(|_| audit.done("login", &ann(), json!({})));
        audit.end();
        assert_eq!(audit.stats(), Some(AuditStats { written: 0, dropped: 3 }));
    }
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn of_those_who_guess_keys_so_many_lines_are_written_and_then_how_many_were_not() {
    #[expect(clippy::disallowed_methods, reason = "the throttle is told the time")]
    let now = Instant::now();
    let mut throttle = Throttle::default();
    for _ in 0..throttle::MOST {
        assert_eq!(throttle.decide(now), Decision::Write { unlisted: 0 });
    }
    assert_eq!((throttle.decide(now), throttle.decide(now)), (Decision::Drop, Decision::Drop));
    let later = now + Duration::from_secs(10);
    assert_eq!(throttle.decide(later), Decision::Write { unlisted: 2 });
    assert_eq!(throttle.decide(later), Decision::Write { unlisted: 0 });
}

#[test]
fn a_target_is_off_the_log_or_an_absolute_path() {
    assert_eq!(Target::parse("off"), Ok(None));
    assert_eq!(Target::parse("log"), Ok(Some(Target::Log)));
    assert_eq!(Target::parse("/a/b"), Ok(Some(Target::File("/a/b".into()))));
    for wrong in ["", "a", "./a", "/a\0"] {
        assert!(Target::parse(wrong).is_err(), "{wrong}");
    }
    assert_eq!(Audit::start(None).expect("nothing starts").stats(), None);
}

#[test]
fn a_reload_moves_the_audit_log_and_the_old_one_says_where_it_goes() {
    let folder = folder("elsewhere");
    let (first, second) = (folder.join("first.log"), folder.join("second.log"));
    let audit = Audit::default();
    audit.done("login", &ann(), json!({}));
    let change = |target: Option<&Target>| {
        audit.prepare(target).expect("a thread");
        audit.set_target(target);
    };
    for path in [&first, &second] {
        change(Some(&Target::File(path.clone())));
        audit.done("kick", &ann(), json!({}));
    }
    change(Some(&Target::File(second.clone())));
    change(None);
    audit.done("logout", &ann(), json!({}));
    audit.end();
    let actions = |path| {
        let text = std::fs::read_to_string(path).expect("it was written");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.map(|line| (line["action"].clone(), line["what"].clone())).collect::<Vec<_>>()
    };
    let (kick, moved) = (json!("kick"), json!("audit"));
    assert_eq!(actions(&first), [(kick.clone(), json!({})), (moved.clone(), json!({ "to": second }))]);
    assert_eq!(actions(&second), [(kick, json!({})), (moved, json!({ "to": "off" }))]);
    assert_eq!(audit.stats(), Some(AuditStats { written: 4, dropped: 0 }));
    let _ = std::fs::remove_dir_all(folder);
}
