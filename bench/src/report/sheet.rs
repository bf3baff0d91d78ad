//! Tables that are found in the JSON of a run: each list of objects that name a subject is one.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::escaped;

/// Names of figures in the order of the columns, and their headings. Others follow under their own names.
const COLUMNS: &[(&str, &str)] = &[
    ("version", "version"),
    ("messages_per_second", "messages/s"),
    ("operations_per_second", "a second"),
    ("deliveries_per_second", "deliveries/s"),
    ("connections_per_second", "connections/s"),
    ("handshakes_per_second", "handshakes/s"),
    ("cpu_ns_per_message", "CPU ns each"),
    ("cpu_ns_per_operation", "CPU ns each"),
    ("cpu_ns_per_delivery", "CPU ns each"),
    ("bytes_per_connection", "bytes a connection"),
    ("bytes_per_key", "bytes a key"),
    ("broadcast_ms", "a broadcast, ms"),
    ("p50_us", "p50 µs"),
    ("p99_us", "p99 µs"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("server_busy", "server's share of its processor"),
    ("client_busy", "client's share"),
];

/// Figures that a chart shows, the most telling first.
const SHOWN: &[&str] =
    &["cpu_ns_per_message", "cpu_ns_per_operation", "cpu_ns_per_delivery", "bytes_per_connection", "bytes_per_key"];

/// A table.
pub struct Sheet {
    /// What was measured.
    pub title: String,
    asked: Option<String>,
    /// Whether more is better in the ratios: they are of operations per CPU second.
    pub more_is_better: bool,
    /// Names of figures.
    columns: Vec<String>,
    /// One for each subject.
    pub rows: Vec<Row>,
}

/// The figures of one subject.
pub struct Row {
    /// Its name.
    pub subject: String,
    figures: Map<String, Value>,
    /// Its cost in proportion to that of others.
    pub ratios: Vec<Ratio>,
}

/// A ratio over pairs of runs.
pub struct Ratio {
    /// The other subject.
    pub other: String,
    /// Of times until the last, and not of CPU time.
    pub is_of_time: bool,
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// Finds all tables, in the order in which they were measured.
pub fn sheets(run: &Value) -> Vec<Sheet> {
    let mut found = Vec::new();
    find(run, "", &mut found);
    found
}

fn find(value: &Value, name: &str, found: &mut Vec<Sheet>) {
    match value {
        Value::Array(list) if !list.is_empty() && list.iter().all(|row| row["subject"].is_string()) => {
            found.push(Sheet::new(name.to_owned(), list));
        }
        Value::Array(list) => list.iter().for_each(|value| find(value, name, found)),
        Value::Object(object) => {
            let title = object.get("title").and_then(Value::as_str).unwrap_or(name);
            for (key, value) in object {
                let before = found.len();
                find(value, if key == "rows" { title } else { key }, found);
                if let ("rows", [sheet]) = (key.as_str(), &mut found[before..]) {
                    sheet.asked = object.get("asked").and_then(Value::as_str).map(str::to_owned);
                    sheet.more_is_better = object.get("measure").is_some_and(|measure| measure == "PerCpuSecond");
                }
            }
        }
        _ => {}
    }
}

impl Sheet {
    fn new(title: String, list: &[Value]) -> Self {
        let rows: Vec<Row> = list.iter().filter_map(Row::of).collect();
        let has = |column: &str| rows.iter().any(|row| row.figures.contains_key(column));
        let mut columns: Vec<String> =
            COLUMNS.iter().filter(|(column, _)| has(column)).map(|(column, _)| (*column).to_owned()).collect();
        for column in rows.iter().flat_map(|row| row.figures.keys()) {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        Self { title, asked: None, more_is_better: false, columns, rows }
    }

    /// The figure that a chart shows, with its heading.
    pub fn shown(&self) -> Option<(&str, &str)> {
        let name = SHOWN.iter().find(|name| self.columns.iter().any(|column| column == *name))?;
        Some((name, heading(name)))
    }

    fn headings(&self) -> Vec<&str> {
        let figures = self.columns.iter().map(|column| heading(column));
        ["subject"].into_iter().chain(figures).chain(["against"]).collect()
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let figures = self.columns.iter().map(|column| row.figures.get(column).map_or_else(|| "–".to_owned(), shown));
        let ratios: Vec<String> = row.ratios.iter().map(Ratio::text).collect();
        let ratios = if ratios.is_empty() { "–".to_owned() } else { ratios.join("; ") };
        [row.subject.clone()].into_iter().chain(figures).chain([ratios]).collect()
    }

    /// As Markdown.
    pub fn markdown(&self) -> String {
        let asked = self.asked.as_ref().map_or_else(String::new, |asked| format!("; asked: {asked}"));
        let headings = self.headings();
        let mut text = format!("\n**{}**{asked}\n\n| {} |\n|", self.title, headings.join(" | "));
        text += &"---|".repeat(headings.len());
        text.push('\n');
        for row in &self.rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "| {} |", self.cells(row).join(" | "));
        }
        text
    }

    /// As HTML.
    pub fn html(&self) -> String {
        let asked = self.asked.as_ref().map_or_else(String::new, |asked| format!("; asked: {}", escaped(asked)));
        let line = |cells: &[String], tag: &str| -> String {
            cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
        };
        let headings: Vec<String> = self.headings().into_iter().map(str::to_owned).collect();
        let mut text =
            format!("<h3>{}{asked}</h3>\n<table>\n<tr>{}</tr>\n", escaped(&self.title), line(&headings, "th"));
        for row in &self.rows {
            let _ = writeln!(text, "<tr>{}</tr>", line(&self.cells(row), "td"));
        }
        text + "</table>\n"
    }
}

impl Row {
    fn of(row: &Value) -> Option<Self> {
        let object = row.as_object()?;
        let mut figures = object.clone();
        figures
            .retain(|name, value| name != "subject" && (value.is_number() || value.is_string() || value.is_boolean()));
        let mut ratios = Vec::new();
        for (name, list) in object.iter().filter(|(name, _)| name.ends_with("ratios")) {
            ratios.extend(
                list.as_array().into_iter().flatten().filter_map(|ratio| Ratio::of(ratio, name == "time_ratios")),
            );
        }
        Some(Self { subject: object["subject"].as_str()?.to_owned(), figures, ratios })
    }

    /// A figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name)?.as_f64()
    }
}

impl Ratio {
    fn of(ratio: &Value, is_of_time: bool) -> Option<Self> {
        let number = |name: &str| ratio[name].as_f64();
        let (median, min, max) = (number("median")?, number("min")?, number("max")?);
        Some(Self { other: ratio["floor"].as_str()?.to_owned(), is_of_time, median, min, max })
    }

    fn text(&self) -> String {
        let Self { other, median, min, max, .. } = self;
        let of = if self.is_of_time { "time " } else { "" };
        format!("{of}{median:.3} ({min:.3} to {max:.3}) × {other}")
    }
}

fn heading(column: &str) -> &str {
    COLUMNS.iter().find(|(name, _)| *name == column).map_or(column, |(_, heading)| heading)
}

/// A figure with as many digits as tell something.
fn shown(value: &Value) -> String {
    match (value, value.as_f64()) {
        (Value::String(text), _) => text.clone(),
        (_, Some(number)) => number_of(number),
        _ => value.to_string(),
    }
}

/// A number with three digits at least.
pub fn number_of(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 || number.fract() == 0.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_of_subjects_is_a_table_wherever_it_is() {
        let run = json!({ "memory": [{ "subject": "a", "bytes_per_connection": 152.7 }], "head": [1, 2],
            "tables": [{ "title": "GET", "asked": "at least 1.5", "rows": [{ "subject": "b", "zeal": 1.0, "p99_us": 3.25 }] }] });
        let found = sheets(&run);
        let titles: Vec<&str> = found.iter().map(|sheet| sheet.title.as_str()).collect();
        assert_eq!(titles, ["memory", "GET"]);
        assert_eq!(found[0].shown(), Some(("bytes_per_connection", "bytes a connection")));
        assert!(found[1].markdown().contains("**GET**; asked: at least 1.5\n\n| subject | p99 µs | zeal | against |"));
        assert!(found[1].markdown().contains("| b | 3.25 | 1 | – |"), "{}", found[1].markdown());
    }

    #[test]
    fn a_subject_that_lacks_a_figure_has_a_dash_in_its_place() {
        let run = json!({ "rows": [{ "subject": "a", "p50_ms": null }, { "subject": "b", "p50_ms": 12.34 }] });
        let text = sheets(&run)[0].markdown();
        assert!(text.contains("| a | – | – |") && text.contains("| b | 12.3 | – |"), "{text}");
    }
}
