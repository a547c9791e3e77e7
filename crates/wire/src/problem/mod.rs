//! Problem documents (RFC 9457), and the way from a rejection to one.

mod pages;
mod row;
mod table;

pub use pages::pages;
pub use row::{Grpc, Page, Retry, Row};
pub use table::TABLE;

use crate::edge::EdgeRejection;
use crate::v1::answer::Transaction;
use crate::v1::transaction;
use crate::words::Word;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use wholly_core::ids::Gid;
use wholly_core::rejection::Rejection;

/// Where the pages of codes are.
pub const PAGES: &str = "/v1/problems/";

/// The content type of a problem document.
pub const CONTENT_TYPE: &str = "application/problem+json";

/// The row of a code.
pub fn row(code: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.code == code)
}

/// A problem document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Problem<'a> {
    /// The page of the code.
    #[serde(rename = "type", default)]
    pub page: Cow<'a, str>,
    /// The code's title.
    #[serde(default)]
    pub title: Cow<'a, str>,
    /// The HTTP status.
    pub status: u16,
    /// The code a program reads.
    pub code: Cow<'a, str>,
    /// What happened, and what to do.
    #[serde(default)]
    pub detail: Cow<'a, str>,
    /// Which transaction it is about, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<Cow<'a, str>>,
    /// Which field of the request is wrong, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'a, str>>,
    /// Whether the same request may succeed, and when.
    pub retry: Word<Retry>,
    /// How the transaction stands, where the asker may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Box<Transaction<'a>>>,
}

impl<'a> Problem<'a> {
    fn of(code: &'static str, detail: String) -> Problem<'a> {
        let row = row(code).expect("every code has a row in the table");
        Problem {
            page: format!("{PAGES}{code}").into(),
            title: row.title.into(),
            status: row.status,
            code: code.into(),
            detail: detail.into(),
            gid: None,
            field: None,
            retry: row.retry.into(),
            transaction: None,
        }
    }

    /// The problem that a rejection by the rules is; `gid` is the one that was asked for.
    pub fn of_rejection(rejection: &'a Rejection, asked: Option<&'a Gid>) -> Problem<'a> {
        let mut problem = Problem::of(rejection.code(), rejection.to_string());
        problem.gid = rejection.gid().or(asked).map(|gid| gid.as_str().into());
        if let Rejection::Decided { document } = rejection {
            problem.transaction = Some(Box::new(transaction(document)));
        }
        problem
    }

    /// The problem that a rejection by the edge is; `gid` is the one that was asked for.
    pub fn of_edge(rejection: &EdgeRejection, asked: Option<&'a Gid>) -> Problem<'a> {
        Problem {
            gid: asked.map(|gid| gid.as_str().into()),
            field: rejection.field().map(|field| Cow::Owned(field.to_string())),
            ..Problem::of(rejection.code(), rejection.to_string())
        }
    }
}

#[cfg(test)]
mod tests;
