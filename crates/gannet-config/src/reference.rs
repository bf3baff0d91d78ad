//! The reference page of all settings.

use std::fmt::Write as _;

use crate::setting::{Form, Schema, Section, Setting};

impl Schema {
    /// Writes the tables of all settings as Markdown: a heading for each section, a row for each setting.
    #[must_use]
    pub fn reference(&self) -> String {
        let mut text = String::new();
        for section in self.sections {
            let own: Vec<&Setting> = self
                .settings
                .iter()
                .filter(|one| self.section_of(one).is_some_and(|own| own.key == section.key))
                .collect();
            if own.is_empty() {
                continue;
            }
            let title = match section.form {
                Form::Table => format!("[{}]", section.key),
                Form::Named => format!("[{}.NAME]", section.key),
                Form::Array(_) => format!("[[{}]]", section.key),
            };
            // A string takes everything.
            let _ = writeln!(text, "## `{title}`\n\n{}\n", section.doc);
            if let Some((flag, _)) = section.flag {
                let variable = crate::setting::variable(self.prefix, flag.name);
                let what = if section.form == Form::Table { "all values" } else { "all members" };
                let _ = writeln!(text, "`--{}` and `{variable}` replace {what} of the file.\n", flag.name);
            }
            text += "| key | value | default | change | flag and variables |\n|---|---|---|---|---|\n";
            for setting in &own {
                self.row(&mut text, section, setting);
            }
            text.push('\n');
            for setting in &own {
                let name = setting.key.strip_prefix(&*section.prefix()).unwrap_or(setting.key);
                let _ = writeln!(text, "- `{name}`: {}", sentence(setting));
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
        text
    }

    fn row(&self, text: &mut String, section: &Section, setting: &Setting) {
        let name = setting.key.strip_prefix(&*section.prefix()).unwrap_or(setting.key);
        let default = match (setting.default, setting.otherwise) {
            (Some(default), _) => format!("`{default}`"),
            (None, otherwise) => otherwise.to_owned(),
        };
        let flag = setting.flag.map(|flag| format!("`--{}`", flag.name));
        let variables = setting.variables(self.prefix).into_iter().map(|name| format!("`{name}`"));
        let given: Vec<String> = flag.into_iter().chain(variables).collect();
        let kind = setting.kind.describe();
        let class = setting.class.name();
        let _ = writeln!(text, "| `{name}` | {kind} | {default} | {class} | {} |", given.join(", "));
    }
}

/// What a setting does, on one line.
fn sentence(setting: &Setting) -> String {
    let more = setting.more.split_whitespace().collect::<Vec<_>>().join(" ");
    let doc = setting.doc.trim_end_matches('.');
    if more.is_empty() { format!("{doc}.") } else { format!("{doc}. {more}") }
}
