//! Line plots as inline SVG, coloured by the style sheet of the page they stand in.

use std::fmt::Write;

use super::axis::Axis;

/// The drawing's size and the margins around the plotted area, in the units of its view box: a pixel each at full size.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 38.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 52.0;
/// The room that a character of the legend takes at most.
const LEGEND_CHARACTER: f64 = 8.5;

/// A plot of some lines over one pair of axes.
pub(super) struct Plot {
    /// Names the plot's parts apart from those of other plots in a page.
    pub id: &'static str,
    /// What a reader of a screen is told first.
    pub title: &'static str,
    /// What is told then: the sense of the plot in a sentence. Escaped by whoever makes it.
    pub description: String,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
    /// The part from left to right that was measured, where that is not all.
    pub shaded: Option<(f64, f64)>,
    /// The lines, the lowest first.
    pub lines: Vec<Line>,
}

/// A line of a plot.
pub(super) struct Line {
    /// Its name in the legend.
    pub name: &'static str,
    /// Its class in the style sheet, which gives colour and dashes.
    pub class: &'static str,
    /// Its points from left to right; `None` is a gap, where nothing was measured.
    pub points: Vec<Option<(f64, f64)>>,
}

impl Plot {
    /// Returns the plot as an `svg` element.
    pub fn svg(&self) -> String {
        // Writing to a String cannot fail, which is why the outcomes of `write!` are let go.
        let mut out = String::new();
        let Self { id, title, description, .. } = self;
        let _ = write!(
            out,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-labelledby=\"{id}-title {id}-desc\">\n\
             <title id=\"{id}-title\">{title}</title>\n<desc id=\"{id}-desc\">{description}</desc>\n"
        );
        self.draw_shade(&mut out);
        self.draw_axes(&mut out);
        self.draw_legend(&mut out);
        let mut is_empty = true;
        for line in &self.lines {
            for run in line.points.split(Option::is_none) {
                let run: Vec<_> = run.iter().flatten().map(|&point| self.place(point)).collect();
                is_empty &= run.is_empty();
                draw_run(&mut out, line.class, &run);
            }
        }
        if is_empty {
            let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, (TOP + HEIGHT - BOTTOM) / 2.0);
            let _ = writeln!(
                out,
                "<text class=\"nothing\" x=\"{x}\" y=\"{y}\" text-anchor=\"middle\">nothing was measured</text>"
            );
        }
        out.push_str("</svg>\n");
        out
    }

    fn place(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (across(self.x.place(x)), up(self.y.place(y)))
    }

    fn draw_shade(&self, out: &mut String) {
        let Some((from, to)) = self.shaded else { return };
        let (left, right) = (across(self.x.place(from)), across(self.x.place(to)));
        let _ = writeln!(
            out,
            "<rect class=\"shade\" x=\"{left:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{:.1}\"/>",
            right - left,
            HEIGHT - BOTTOM - TOP
        );
    }

    fn draw_axes(&self, out: &mut String) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for (place, text) in &self.y.ticks {
            let y = up(*place);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (place, text) in &self.x.ticks {
            let x = across(*place);
            let _ = writeln!(
                out,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 19.0
            );
        }
        let _ = writeln!(
            out,
            "<path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>\n\
             <text class=\"label\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>\n\
             <text class=\"label\" transform=\"translate(14 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            self.x.label,
            (TOP + bottom) / 2.0,
            self.y.label
        );
    }

    fn draw_legend(&self, out: &mut String) {
        let mut x = LEFT;
        for line in &self.lines {
            let _ = writeln!(
                out,
                "<path class=\"line {}\" d=\"M{x:.1} 16h24\"/><text x=\"{:.1}\" y=\"20\">{}</text>",
                line.class,
                x + 30.0,
                line.name
            );
            x += 52.0 + LEGEND_CHARACTER * line.name.chars().count() as f64;
        }
        if self.shaded.is_some() {
            let _ = writeln!(
                out,
                "<rect class=\"shade\" x=\"{x:.1}\" y=\"10\" width=\"24\" height=\"12\"/>\
                 <text x=\"{:.1}\" y=\"20\">measured</text>",
                x + 30.0
            );
        }
    }
}

/// Points without a gap between them: a line, or a dot for a single one, which a line would not show.
fn draw_run(out: &mut String, class: &str, points: &[(f64, f64)]) {
    match points {
        [] => {}
        [(x, y)] => {
            let _ = writeln!(out, "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>");
        }
        points => {
            let _ = write!(out, "<polyline class=\"line {class}\" points=\"");
            for (x, y) in points {
                let _ = write!(out, "{x:.1},{y:.1} ");
            }
            out.push_str("\"/>\n");
        }
    }
}

fn across(place: f64) -> f64 {
    LEFT + place * (WIDTH - RIGHT - LEFT)
}

fn up(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP)
}
