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
    (PER_CPU_SECOND, "operations per CPU second"),
    ("cpu_ns_per_message", "CPU ns each"),
    ("cpu_ns_per_operation", "CPU ns each"),
    ("cpu_ns_per_delivery", "CPU ns each"),
    ("per_second", "a second"),
    ("per_cpu_second", "per CPU second"),
    ("cpu_us", "CPU µs each"),
    ("bytes_per_connection", "bytes a connection"),
    ("bytes_per_key", "bytes a key"),
    ("broadcast_ms", "a broadcast, ms"),
    ("p50_us", "p50 µs"),
    ("p99_us", "p99 µs"),
    ("p999_us", "p99.9 µs"),
    ("max_us", "longest, µs"),
    ("p50_ms", "p50 ms"),
    ("p99_ms", "p99 ms"),
    ("last_ms", "until the last, ms"),
    ("server_busy", "server's share of its processor"),
    ("client_busy", "client's share"),
    ("impossible", "why not"),
];

/// Figures that a chart shows, the most telling first.
const SHOWN: &[&str] = &[
    "cpu_ns_per_message",
    "cpu_ns_per_operation",
    "cpu_ns_per_delivery",
    "bytes_per_connection",
    "bytes_per_key",
    "cpu_us",
    "last_ms",
    "max_us",
];

/// The figure that is shown in place of a CPU time where operations per CPU second are compared.
const PER_CPU_SECOND: &str = "operations_per_cpu_second";

/// A table.
pub struct Sheet {
    /// What was measured.
    pub title: String,
    asked: Option<String>,
    /// Names of figures with their headings.
    columns: Vec<(String, String)>,
    /// The name of the figure whose ratios the table has, where it says so.
    compared: Option<String>,
    /// The subjects are ways to build a server, and neither Gannet nor its peers.
    pub is_of_models: bool,
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

/// A figure that a chart shows.
#[derive(Debug, PartialEq)]
pub struct Shown<'s> {
    /// Its name in the rows.
    pub name: &'s str,
    /// Its name for people, with the unit.
    pub heading: &'s str,
    /// More of it is better: it is a rate, and no cost.
    pub more_is_better: bool,
}

/// Finds all tables: those of an object in the order of their names.
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
                    sheet.describe(object);
                }
            }
        }
        _ => {}
    }
}

/// Whether more of a figure is better, by the unit in its name.
fn is_rate(name: &str) -> bool {
    name.ends_with("per_second") || name.ends_with("per_cpu_second")
}

impl Sheet {
    fn new(title: String, list: &[Value]) -> Self {
        let rows: Vec<Row> = list.iter().filter_map(Row::of).collect();
        let has = |column: &str| rows.iter().any(|row| row.figures.contains_key(column));
        let mut columns: Vec<(String, String)> = COLUMNS
            .iter()
            .filter(|(column, _)| has(column))
            .map(|(column, heading)| ((*column).to_owned(), (*heading).to_owned()))
            .collect();
        for column in rows.iter().flat_map(|row| row.figures.keys()) {
            if !columns.iter().any(|(name, _)| name == column) {
                columns.push((column.clone(), column.clone()));
            }
        }
        Self { title, asked: None, columns, compared: None, is_of_models: false, rows }
    }

    /// Takes over what the object around the rows says of them.
    fn describe(&mut self, table: &Map<String, Value>) {
        let text = |name: &str| table.get(name).and_then(Value::as_str).map(str::to_owned);
        self.asked = text("asked");
        self.is_of_models = table.contains_key("against");
        self.compared = text("compared");
        if text("measure").is_some_and(|measure| measure == "PerCpuSecond") {
            self.compared = Some(PER_CPU_SECOND.to_owned());
            self.rows.iter_mut().for_each(Row::add_per_cpu_second);
            let heading = text("operations").unwrap_or_else(|| "operations".to_owned()) + " per CPU second";
            let at = self.columns.iter().position(|(name, _)| name == "cpu_ns_per_operation").unwrap_or_default();
            self.columns.insert(at, (PER_CPU_SECOND.to_owned(), heading));
        }
        let Some(described) = table.get("columns").and_then(Value::as_array) else { return };
        let described: Vec<(String, String)> = described
            .iter()
            .filter_map(|column| Some((column["key"].as_str()?.to_owned(), column["title"].as_str()?.to_owned())))
            .collect();
        self.columns.retain(|(name, _)| !described.iter().any(|(described, _)| described == name));
        self.columns.splice(..0, described);
    }

    /// The figure that a chart shows.
    pub fn shown(&self) -> Option<Shown<'_>> {
        let names = self.compared.iter().map(String::as_str).chain(SHOWN.iter().copied());
        let column = |name: &str| self.columns.iter().find(|(column, _)| column == name);
        let (name, heading) = names.into_iter().find_map(column)?;
        Some(Shown { name, heading, more_is_better: is_rate(name) })
    }

    /// What the ratios are of, and whether more of it is better.
    pub fn compared(&self) -> (&str, bool) {
        let Some(name) = &self.compared else { return ("CPU time", false) };
        let heading = self.columns.iter().find(|(column, _)| column == name).map(|(_, heading)| heading.as_str());
        (heading.unwrap_or(name), is_rate(name))
    }

    /// What tells a row from the others: its subject, and more where that has several rows.
    pub fn label(&self, row: &Row) -> String {
        if self.rows.iter().filter(|other| other.subject == row.subject).count() < 2 {
            return row.subject.clone();
        }
        let words = row.figures.iter().filter_map(|(name, value)| match value {
            Value::String(text) => Some(text.as_str()),
            Value::Bool(true) => Some(name.as_str()),
            _ => None,
        });
        [row.subject.as_str()].into_iter().chain(words).collect::<Vec<_>>().join(", ")
    }

    fn headings(&self) -> Vec<&str> {
        let figures = self.columns.iter().map(|(_, heading)| heading.as_str());
        ["subject"].into_iter().chain(figures).chain(["against"]).collect()
    }

    fn cells(&self, row: &Row) -> Vec<String> {
        let figures =
            self.columns.iter().map(|(column, _)| row.figures.get(column).map_or_else(|| "–".to_owned(), shown));
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
        let mut figures = Map::new();
        // Figures of a table with columns of its own are in an object; a figure is a number, or a spread with a median.
        let own = object.get("figures").and_then(Value::as_object).into_iter().flatten();
        for (name, value) in object.iter().filter(|(name, _)| *name != "subject").chain(own) {
            let value = value.get("median").unwrap_or(value);
            if value.is_number() || value.is_string() || value.is_boolean() {
                figures.insert(name.clone(), value.clone());
            }
        }
        let mut ratios = Vec::new();
        for (name, list) in object.iter().filter(|(name, _)| name.ends_with("ratios")) {
            ratios.extend(
                list.as_array().into_iter().flatten().filter_map(|ratio| Ratio::of(ratio, name == "time_ratios")),
            );
        }
        Some(Self { subject: object["subject"].as_str()?.to_owned(), figures, ratios })
    }

    fn add_per_cpu_second(&mut self) {
        if let Some(cpu_ns) = self.figure("cpu_ns_per_operation").filter(|cpu_ns| *cpu_ns > 0.0) {
            self.figures.insert(PER_CPU_SECOND.to_owned(), (1e9 / cpu_ns).into());
        }
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
        let shown = Shown { name: "bytes_per_connection", heading: "bytes a connection", more_is_better: false };
        assert_eq!(found[0].shown(), Some(shown));
        assert!(found[1].markdown().contains("**GET**; asked: at least 1.5\n\n| subject | p99 µs | zeal | against |"));
        assert!(found[1].markdown().contains("| b | 3.25 | 1 | – |"), "{}", found[1].markdown());
    }

    #[test]
    fn a_subject_that_lacks_a_figure_has_a_dash_in_its_place() {
        let run = json!({ "rows": [{ "subject": "a", "p50_ms": null }, { "subject": "b", "p50_ms": 12.34 }] });
        let text = sheets(&run)[0].markdown();
        assert!(text.contains("| a | – | – |") && text.contains("| b | 12.3 | – |"), "{text}");
    }

    #[test]
    fn the_unit_of_a_figure_tells_whether_more_of_it_is_better() {
        let run = json!({ "title": "GET", "measure": "PerCpuSecond", "operations": "commands",
            "rows": [{ "subject": "a", "operations_per_second": 9.0, "cpu_ns_per_operation": 500.0 }] });
        let sheet = &sheets(&run)[0];
        let heading = "commands per CPU second";
        assert_eq!(sheet.shown(), Some(Shown { name: PER_CPU_SECOND, heading, more_is_better: true }));
        assert_eq!(sheet.compared(), (heading, true));
        assert_eq!(sheet.rows[0].figure(PER_CPU_SECOND), Some(2e6));
        let run = json!({ "rows": [{ "subject": "a", "cpu_ns_per_message": 1.0 }] });
        assert!(!sheets(&run)[0].shown().expect("a figure").more_is_better);
        assert_eq!(sheets(&run)[0].compared(), ("CPU time", false));
    }

    #[test]
    fn a_table_of_models_has_the_columns_that_it_describes() {
        let run = json!({ "title": "Echo", "compared": "cpu_ns_each", "against": "one",
            "columns": [{ "key": "rate", "title": "a second" }, { "key": "cpu_ns_each", "title": "CPU ns a message" }],
            "rows": [
                { "subject": "one", "figures": { "cpu_ns_each": { "median": 5.0 }, "rate": { "median": 7.0 } }, "ratios": [] },
                { "subject": "two", "figures": {}, "impossible": "it ends", "ratios": [] },
            ] });
        let sheet = &sheets(&run)[0];
        let text = sheet.markdown();
        assert!(text.contains("| subject | a second | CPU ns a message | why not | against |"), "{text}");
        assert!(text.contains("| one | 7 | 5 | – | – |") && text.contains("| two | – | – | it ends | – |"), "{text}");
        assert_eq!(sheet.shown().expect("a figure").heading, "CPU ns a message");
        assert!(sheet.is_of_models);
    }

    #[test]
    fn rows_of_one_subject_are_told_apart() {
        let row = |resumes: bool| json!({ "subject": "a", "version": "TLS 1.3", "resumes": resumes, "cpu_us": 1.0 });
        let sheet = &sheets(&json!({ "rows": [row(false), row(true)] }))[0];
        assert_eq!(sheet.label(&sheet.rows[0]), "a, TLS 1.3");
        assert_eq!(sheet.label(&sheet.rows[1]), "a, resumes, TLS 1.3");
    }
}
