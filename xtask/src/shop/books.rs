//! The books of the three databases, as the program itself reads them.

use crate::{Failure, process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

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
        let (program, folder) = (program.to_string_lossy(), folder.to_string_lossy());
        let said = process::output(Path::new("/"), &program, ["shop-books", &folder, "--json"]);
        let said = said?;
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
