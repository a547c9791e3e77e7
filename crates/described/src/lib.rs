//! Holds what a coordinator is asked, and what it answers, against its description; for tests.
//!
//! [`check`] looks at one answer; a [`Witness`] stands between a coordinator and its clients,
//! whoever they are, and looks at all of them.

#![expect(clippy::unwrap_used, reason = "what is for tests stops where its ground fails")]

mod answer;
pub mod schema;
mod witness;

pub use answer::{Came, DESCRIPTION, check};
pub use witness::Witness;
