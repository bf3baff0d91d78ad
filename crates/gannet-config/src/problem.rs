//! Everything that is wrong with a configuration, each with its place.

use std::fmt::{self, Display, Formatter};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::place::Place;
use crate::source::Source;

/// The most problems that are kept: nobody reads on, and a file that is something else has one in every line.
const MOST_PROBLEMS: usize = 1_000;

/// The longest part of a message, in bytes: names and values of a file that is something else may have megabytes.
const LONGEST_MESSAGE_BYTES: usize = 2_000;

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    message: String,
    place: Option<Place>,
    others: Vec<(String, Place)>,
}

impl Problem {
    /// Says what is wrong at a place.
    pub fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { message: shortened(message.into()), place: Some(place.clone()), others: Vec::new() }
    }

    /// Says what is wrong where no place is to blame.
    pub fn general(message: impl Into<String>) -> Self {
        Self { message: shortened(message.into()), place: None, others: Vec::new() }
    }

    /// Adds another place that it has to do with, and what is there.
    #[must_use]
    pub fn and(mut self, what: impl Into<String>, place: Option<&Place>) -> Self {
        // Only a file has something to show.
        self.others.extend(place.filter(|place| place.is_file()).map(|place| (what.into(), place.clone())));
        self
    }

    /// Returns the message in one line, with its place: `file:line:column: …`, or `… in the environment: …`, or with the
    /// flag.
    #[must_use]
    pub fn line(&self) -> String {
        let line = match &self.place {
            Some(Place::File(source, span)) => format!("{}: {}", position(source, span), self.message),
            Some(Place::Variable(name)) => {
                format!("{} in the environment: {}", shortened(name.clone()), self.message)
            }
            Some(Place::Flag(name)) if !self.message.contains(name) => format!("{name}: {}", self.message),
            Some(Place::Flag(_) | Place::Default) | None => self.message.clone(),
        };
        line.replace(char::is_control, " ")
    }

    /// Returns what is wrong, without the place.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the file, the line and the column, both from 1, where it is in a file.
    #[must_use]
    pub fn position(&self) -> Option<(&Path, usize, usize)> {
        let Some(Place::File(source, span)) = &self.place else { return None };
        Some((source.path(), source.line(span.start) + 1, source.column(span.start) + 1))
    }

    /// Returns where it is.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// Where it stands among others: by file and byte, then the environment, then flags.
    fn rank(&self) -> (u8, usize) {
        match &self.place {
            Some(Place::File(_, span)) => (0, span.start),
            Some(Place::Variable(_)) => (1, 0),
            Some(Place::Flag(_)) => (2, 0),
            Some(Place::Default) | None => (3, 0),
        }
    }
}

/// A text without its middle, where it is too long.
fn shortened(text: String) -> String {
    if text.len() <= LONGEST_MESSAGE_BYTES {
        return text;
    }
    let begin = text.floor_char_boundary(LONGEST_MESSAGE_BYTES / 2);
    let end = text.ceil_char_boundary(text.len() - LONGEST_MESSAGE_BYTES / 2);
    format!("{}…{}", &text[..begin], &text[end..])
}

fn position(source: &Source, span: &Range<usize>) -> String {
    let (line, column) = (source.line(span.start) + 1, source.column(span.start) + 1);
    format!("{}:{line}:{column}", source.path().display())
}

/// The line, then the source line with its number and a caret.
impl Display for Problem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line())?;
        if let Some(Place::File(source, span)) = &self.place {
            excerpt(f, source, span)?;
        }
        for (what, place) in &self.others {
            if let Place::File(source, span) = place {
                write!(f, "\n{}: {what}", position(source, span))?;
                excerpt(f, source, span)?;
            }
        }
        Ok(())
    }
}

fn excerpt(f: &mut Formatter<'_>, source: &Arc<Source>, span: &Range<usize>) -> fmt::Result {
    let shown = source.shown(span);
    let number = (source.line(span.start) + 1).to_string();
    write!(f, "\n  {number} | {}", shown.text.trim_end())?;
    let (margin, before) = (" ".repeat(number.len()), " ".repeat(shown.before));
    write!(f, "\n  {margin} | {before}{}", "^".repeat(shown.width))
}

/// Collects what is wrong: the first 1,000 problems. The last one says so where there are more.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    all: Vec<Problem>,
}

impl Problems {
    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        match self.all.len() {
            0..MOST_PROBLEMS => self.all.push(problem),
            MOST_PROBLEMS => self.all.push(Problem::general(format!(
                "there are more errors than these {MOST_PROBLEMS}; is it another file?"
            ))),
            _ => {}
        }
    }

    /// Tells whether further ones are not kept, so that nobody needs to look for them.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.all.len() > MOST_PROBLEMS
    }

    /// Adds those of others.
    pub fn extend(&mut self, others: Self) {
        others.all.into_iter().for_each(|problem| self.push(problem));
    }

    /// Tells whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns how many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Goes over them by their places: first those of files, from the top down.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        let mut all: Vec<&Problem> = self.all.iter().collect();
        all.sort_by_key(|problem| problem.rank());
        all.into_iter()
    }

    /// Returns `Err` with them if there are any.
    ///
    /// # Errors
    ///
    /// Something is wrong.
    pub fn check(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { all: vec![problem] }
    }
}

/// All of them, by their places.
impl Display for Problems {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_problems_are_kept_than_somebody_reads_and_the_last_one_says_so() {
        let mut problems = Problems::default();
        for number in 0..3 * MOST_PROBLEMS {
            problems.push(Problem::general(number.to_string()));
        }
        let mut all = Problems::default();
        all.extend(problems);
        assert_eq!(all.len(), MOST_PROBLEMS + 1);
        let last = all.iter().last().expect("there are some").message().to_owned();
        assert!(last.contains("more errors than these 1000"), "{last}");
    }

    #[test]
    fn a_message_with_megabytes_is_shown_without_its_middle() {
        let problem = Problem::general(format!("begin {} end", "é".repeat(1 << 20)));
        let line = problem.line();
        assert!(line.len() < 2 * LONGEST_MESSAGE_BYTES, "{}", line.len());
        assert!(line.starts_with("begin é") && line.contains("é…é") && line.ends_with("é end"), "{line}");
        let problem = Problem::at(&Place::Variable("X".repeat(1 << 20)), "it is unknown");
        assert!(problem.line().len() < 2 * LONGEST_MESSAGE_BYTES);
    }
}
