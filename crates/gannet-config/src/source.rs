//! The text of a file, its lines, and what of them may be shown.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The most of a line that an error shows, in characters.
const LONGEST_LINE: usize = 120;

/// Holds the text of a configuration file.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    begins: Vec<usize>,
    /// The keys whose values are secrets.
    secrets: Vec<String>,
    /// From which byte on each line may not be shown. It is found out when the first one is shown.
    hidden: OnceLock<Vec<Option<usize>>>,
}

/// A line as an error shows it, and where in it the caret is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) text: String,
    /// Characters before the caret.
    pub(crate) before: usize,
    pub(crate) width: usize,
}

impl Source {
    /// Takes over the text of a file; the values of these keys are secrets.
    pub(crate) fn new(path: &Path, text: &str, secrets: &[&str]) -> Self {
        let mut begins = vec![0];
        begins.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        let secrets = secrets.iter().map(|&name| name.to_owned()).collect();
        Self { path: path.to_owned(), text: text.to_owned(), begins, secrets, hidden: OnceLock::new() }
    }

    /// Returns the path that the file was named by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line that a byte is in, from 0.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.begins.partition_point(|begin| *begin <= at) - 1
    }

    /// The column of a byte in its line, in characters from 0.
    pub(crate) fn column(&self, at: usize) -> usize {
        let begin = self.begins[self.line(at)];
        self.text.get(begin..at).map_or(0, |before| before.chars().count())
    }

    /// A line without its end.
    fn of_line(&self, line: usize) -> &str {
        let begin = self.begins[line];
        let end = self.begins.get(line + 1).copied().unwrap_or(self.text.len());
        self.text[begin..end].trim_end_matches(['\n', '\r'])
    }

    /// The line of a span as an error shows it: without secrets, without control characters, and not too long.
    pub(crate) fn shown(&self, span: &Range<usize>) -> Shown {
        let line = self.line(span.start);
        let (begin, text) = (self.begins[line], self.of_line(line));
        let (mut from, mut to) = (span.start - begin, span.end.max(span.start) - begin);
        let mut text = text.to_owned();
        if let Some(hidden) = self.hidden.get_or_init(|| hidden(self, &self.secrets))[line] {
            text.truncate(hidden);
            text.push('…');
            from = from.min(hidden);
            to = to.min(text.len()).max(from);
        }
        let (from, to) = (from.min(text.len()), to.min(text.len()));
        let before = text.get(..from).map_or(0, |before| before.chars().count());
        let width = text.get(from..to).map_or(1, |marked| marked.chars().count()).max(1);
        let clean = |letter: char| if letter == '\t' || letter.is_control() { ' ' } else { letter };
        let letters: Vec<char> = text.chars().map(clean).collect();
        // The part around the caret, where a line is too long for it to be seen.
        let skipped = if letters.len() > LONGEST_LINE { before.saturating_sub(LONGEST_LINE / 2) } else { 0 };
        let part: String = letters.iter().skip(skipped).take(LONGEST_LINE).collect();
        let width = width.min(LONGEST_LINE.saturating_sub(before - skipped).max(1));
        Shown { text: part, before: before - skipped, width }
    }
}

/// From which byte on each line may not be shown: the values of secrets, over all of their lines.
fn hidden(source: &Source, secrets: &[String]) -> Vec<Option<usize>> {
    let (mut within, mut quotes) = (false, false);
    let mut all = Vec::new();
    for line in 0..source.begins.len() {
        let text = source.of_line(line);
        let starts_anew =
            !quotes && (text.trim_start().starts_with('[') && !within || assigns(text) || text.trim().is_empty());
        if starts_anew {
            within = false;
        }
        let from = if within { Some(0) } else { secrets.iter().filter_map(|name| value_of(text, name)).min() };
        if from.is_some() {
            within = true;
            if (text.matches("\"\"\"").count() + text.matches("'''").count()) % 2 == 1 {
                quotes = !quotes;
            }
        }
        all.push(from);
    }
    all
}

/// Where the value of a key begins in a line, if that key has one there.
fn value_of(line: &str, name: &str) -> Option<usize> {
    line.match_indices(name).find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|letter| letter.is_alphanumeric() || letter == '_' || letter == '-') {
            return None;
        }
        let behind = &line[at + name.len()..];
        let value = behind.trim_start_matches(['"', '\'']).trim_start();
        value.starts_with('=').then(|| line.len() - value.len() + 1)
    })
}

/// Whether a line begins with a key and an equals sign.
fn assigns(line: &str) -> bool {
    let Some((key, _)) = line.split_once('=') else { return false };
    let key = key.trim();
    !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || "_-. ".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, marked: &str, secrets: &[&str]) -> Shown {
        let source = Source::new(Path::new("f"), text, secrets);
        let at = text.find(marked).expect("it is there");
        source.shown(&(at..at + marked.len()))
    }

    #[test]
    fn a_place_has_a_line_a_column_and_a_caret() {
        let source = Source::new(Path::new("f"), "a = 1\r\n  ü = \"x\"\n", &[]);
        let at = 7 + "  ü = ".len();
        assert_eq!((source.line(at), source.column(at)), (1, 6));
        let shown = source.shown(&(at..at + 3));
        assert_eq!((&*shown.text, shown.before, shown.width), ("  ü = \"x\"", 6, 3));
        // The end of the text, and of a line.
        let shown = source.shown(&(17..17));
        assert_eq!((&*shown.text, shown.before, shown.width), ("  ü = \"x\"", 9, 1));
        assert_eq!(source.line(18), 2);
    }

    #[test]
    fn a_secret_is_never_in_a_line_that_is_shown() {
        for text in [
            "password = \"hunter2",
            "password=hunter2",
            "redis.password = 'hunter2'",
            "\"password\" = 'hunter2'",
            "redis = { max = 1, password = \"hunter2\" }",
            "keys = [\n  \"hunter2\",\n]",
            "keys = [\n  { file = \"a\" },\n  \"hunter2=\"\n",
            "password = \"\"\"\nhunter2\n\"\"\"",
            "password = '''\nx=hunter2\n'''",
        ] {
            let source = Source::new(Path::new("f"), text, &["password", "keys"]);
            for at in 0..text.len() {
                assert!(!source.shown(&(at..at + 1)).text.contains("unter"), "{text} at {at}");
            }
        }
        let text = "password = \"hunter2\"\nframe = \"1\"\n";
        assert_eq!(shown(text, "\"1\"", &["password"]).text, "frame = \"1\"");
        let marked = shown(text, "\"hunter2\"", &["password"]);
        assert_eq!((&*marked.text, marked.before, marked.width), ("password =…", 10, 1));
        assert_eq!(shown("my_password = 1", "1", &["password"]).text, "my_password = 1");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{} = {}", "k".repeat(500), "1".repeat(500));
        let marked = shown(&text, "= ", &[]);
        assert!(marked.text.chars().count() <= LONGEST_LINE);
        assert_eq!(marked.text.chars().nth(marked.before), Some('='));
        let marked = shown("a\t=\u{7}1", "1", &[]);
        assert_eq!((&*marked.text, marked.before), ("a = 1", 4));
    }
}
