//! What differs between two configurations, and a name for each.

use std::collections::{BTreeMap, BTreeSet};
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
        let schema = self.schema;
        // What neither has set is the same default in both.
        let set: BTreeSet<&Key> = self.entries.keys().chain(new.entries.keys()).collect();
        let mut keys: Vec<Vec<&Key>> = vec![Vec::new(); schema.sections.len()];
        let homes: Vec<Option<usize>> = schema.settings.iter().map(|setting| self.home(setting)).collect();
        for key in set {
            if let Some(Some(home)) = homes.get(key.index()) {
                keys[*home].push(key);
            }
        }
        let mut changes = Vec::new();
        for (section, keys) in schema.sections.iter().zip(keys) {
            let (before, after) = (self.places(section), new.places(section));
            let class = self.class_of(section);
            let whole = |name: &str, place: &Place, is_new: bool| Change {
                key: format!("{}.{}", section.key, quoted_key(name)),
                old: (!is_new).then(|| "present".to_owned()),
                new: is_new.then(|| "present".to_owned()),
                class,
                origin: place.to_string(),
                section: section.key,
                member: Some(name.to_owned()),
                is_member: true,
            };
            let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
            changes.extend(gone.map(|(name, place)| whole(name, place, false)));
            let added = after.iter().filter(|(name, _)| !before.contains_key(*name));
            changes.extend(added.map(|(name, place)| whole(name, place, true)));
            let is_kept =
                |key: &Key| key.member().is_none_or(|member| before.contains_key(member) && after.contains_key(member));
            let kept = keys.into_iter().filter(|key| is_kept(key));
            changes.extend(kept.filter_map(|key| self.change(new, key, section.key)));
        }
        changes
    }

    /// The place of a setting's section in the table.
    fn home(&self, setting: &Setting) -> Option<usize> {
        let own = self.schema.section_of(setting)?;
        self.schema.sections.iter().position(|section| section.key == own.key)
    }

    /// The members of a section, and where they are.
    fn places(&self, section: &Section) -> BTreeMap<&str, &Place> {
        self.members(section.key).iter().map(|(name, place)| (&**name, place)).collect()
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
