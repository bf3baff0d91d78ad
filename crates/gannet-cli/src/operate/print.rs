//! How an answer of the admin socket is printed: as JSON, or as a line for each of its values.

use serde_json::Value;

use crate::failure::Failure;
use crate::output;

/// Prints a report.
///
/// # Errors
///
/// Standard output cannot be written.
pub(super) fn report(report: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return output::print(&format!("{report}\n"));
    }
    let mut text = String::new();
    lines(&mut text, "", report);
    output::print(&text)
}

/// A line for each value: `listeners.added: public`.
fn lines(text: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(values) => {
            for (key, value) in values {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                lines(text, &name, value);
            }
        }
        Value::Array(values) if values.iter().any(|value| value.is_object() || value.is_array()) => {
            values.iter().for_each(|value| lines(text, name, value));
        }
        Value::Array(values) => {
            let all: Vec<String> = values.iter().map(plain).collect();
            *text += &format!("{name}: {}\n", if all.is_empty() { "none".to_owned() } else { all.join(", ") });
        }
        value => *text += &format!("{name}: {}\n", plain(value)),
    }
}

/// A value without quotes, and without what could move a terminal's cursor.
pub(super) fn plain(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        value => value.to_string(),
    };
    text.replace(|character: char| character.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_a_line_for_each_value() {
        let mut text = String::new();
        let report =
            json!({ "generation": 2, "listeners": { "added": ["a", "b"], "removed": [] }, "why": "x\u{1b}[2J" });
        lines(&mut text, "", &report);
        assert_eq!(text, "generation: 2\nlisteners.added: a, b\nlisteners.removed: none\nwhy: x [2J\n");
    }
}
