//! The forms of a report: text for a terminal, JSON for programs, CSV for spreadsheets, a page for people.
//!
//! Each is a pure function of [`Results`](crate::results::Results): nothing here opens a file or reads a clock, so any
//! thread may call it, any number of times.

mod axis;
mod charts;
mod csv;
mod html;
pub mod json;
mod plot;
mod summary;
mod text;

pub use csv::csv;
pub use html::html;
pub use json::json;
pub use text::text;
