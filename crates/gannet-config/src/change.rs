//! What differs between two configurations, and a name for each.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};

use crate::place::Place;
use crate::setting::{Class, Section, Setting};
use crate::values::{Key, Values, default_of, quoted_key};

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key, or a member as a whole: `listener.public`.
    pub key: String,
    /// The value before; nothing where there was none. A secret is shown as a word.
    pub old: Option<String>,
    /// The value after; nothing where there is none. A secret is shown as a word.
    pub new: Option<String>,
    /// When it comes into effect.
    pub class: Class,
    /// Where the new value is from, such as `gannet.toml:3` or `default`; of a member that was removed, where it was.
    pub origin: String,
    /// The section that it is in, such as `listener` or `limits`.
    pub section: &'static str,
    /// The member of that section, where it has members.
    pub member: Option<String>,
    /// Whether the member as a whole was added or removed.
    pub is_member: bool,
}

impl Values {
    /// Lists what differs from `self` to `new`, by value. A member that only one of them has is one change.
    #[must_use]
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        for section in self.schema.sections {
            let names = |values: &Self| -> BTreeSet<String> {
                values.members(section.key).iter().map(|(name, _)| name.clone()).collect()
            };
            let (before, after) = (names(self), names(new));
            let place = |values: &Self, name: &String| {
                let found = values.members(section.key).iter().find(|(known, _)| known == name);
                found.map_or(Place::Default, |(_, place)| place.clone())
            };
            let class = self.class_of(section);
            let whole = |name: &String, old: Option<&str>, newer: Option<&str>| Change {
                key: format!("{}.{}", section.key, quoted_key(name)),
                old: old.map(str::to_owned),
                new: newer.map(str::to_owned),
                class,
                origin: place(if newer.is_some() { new } else { self }, name).to_string(),
                section: section.key,
                member: Some(name.clone()),
                is_member: true,
            };
            changes.extend(before.difference(&after).map(|name| whole(name, Some("present"), None)));
            changes.extend(after.difference(&before).map(|name| whole(name, None, Some("present"))));
            let kept = before.intersection(&after).map(|name| Some(name.clone()));
            let none = (before.is_empty() && after.is_empty()).then_some(None);
            let own = self.settings_of(section);
            for member in kept.chain(none) {
                let keys = own.iter().map(|setting| Key::new(self.schema, setting, member.as_deref()));
                changes.extend(keys.filter_map(|key| self.change(new, &key, section.key)));
            }
        }
        changes
    }

    /// When members of a section come and go: at a reload, where one of its settings changes at one.
    fn class_of(&self, section: &Section) -> Class {
        let is_live = |setting: &&'static Setting| setting.class == Class::Live;
        if self.settings_of(section).iter().any(is_live) { Class::Live } else { Class::Restart }
    }

    fn change(&self, new: &Self, key: &Key, section: &'static str) -> Option<Change> {
        let (before, after) = (self.value(key), new.value(key));
        if before == after {
            return None;
        }
        let kind = &key.setting().kind;
        Some(Change {
            key: key.to_string(),
            old: before.map(|value| value.shown(kind)),
            new: after.map(|value| value.shown(kind)),
            class: key.setting().class,
            origin: new.entries.get(key).map_or(Place::Default, |entry| entry.place.clone()).to_string(),
            section,
            member: key.member().map(str::to_owned),
            is_member: false,
        })
    }

    /// Returns the SHA-256 of everything that is not a default, in hexadecimal digits. Of a secret it only tells that there is
    /// one. Where a value comes from makes no difference.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for (section, members) in &self.members {
            // A string takes everything. The order of members is no setting, but that of listeners can be seen.
            for (name, _) in members {
                let _ = writeln!(text, "[{section}.{name:?}]");
            }
        }
        for (key, entry) in &self.entries {
            if default_of(key.setting()).as_ref() != Some(&entry.value) {
                let _ = writeln!(text, "{key} = {}", entry.value.shown(&key.setting().kind));
            }
        }
        digest(&SHA256, text.as_bytes()).as_ref().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    }
}
