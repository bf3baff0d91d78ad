//! One table of a comparison: rows that are measured in turn, their medians, and ratios between runs of one round.

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use crate::measure::Spread;
use crate::run::Ratio;
use crate::run::plan::Plan;
use crate::run::rounds::in_turn;

/// A figure that every row of a table has.
#[derive(Serialize)]
pub struct Column {
    /// Its name in JSON, with its unit.
    pub key: &'static str,
    /// Its name above the table.
    pub title: &'static str,
    /// Digits after the point.
    #[serde(skip)]
    pub digits: usize,
}

impl Column {
    /// A figure with this name, title, and number of digits after the point.
    pub const fn new(key: &'static str, title: &'static str, digits: usize) -> Self {
        Self { key, title, digits }
    }
}

/// The outcome of one run of one row.
pub enum Measured {
    /// A figure for each column.
    Figures(Vec<f64>),
    /// Why this row cannot do what is asked.
    Impossible(String),
}

/// A comparison that a table will show, before it is measured.
pub struct Comparison<'p> {
    /// Rounds, times, and which rows are wanted.
    pub plan: &'p Plan,
    /// Says what is done.
    pub title: String,
    /// The figures, in the order of [`Measured::Figures`].
    pub columns: &'static [Column],
    /// The column whose ratio is taken.
    pub compared: usize,
    /// The row that the others are compared with.
    pub against: &'static str,
}

/// One row; medians over the rounds, with the smallest and the largest.
#[derive(Serialize)]
pub struct Row {
    subject: String,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    impossible: Option<String>,
    figures: BTreeMap<&'static str, Spread>,
    /// Against the row that the table names, in the same round; empty for that row itself.
    ratios: Vec<Ratio>,
}

/// A measured table.
#[derive(Serialize)]
pub struct Table {
    title: String,
    columns: &'static [Column],
    /// The figure that ratios are of.
    compared: &'static str,
    /// The row that ratios are to.
    against: &'static str,
    rows: Vec<Row>,
}

impl Comparison<'_> {
    /// Measures each variant once a round, and prints the table unless JSON is wanted. The row that the others are
    /// compared with is measured even where `--only` does not name it.
    pub fn of<V>(
        &self,
        variants: impl IntoIterator<Item = (String, V)>,
        mut measure: impl FnMut(&V) -> io::Result<Measured>,
    ) -> io::Result<Table> {
        let setup = &self.plan.setup;
        let chosen: Vec<(String, V)> =
            variants.into_iter().filter(|(name, _)| name == self.against || setup.wants(name)).collect();
        let outcomes = in_turn(&chosen, self.plan.rounds, |(name, variant)| {
            measure(variant).map_err(|error| io::Error::new(error.kind(), format!("{}, {name}: {error}", self.title)))
        })?;
        let names = chosen.into_iter().map(|(name, _)| name).collect();
        let table = self.table(names, &outcomes);
        if setup.prints_tables() {
            self.print(&table);
        }
        Ok(table)
    }

    fn table(&self, names: Vec<String>, outcomes: &[Vec<Measured>]) -> Table {
        // A row can do what is asked in every round or in none.
        let values = |row: &[Measured], column: usize| -> Vec<f64> {
            let figures = row.iter().filter_map(|measured| match measured {
                Measured::Figures(figures) => Some(figures[column]),
                Measured::Impossible(_) => None,
            });
            figures.collect()
        };
        let floor = names.iter().position(|name| name == self.against);
        let row = |(index, name): (usize, String)| {
            let measured = &outcomes[index];
            let figures = self
                .columns
                .iter()
                .enumerate()
                .filter_map(|(column, Column { key, .. })| Some((*key, Spread::of(values(measured, column))?)));
            let ratio = floor.filter(|floor| *floor != index).and_then(|floor| {
                Spread::of_ratios(&values(measured, self.compared), &values(&outcomes[floor], self.compared))
            });
            let impossible = measured.iter().find_map(|measured| match measured {
                Measured::Figures(_) => None,
                Measured::Impossible(why) => Some(why.clone()),
            });
            let ratios = ratio.map(|spread| Ratio::to(self.against, spread)).into_iter().collect();
            Row { subject: name, impossible, figures: figures.collect(), ratios }
        };
        let rows = names.into_iter().enumerate().map(row).collect();
        let (title, columns) = (self.title.clone(), self.columns);
        Table { title, columns, compared: columns[self.compared].key, against: self.against, rows }
    }

    /// Prints it as Markdown.
    fn print(&self, table: &Table) {
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        println!("\n**{}**\n", table.title);
        println!("| | {} | {} against {} |", titles.join(" | "), titles[self.compared], self.against);
        println!("|---|{}", "---|".repeat(titles.len() + 1));
        for Row { subject, impossible, figures, ratios } in &table.rows {
            if let Some(why) = impossible {
                println!("| {subject} | {why} |{}", " |".repeat(titles.len()));
                continue;
            }
            let cells: Vec<String> = self.columns.iter().map(|column| column.cell(figures)).collect();
            let ratio = ratios.first().map_or_else(|| "–".to_owned(), Ratio::figures);
            println!("| {subject} | {} | {ratio} |", cells.join(" | "));
        }
    }
}

impl Column {
    fn cell(&self, figures: &BTreeMap<&'static str, Spread>) -> String {
        figures.get(self.key).map_or_else(|| "–".to_owned(), |spread| format!("{:.*}", self.digits, spread.median))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        plan: Plan,
    }

    const COLUMNS: &[Column] = &[Column::new("first", "first", 0), Column::new("second", "second", 1)];

    fn compare(arguments: &[&str]) -> Table {
        let cli = Cli::parse_from([&["test", "--rounds", "3"], arguments].concat());
        let title = "Numbers".to_owned();
        let comparison = Comparison { plan: &cli.plan, title, columns: COLUMNS, compared: 1, against: "one" };
        let variants = [("one", 1.0), ("two", 2.0), ("none", 0.0)].map(|(name, value)| (name.to_owned(), value));
        let measure = |value: &f64| {
            if *value == 0.0 {
                return Ok(Measured::Impossible("it is zero".to_owned()));
            }
            Ok(Measured::Figures(vec![*value, value * 10.0]))
        };
        comparison.of(variants, measure).expect("figures")
    }

    #[test]
    fn a_row_has_the_ratio_of_the_compared_column_to_the_row_that_is_named() {
        let table = compare(&[]);
        assert_eq!(table.rows.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["one", "two", "none"]);
        assert!(table.rows[0].ratios.is_empty());
        assert_eq!(table.rows[1].ratios[0].to_string(), "2.000 (2.000 to 2.000) × one");
        assert_eq!(table.rows[1].figures["first"].median, 2.0);
    }

    #[test]
    fn a_row_that_cannot_do_it_says_why_and_has_no_figures() {
        let table = compare(&[]);
        assert_eq!(table.rows[2].impossible.as_deref(), Some("it is zero"));
        assert!(table.rows[2].figures.is_empty() && table.rows[2].ratios.is_empty());
    }

    #[test]
    fn only_the_rows_that_are_wanted_are_measured_beside_the_one_they_are_compared_with() {
        let table = compare(&["--only", "none"]);
        assert_eq!(table.rows.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["one", "none"]);
    }
}
