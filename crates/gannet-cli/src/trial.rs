//! The settings, for our own fuzz targets: nothing of this is stable.

use gannet_config::{Loader, Problems, Schema, Values};

use crate::settings::{Configuration, SCHEMA};

/// Returns the table of all settings.
#[must_use]
pub fn schema() -> &'static Schema {
    &SCHEMA
}

/// Reads, checks and types what the layers of a loader come to, as `gannet serve` does at its start.
///
/// # Errors
///
/// Everything that is wrong.
pub fn settings(loader: Loader) -> Result<Values, Problems> {
    Configuration::of(loader).map(|configuration| configuration.values().clone())
}
