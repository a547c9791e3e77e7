//! The pages of all codes as one page, `docs/codes.md`.

use super::row::{Retry, Row};
use super::table::TABLE;
use std::fmt::Write;

const HEAD: &str = "# Codes

What the coordinator refuses it refuses with a problem document (RFC 9457), whose `code` is one of
these. `GET /v1/problems/{code}` gives the same pages, `/v1/openapi.json` says which request may
hear which. Treat a code that you do not know by its HTTP status, and by `retry` in the document.

*Drawn from the table in `crates/wire` by `cargo xtask tidy --write-codes`.*

| code | status | retry | |
|---|---|---|---|
";

/// The whole page.
pub fn pages() -> String {
    let mut page = String::from(HEAD);
    for row in TABLE {
        let Row { code, status, title, .. } = row;
        let retry = match row.retry {
            Retry::Never => "no",
            Retry::Later => "later",
            Retry::Now => "at once",
        };
        writeln!(page, "| [`{code}`](#{code}) | {status} | {retry} | {title} |")
            .expect("a string takes all");
    }
    for row in TABLE {
        let text = row.to_string();
        let body = text.split_once("\n\n").map_or("", |(_, body)| body);
        write!(page, "\n## {}\n\n**{}.** {body}", row.code, row.title).expect("a string takes all");
    }
    page
}
