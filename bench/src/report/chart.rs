//! Bars of one figure as SVG. They are told apart without colours: black is Gannet, hatched a bare loop, white a peer.

use std::fmt::Write;

use super::escaped;
use super::sheet::{Row, Sheet, Shown, number_of};
use crate::peers;
use crate::subject::Subject;

/// Lengths in pixels.
/// The least room for names; more is taken where they are longer.
const NAMES: f64 = 130.0;
const BARS: f64 = 420.0;
const NUMBERS: f64 = 90.0;
const LINE: f64 = 24.0;
const TOP: f64 = 56.0;

/// Ratios beyond this lie at the edge.
const LARGEST_RATIO: f64 = 3.0;

/// The role of a bar.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Gannet,
    Floor,
    Peer,
}

impl Kind {
    fn of(subject: &str) -> Self {
        match subject {
            _ if Subject::is_floors_name(subject) => Self::Floor,
            _ if peers::is_peers_name(subject) => Self::Peer,
            _ => Self::Gannet,
        }
    }

    fn fill(self) -> &'static str {
        match self {
            Self::Gannet => "#000",
            Self::Floor => "url(#hatch)",
            Self::Peer => "#fff",
        }
    }
}

/// Draws the most telling figure of a table, the best first; nothing where there is none.
pub fn bars(sheet: &Sheet) -> Option<String> {
    let Shown { name, heading, more_is_better } = sheet.shown()?;
    // What is measured a second time shows the noise, in the table.
    let mut rows: Vec<(&Row, f64)> = sheet
        .rows
        .iter()
        .filter(|row| !row.subject.ends_with("@again"))
        .filter_map(|row| Some((row, row.figure(name).filter(|number| number.is_finite())?)))
        .collect();
    rows.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let largest = rows.last().map(|(_, largest)| *largest).filter(|largest| *largest > 0.0)?;
    if more_is_better {
        rows.reverse();
    }
    let names = names(rows.iter().map(|(row, _)| sheet.label(row)));
    let legend = if sheet.is_of_models { 0.0 } else { LINE };
    let (width, height) = (names + BARS + NUMBERS, TOP + LINE * rows.len() as f64 + legend);
    let better = if more_is_better { "more is better" } else { "less is better" };
    let mut svg = begin([width, height], &sheet.title, &format!("{heading} ({better})"));
    let mut y = TOP;
    for (row, number) in rows {
        let length = (number / largest * BARS).max(0.0);
        let kind = if sheet.is_of_models { Kind::Peer } else { Kind::of(&row.subject) };
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{names:.1}\" y=\"{}\" width=\"{length:.1}\" height=\"15\" fill=\"{}\" stroke=\"#000\"/>\
             <text x=\"{:.1}\" y=\"{}\">{}</text>",
            names - 8.0,
            y + 13.0,
            escaped(&sheet.label(row)),
            y + 1.0,
            kind.fill(),
            names + length + 6.0,
            y + 13.0,
            number_of(number)
        );
        y += LINE;
    }
    let mut x = names;
    let is_there = |kind: Kind| !sheet.is_of_models && sheet.rows.iter().any(|row| Kind::of(&row.subject) == kind);
    let kinds = [(Kind::Gannet, "Gannet"), (Kind::Floor, "bare loop"), (Kind::Peer, "peer")];
    for (kind, name) in kinds.into_iter().filter(|(kind, _)| is_there(*kind)) {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{}\" width=\"15\" height=\"11\" fill=\"{}\" stroke=\"#000\"/><text x=\"{:.1}\" y=\"{}\">{name}</text>",
            y + 6.0,
            kind.fill(),
            x + 21.0,
            y + 16.0
        );
        x += 110.0;
    }
    Some(svg + "</svg>\n")
}

/// The room that names need on the left.
fn names(of: impl Iterator<Item = String>) -> f64 {
    of.map(|name| text_width(&name) + 16.0).fold(NAMES, f64::max)
}

/// The width of a text of 13 pixels, on the safe side of what browsers need for it.
fn text_width(text: &str) -> f64 {
    text.chars().count() as f64 * 7.5
}

/// Begins a chart with its title and what it shows.
fn begin([width, height]: [f64; 2], title: &str, shows: &str) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <defs><pattern id=\"hatch\" width=\"6\" height=\"6\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\">\
         <rect width=\"6\" height=\"6\" fill=\"#fff\"/><rect width=\"2\" height=\"6\" fill=\"#000\"/></pattern></defs>\n\
         <rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#fff\"/>\n"
    );
    for (y, weight, text) in [(20, " font-weight=\"bold\"", title), (40, "", shows)] {
        // A long text is set closer in place of being cut off.
        let room = width - 16.0;
        let fit = match text_width(text) > room {
            true => format!(" textLength=\"{room:.0}\" lengthAdjust=\"spacingAndGlyphs\""),
            false => String::new(),
        };
        let _ = writeln!(svg, "<text x=\"8\" y=\"{y}\"{weight}{fit}>{}</text>", escaped(text));
    }
    svg
}

/// Draws the ratios of Gannet's subjects to each other subject, with their spread around the line at 1; nothing where there
/// are fewer than two others.
pub fn ratios(sheet: &Sheet) -> Option<String> {
    if sheet.is_of_models {
        return None;
    }
    let own: Vec<&Row> = sheet.rows.iter().filter(|row| Kind::of(&row.subject) == Kind::Gannet).collect();
    let of_cpu =
        |row: &Row| row.ratios.iter().filter(|ratio| !ratio.is_of_time).map(|ratio| ratio.other.clone()).collect();
    let mut others: Vec<String> = own.iter().flat_map(|row| -> Vec<String> { of_cpu(row) }).collect();
    others.sort_by_key(|other| (Kind::of(other) == Kind::Peer, other.clone()));
    others.dedup();
    // With lines and frames there is one floor each, which a table shows as well.
    let own: Vec<&Row> = own.into_iter().filter(|row| row.ratios.len() > 1).collect();
    if others.len() < 2 || own.is_empty() {
        return None;
    }
    let far = own.iter().flat_map(|row| &row.ratios).map(|ratio| ratio.median).fold(1.2, f64::max).min(LARGEST_RATIO);
    let names = names(others.iter().cloned());
    let at = |ratio: f64| names + (ratio.clamp(0.0, far * 1.1)) / (far * 1.1) * BARS;
    let step = LINE * own.len().max(1) as f64 * 0.6 + 8.0;
    let (width, height) = (names + BARS + NUMBERS, TOP + step * others.len() as f64 + LINE);
    let (measure, more_is_better) = sheet.compared();
    let better = if more_is_better { "right" } else { "left" };
    let shows = format!("Gannet's {measure} against each ({better} of the line is better)");
    let mut svg = begin([width, height], &sheet.title, &shows);
    // Writing to a String cannot fail.
    let _ = writeln!(
        svg,
        "<line x1=\"{one:.1}\" y1=\"{TOP}\" x2=\"{one:.1}\" y2=\"{:.1}\" stroke=\"#000\"/>\
         <text x=\"{one:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">1</text>",
        height - LINE,
        TOP - 3.0,
        one = at(1.0)
    );
    let mut y = TOP;
    for other in &others {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            names - 8.0,
            y + step / 2.0 + 4.0,
            escaped(other)
        );
        for (number, row) in own.iter().enumerate() {
            let Some(ratio) = row.ratios.iter().find(|ratio| ratio.other == *other && !ratio.is_of_time) else {
                continue;
            };
            let y = y + step * (number as f64 + 1.0) / (own.len() as f64 + 1.0);
            let _ = writeln!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#000\"/>{}<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"11\">{:.2}</text>",
                at(ratio.min),
                at(ratio.max),
                mark(number, at(ratio.median), y),
                at(ratio.max.max(ratio.median)) + 6.0,
                y + 4.0,
                ratio.median
            );
        }
        y += step;
    }
    let mut x = names;
    for (number, row) in own.iter().enumerate() {
        let _ = writeln!(
            svg,
            "{}<text x=\"{}\" y=\"{:.1}\">{}</text>",
            mark(number, x, y + 12.0),
            x + 10.0,
            y + 16.0,
            escaped(&row.subject)
        );
        x += 150.0;
    }
    Some(svg + "</svg>\n")
}

/// A mark of its own form for each subject: a hollow circle, a black one, a square, a black one.
fn mark(number: usize, x: f64, y: f64) -> String {
    let fill = if number.is_multiple_of(2) { "#fff" } else { "#000" };
    match number / 2 % 2 {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{fill}\" stroke=\"#000\"/>"),
        _ => format!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"8\" height=\"8\" fill=\"{fill}\" stroke=\"#000\"/>",
            x - 4.0,
            y - 4.0
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::sheet::sheets;

    #[test]
    fn gannet_a_bare_loop_and_a_peer_are_told_apart_without_colours() {
        let row = |subject: &str, bytes: f64| json!({ "subject": subject, "bytes_per_connection": bytes });
        let run = json!({ "memory": [row("go-net", 8_000.0), row("gannet-poll", 150.0), row("floor-epoll", 10.0), row("floor-epoll@again", 11.0)] });
        let svg = bars(&sheets(&run)[0]).expect("a chart");
        let at = |text: &str| svg.find(&format!(">{text}<")).unwrap_or_else(|| panic!("{text}: {svg}"));
        assert!(at("floor-epoll") < at("gannet-poll") && at("gannet-poll") < at("go-net"), "{svg}");
        assert!(!svg.contains("@again"), "{svg}");
        for fill in ["#000", "url(#hatch)", "#fff"] {
            assert!(svg.contains(&format!("height=\"15\" fill=\"{fill}\"")), "{fill}: {svg}");
        }
    }

    #[test]
    fn each_driver_has_a_mark_of_its_own_form_beside_each_other_subject() {
        let ratio = |other: &str, median: f64| json!({ "floor": other, "median": median, "min": median - 0.1, "max": median + 0.1 });
        let row = |subject: &str, to: f64| json!({ "subject": subject, "cpu_ns_per_message": 1.0, "cpu_ratios": [ratio("floor-epoll", to), ratio("go-net", to / 2.0)] });
        let run = json!({ "rows": [row("gannet-poll", 1.0), row("gannet-uring", 0.9)], "title": "Echo" });
        let svg = ratios(&sheets(&run)[0]).expect("a chart");
        // One for each ratio, and one in the legend.
        assert_eq!(svg.matches("fill=\"#000\" stroke").count(), 3, "{svg}");
        assert_eq!(svg.matches("r=\"4\" fill=\"#fff\"").count(), 3, "{svg}");
        assert!(svg.contains("left of the line is better") && svg.contains(">0.45<"), "{svg}");
        let redis = json!({ "rows": [row("gannet-redis-poll", 1.5)], "title": "GET", "measure": "PerCpuSecond" });
        assert!(ratios(&sheets(&redis)[0]).expect("a chart").contains("right of the line is better"));
    }

    #[test]
    fn a_table_without_a_figure_to_show_has_no_chart() {
        assert!(bars(&sheets(&json!({ "rows": [{ "subject": "a", "zeal": 1.0 }] }))[0]).is_none());
        assert!(bars(&sheets(&json!({ "rows": [{ "subject": "a", "bytes_per_key": 0.0 }] }))[0]).is_none());
    }
}
