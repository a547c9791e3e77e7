//! Numbers on the command line.

use crate::Failure;
use std::str::FromStr;

/// The number that follows an option.
pub(crate) fn after<T: FromStr>(option: &str, word: Option<&&str>) -> Result<T, Failure> {
    let word = word.ok_or_else(|| Failure::new(format!("`{option}` needs a number")))?;
    word.parse().map_err(|_| Failure::new(format!("`{option}` needs a number, not `{word}`")))
}
