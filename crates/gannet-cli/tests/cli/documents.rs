//! The project's own pages: what they link to is there.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

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
