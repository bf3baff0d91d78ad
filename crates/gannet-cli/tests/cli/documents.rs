//! The project's own pages: what they link to is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gannet::{Limits, Timeouts};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

/// All pages under a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

fn all_pages() -> Vec<PathBuf> {
    let root = root();
    let mut found: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/README.md"]
            .map(|page| root.join(page))
            .to_vec();
    pages(&root.join("docs"), &mut found);
    for crate_ in std::fs::read_dir(root.join("crates")).expect("crates") {
        let docs = crate_.expect("a crate").path().join("docs");
        if docs.is_dir() {
            pages(&docs, &mut found);
        }
    }
    found
}

/// A page without its blocks of code.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// The names that headings are linked by, as GitHub makes them.
fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let mut seen: HashMap<String, u32> = HashMap::new();
    let anchor = |heading: &str| {
        let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    headings
        .map(|heading| {
            let anchor = anchor(heading);
            let times = seen.entry(anchor.clone()).or_default();
            *times += 1;
            if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
        })
        .collect()
}

/// What a page links to.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

#[test]
fn every_link_between_the_projects_pages_leads_somewhere() {
    let (mut broken, mut followed) = (Vec::new(), 0);
    for page in all_pages() {
        let text = prose(&std::fs::read_to_string(&page).expect("a page"));
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { page.clone() } else { page.with_file_name(path) };
            let is_there = target.exists()
                && (anchor.is_empty() || {
                    let other = std::fs::read_to_string(&target).expect("a page");
                    anchors(&prose(&other)).iter().any(|own| own == anchor)
                });
            followed += 1;
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(followed > 50, "{followed} links were found");
}

#[test]
fn every_page_in_docs_is_linked_from_another_page() {
    let all = all_pages();
    let mut linked = Vec::new();
    for page in &all {
        let text = prose(&std::fs::read_to_string(page).expect("a page"));
        let targets = links(&text).into_iter().filter(|link| !link.contains("://"));
        let paths = targets.map(|link| page.with_file_name(link.split('#').next().unwrap_or_default()));
        linked.extend(paths.filter_map(|path| path.canonicalize().ok()).filter(|target| target != page));
    }
    let docs = root().join("docs");
    let lonely: Vec<_> = all.iter().filter(|page| page.starts_with(&docs) && !linked.contains(page)).collect();
    assert!(lonely.is_empty(), "{lonely:#?}");
}

/// A number with its thousands apart.
fn number(value: usize) -> String {
    match value {
        0..1_000 => value.to_string(),
        _ => format!("{},{:03}", number(value / 1_000), value % 1_000),
    }
}

/// Bytes in the largest unit that they are whole in.
fn bytes(value: usize) -> String {
    let unit = [(30, "GiB"), (20, "MiB"), (10, "KiB")].into_iter().find(|(shift, _)| value.is_multiple_of(1 << shift));
    unit.map_or_else(|| number(value), |(shift, name)| format!("{} {name}", value >> shift))
}

#[test]
fn the_table_of_limits_has_the_engines_defaults() {
    let (limits, times) = (Limits::default(), Timeouts::default());
    let seconds =
        |time: Option<std::time::Duration>| time.map_or("none".to_owned(), |time| format!("{} s", time.as_secs()));
    let reserve = format!("{}, at most an eighth of all", limits.operational_reserve);
    let groups = format!("{}, {} (", number(limits.groups_per_connection), number(limits.groups));
    let threads = format!("processors; {}; {}", limits.blocking_threads, limits.file_threads);
    let heartbeat = format!("{}; {}", seconds(times.heartbeat), times.heartbeats_missed);
    assert_eq!((limits.connections, limits.connections_per_peer, limits.accepts_per_second), (0, 0, 0));
    assert_eq!((limits.offloads, limits.blocking_offloads), (limits.file_offloads, limits.file_offloads));
    assert_eq!((times.idle, times.read_idle, times.write_idle, limits.offload_threads), (None, None, None, 0));
    let rows = [
        ("connections of the engine", "none".to_owned()),
        ("slots and descriptors only for operational listeners", reserve),
        ("accepts per second", "none".to_owned()),
        ("carry of one connection", bytes(limits.carry)),
        ("all carries", bytes(limits.carries)),
        ("outbox, high mark", bytes(limits.outbox_high)),
        ("outbox, hard mark", bytes(limits.outbox_hard)),
        ("letters in a mailbox", number(limits.mailbox)),
        ("jobs of a pool", number(limits.offloads)),
        ("threads of a pool", threads),
        ("groups of one connection", groups),
        ("TLS handshake", seconds(Some(times.handshake))),
        ("first complete message", seconds(times.first_message)),
        ("silence of the peer", heartbeat),
        ("the kernel takes something", seconds(times.slow_write)),
        ("replies to a peer that half-closed", seconds(Some(times.half_close))),
        ("the peer ends its side", seconds(Some(times.linger))),
    ];
    let page = std::fs::read_to_string(root().join("docs/limits.md")).expect("a page");
    for (what, default) in rows {
        let row = page.lines().find(|line| line.starts_with(&format!("| {what}")));
        let row = row.unwrap_or_else(|| panic!("the table says nothing of {what}"));
        let said = row.split('|').nth(2).unwrap_or_default().trim();
        assert!(said.starts_with(&default), "{what}: {said:?} is not {default:?}");
    }
}
