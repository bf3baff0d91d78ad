//! The namespaces of a space, as they are at a moment. A table never changes: another one takes its place.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::current::Seen;
use crate::error::SettingsError;
use crate::limits::Limits;
use crate::settings::{Options, Settings, range};
use crate::stats::Deliveries;

/// The namespaces and limits of a space at a moment.
#[derive(Debug)]
pub(crate) struct Table {
    /// Counts tables: the newer of two has the higher number.
    pub(crate) generation: u64,
    pub(crate) limits: Limits,
    /// By number. A namespace keeps its number for the life of the space, since channels and counters have it.
    slots: Vec<Arc<Slot>>,
    /// Those that are configured.
    by_name: BTreeMap<Box<str>, u16>,
}

/// One namespace.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) name: String,
    pub(crate) options: Options,
    /// Whether it is configured: one that is gone has the default options.
    pub(crate) is_there: bool,
    /// What each reactor counts for it.
    deliveries: Arc<[OfReactor]>,
}

/// Keeps the counters of neighbouring reactors off each other's cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OfReactor(Deliveries);

impl Table {
    /// The first table of a space.
    pub(crate) fn new(settings: Settings, reactors: usize) -> Result<Self, SettingsError> {
        let empty = Self { generation: 0, limits: Limits::default(), slots: Vec::new(), by_name: BTreeMap::new() };
        empty.next(settings, reactors)
    }

    /// The table that follows. Namespaces whose options are the same stay the same slot.
    pub(crate) fn next(&self, settings: Settings, reactors: usize) -> Result<Self, SettingsError> {
        settings.check(reactors)?;
        let numbers: BTreeMap<&str, usize> =
            self.slots.iter().enumerate().map(|(number, slot)| (&*slot.name, number)).collect();
        let mut slots: Vec<Option<Arc<Slot>>> = vec![None; self.slots.len()];
        let mut by_name = BTreeMap::new();
        for namespace in settings.namespaces {
            let (name, options) = (namespace.name, namespace.options);
            let number = numbers.get(&*name).copied().unwrap_or_else(|| {
                slots.push(None);
                slots.len() - 1
            });
            let known = u16::try_from(number)
                .map_err(|_| range("the number of namespaces since the start", number, "at most 65536"))?;
            by_name.insert(name.as_str().into(), known);
            slots[number] = Some(self.slots.get(number).map_or_else(
                || Arc::new(Slot::new(name, options.clone(), reactors)),
                |before| before.with(Some(options.clone())),
            ));
        }
        let mut before = self.slots.iter();
        let slots = slots.into_iter().map(|slot| {
            let before = before.next();
            slot.or_else(|| before.map(|before| before.with(None))).expect("a slot that is new is configured")
        });
        Ok(Self { generation: self.generation + 1, limits: settings.limits, slots: slots.collect(), by_name })
    }

    /// The number of a namespace that is configured.
    pub(crate) fn number(&self, name: &str) -> Option<u16> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn slot(&self, number: usize) -> &Arc<Slot> {
        &self.slots[number]
    }

    /// All of them, with those that are gone.
    pub(crate) fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
    }
}

impl Slot {
    fn new(name: String, options: Options, reactors: usize) -> Self {
        Self { name, options, is_there: true, deliveries: (0..reactors).map(|_| OfReactor::default()).collect() }
    }

    /// The same with other options, or without being there.
    fn with(self: &Arc<Self>, options: Option<Options>) -> Arc<Self> {
        let is_there = options.is_some();
        let options = options.unwrap_or_default();
        if is_there == self.is_there && options.are(&self.options) {
            return Arc::clone(self);
        }
        Arc::new(Self { name: self.name.clone(), options, is_there, deliveries: Arc::clone(&self.deliveries) })
    }

    /// What a reactor counts for it.
    pub(crate) fn deliveries(&self, reactor: u16) -> &Deliveries {
        &self.deliveries[usize::from(reactor)].0
    }
}

/// The options of a channel's namespace, as they were when they were asked for.
#[derive(Debug, Clone)]
pub struct ChannelOptions {
    table: Seen<Table>,
    number: usize,
}

impl ChannelOptions {
    pub(crate) fn new(table: Seen<Table>, number: u16) -> Self {
        Self { table, number: number.into() }
    }
}

impl Deref for ChannelOptions {
    type Target = Options;

    fn deref(&self) -> &Options {
        &self.table.slot(self.number).options
    }
}
