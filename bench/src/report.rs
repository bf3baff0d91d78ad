//! What is made of the JSON of a run: Markdown, a page of HTML, and charts.

mod chart;
mod sheet;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Options of `report`.
#[derive(clap::Args, Debug)]
pub struct Options {
    /// Folder with the JSON of runs, as `--json` writes it.
    #[arg(long, value_name = "FOLDER", default_value = "bench/results")]
    from: PathBuf,
    /// Folder for `tables.md`, `index.html` and the charts; that of the JSON where it is not given.
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Writes tables and charts of all runs in a folder.
pub fn run(options: &Options) -> io::Result<()> {
    let to = options.to.as_deref().unwrap_or(&options.from);
    let mut files: Vec<PathBuf> =
        named(&options.from, fs::read_dir(&options.from))?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    if files.is_empty() {
        let what = format!("{}: no JSON of a run; try: gannet-bench all --json FILE", options.from.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    fs::create_dir_all(to)?;
    let (mut tables, mut pages) = (String::new(), String::new());
    for file in &files {
        let text = named(file, fs::read_to_string(file))?;
        let run: Value = named(file, serde_json::from_str(&text).map_err(io::Error::other))?;
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        for (name, part) in parts(&run) {
            let prefix = if name.is_empty() { stem.to_string() } else { format!("{stem}-{name}") };
            tables += &heading(name, part);
            for (number, sheet) in sheet::sheets(part).iter().enumerate() {
                tables += &sheet.markdown();
                for (form, chart) in [("", chart::bars(sheet)), ("-ratios", chart::ratios(sheet))] {
                    let Some(chart) = chart else { continue };
                    let svg = format!("{prefix}-{}{form}.svg", number + 1);
                    fs::write(to.join(&svg), chart)?;
                    // Writing to a String cannot fail.
                    let _ = writeln!(tables, "\n![{}]({svg})", sheet.title);
                }
            }
        }
        pages += &body(&run);
    }
    fs::write(to.join("tables.md"), tables)?;
    fs::write(to.join("index.html"), html(&pages))?;
    println!("{} and {}", to.join("tables.md").display(), to.join("index.html").display());
    Ok(())
}

fn named<T>(file: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))
}

/// Makes a page of the JSON of one command, or of all.
pub fn page(run: &Value) -> String {
    html(&body(run))
}

/// The commands of a run with their names; one without a name where the run was of one command.
fn parts(run: &Value) -> Vec<(&str, &Value)> {
    match run.get("commands").and_then(Value::as_object) {
        Some(commands) => commands.iter().map(|(name, part)| (name.as_str(), part)).collect(),
        None => vec![("", run)],
    }
}

/// Tells where the figures come from, as Markdown.
fn heading(name: &str, part: &Value) -> String {
    let origin = |key: &str| part["origin"][key].as_str().unwrap_or("?").to_owned();
    let title = if name.is_empty() { origin("command") } else { name.to_owned() };
    let mut text = format!(
        "\n## {title}\n\n{}, commit {}, {}; `gannet-bench {}`\n",
        origin("date"),
        origin("commit"),
        origin("machine"),
        origin("command")
    );
    let versions = part["origin"]["versions"].as_object().into_iter().flatten();
    let versions: Vec<String> =
        versions.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or("?"))).collect();
    if !versions.is_empty() {
        let _ = writeln!(text, "\n{}", versions.join(", "));
    }
    for course in part["comparisons"].as_array().into_iter().flatten() {
        if course["disturbed"] == true {
            let share = course["lost_at_most"].as_f64().unwrap_or_default() * 100.0;
            let subjects = course["subjects"].as_array().map_or(0, Vec::len);
            let _ = writeln!(
                text,
                "\n**Not quiet:** a comparison of {subjects} subjects had no undisturbed round; others took up to {share:.0} %."
            );
        }
    }
    text
}

fn body(run: &Value) -> String {
    let mut page = String::new();
    for (name, part) in parts(run) {
        for block in heading(name, part).split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            let text = escaped(block);
            page += &match text.strip_prefix("## ") {
                Some(title) => format!("<h2>{title}</h2>\n"),
                None => format!("<p>{text}</p>\n"),
            };
        }
        for sheet in sheet::sheets(part) {
            page += &sheet.html();
            page.extend([chart::bars(&sheet), chart::ratios(&sheet)].into_iter().flatten());
        }
    }
    page
}

fn html(body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Gannet beside its peers</title>\n<style>\n\
         body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}\n\
         table {{ border-collapse: collapse; margin: 1rem 0 }}\n\
         td, th {{ border-bottom: 1px solid #999; padding: .2rem .6rem; text-align: right }}\n\
         td:first-child, th:first-child {{ text-align: left }}\n\
         svg {{ max-width: 100%; height: auto }}\n</style>\n<h1>Gannet beside its peers</h1>\n{body}</html>\n"
    )
}

/// Text as it is written in HTML and SVG.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run() -> Value {
        json!({
            "origin": { "date": "2026-01-02", "command": "echo", "machine": "a machine", "commit": "abc", "versions": { "tokio": "1.0" } },
            "workloads": [{
                "title": "50 connections × 1 under way <64 bytes>",
                "rows": [
                    { "subject": "floor-epoll", "messages_per_second": 100_000.0, "cpu_ns_per_message": 7_000.0, "cpu_ratios": [] },
                    { "subject": "gannet-uring", "messages_per_second": 120_000.0, "cpu_ns_per_message": 6_000.0,
                      "cpu_ratios": [{ "floor": "floor-epoll", "median": 0.857, "min": 0.8, "max": 0.9 }] },
                ],
            }],
            "comparisons": [{ "subjects": ["floor-epoll", "gannet-uring"], "disturbed": true, "lost_at_most": 0.25 }],
        })
    }

    #[test]
    fn a_page_tells_where_its_figures_come_from_and_whether_the_machine_was_quiet() {
        let page = page(&run());
        for part in ["2026-01-02, commit abc, a machine", "tokio 1.0", "others took up to 25 %", "&lt;64 bytes&gt;"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(page.contains("<svg") && page.contains("0.857 (0.800 to 0.900) × floor-epoll"), "{page}");
    }

    #[test]
    fn a_run_of_all_has_a_part_for_each_command() {
        let all = json!({ "commands": { "echo": run(), "ws": run() } });
        let names: Vec<&str> = parts(&all).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["echo", "ws"]);
        assert_eq!(page(&all).matches("<table").count(), 2);
    }
}
