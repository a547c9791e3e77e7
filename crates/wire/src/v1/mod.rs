//! The JSON of v1: what is asked, what is answered, and the way from and to the words of core.

pub mod answer;
pub mod call;
mod convert;
mod digest;
mod history;
mod json;
pub mod looking;
pub mod path;
mod read;
pub mod request;
pub mod shape;
pub mod standing;
pub mod time;

pub use convert::{registered, row_word, submitted, summary, transaction};
pub use history::history;
pub use json::{NESTING_MAX, is_too_deep, raw};
pub use read::{
    Opening, Operation, Plan, Votes, Wish, read_abort, read_begin, read_branch, read_commit,
    read_operation, read_pause, read_reason, read_submit,
};

#[cfg(test)]
mod tests;
