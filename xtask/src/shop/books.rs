//! The books of the three databases, as the program itself reads them.

use crate::Failure;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Orders by how they stand, and everything that must not be.
pub(crate) struct Books {
    /// Happened wholly.
    pub(crate) whole: BTreeSet<String>,
    /// Something is still held for them.
    pub(crate) pending: BTreeSet<String>,
    /// Sentences for people; empty if all is well.
    pub(crate) wrong: BTreeSet<String>,
}

impl Books {
    pub(crate) fn read(program: &Path, folder: &Path) -> Result<Books, Failure> {
        // It ends badly where something is wrong, and says what all the same.
        let output = Command::new(program).arg("shop-books").arg(folder).arg("--json").output();
        let output = output.map_err(|e| Failure::new(format!("reading the books failed: {e}")))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let books: Value = serde_json::from_str(&said)
            .map_err(|e| Failure::new(format!("the books were not understood: {e}: {said}")))?;
        let list = |name: &str| {
            let texts = books[name]
                .as_array()
                .map(|list| list.iter().filter_map(Value::as_str).map(String::from).collect());
            texts.ok_or_else(|| Failure::new(format!("the books have no list `{name}`: {said}")))
        };
        Ok(Books { whole: list("whole")?, pending: list("pending")?, wrong: list("wrong")? })
    }
}
