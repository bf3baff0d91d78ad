//! What a user reads of a run, in each form, and what is said about an expectation that was not met.
// In a test a panic is the report.
#![allow(clippy::unwrap_used)]

mod csv;
mod expect;
mod html;
mod json;
mod sample;
mod text;
