//! `GET /v1/transactions`: filters, cursor, and how the calls of what is open stand.

use super::super::{Coordinator, Refused};
use super::Api;
use super::answer::{Answer, json};
use super::query::Query;
use http::StatusCode;
use std::collections::BTreeMap;
use wholly_core::branch::Mode;
use wholly_core::document::{Calls, Response};
use wholly_core::ids::Gid;
use wholly_core::input::Request;
use wholly_core::record::{Outcome, PhaseName};
use wholly_core::time::Timestamp;
use wholly_store::contract::{Cursor, Filter, Listing, Page, Stuck};
use wholly_wire::edge::EdgeRejection;
use wholly_wire::v1::answer::List;
use wholly_wire::v1::summary;
use wholly_wire::v1::time::Time;

/// Names of the query parameters.
pub(super) const PARAMETERS: &[&str] = &[
    "state",
    "stuck",
    "name",
    "waits_for",
    "outcome",
    "mode",
    "begun_from",
    "begun_until",
    "older_than_ms",
    "gid_prefix",
    "limit",
    "cursor",
];

/// Rows of a page that names no limit.
const PAGE_ROWS: u64 = 50;
/// Most rows of a page.
const PAGE_ROWS_MAX: u64 = 500;

impl<C: Coordinator> Api<C> {
    /// A page of transactions.
    pub(super) async fn list(&self, query: &Query<'_>) -> Result<Answer, Refused> {
        let filter = read_filter(query, self.coordinator.now())?;
        let listing = self.coordinator.list(filter, read_page(query)?).await?;
        let open = listing.items.iter().filter(|listed| match listed.summary.phase {
            PhaseName::Open | PhaseName::Forward | PhaseName::Finishing => true,
            PhaseName::Ended => false,
        });
        let calls = self.calls(open.map(|listed| listed.gid.clone()).collect()).await?;
        Ok(json(StatusCode::OK, &page(&listing, &calls)))
    }

    /// How the calls of these transactions stand; those that are not open are left out.
    pub(super) async fn calls(&self, gids: Vec<Gid>) -> Result<BTreeMap<Gid, Calls>, Refused> {
        if gids.is_empty() {
            return Ok(BTreeMap::new());
        }
        match self.coordinator.request(Request::Calls { gids }, None, None).await? {
            Response::Calls(calls) => {
                Ok(calls.into_iter().map(|calls| (calls.gid.clone(), calls)).collect())
            }
            Response::Begun { .. }
            | Response::Submitted { .. }
            | Response::Registered { .. }
            | Response::Transaction { .. } => Err(EdgeRejection::Internal.into()),
        }
    }
}

pub(super) fn page<'a>(listing: &'a Listing, calls: &'a BTreeMap<Gid, Calls>) -> List<'a> {
    let row = |listed: &'a wholly_store::contract::Listed| {
        summary(&listed.gid, &listed.summary, calls.get(&listed.gid))
    };
    List {
        items: listing.items.iter().map(row).collect(),
        next: listing.next.as_ref().map(|cursor| print_cursor(cursor).into()),
    }
}

fn read_filter(query: &Query<'_>, now: Timestamp) -> Result<Filter, EdgeRejection> {
    let older_than = query.number("older_than_ms")?.map(|ms| now.minus_ms(ms));
    let until = query.parsed::<Time>("begun_until")?.map(|Time(until)| until);
    Ok(Filter {
        state: query.word::<PhaseName>("state")?,
        stuck: match query.text("stuck") {
            None => Stuck::Any,
            Some("true") => Stuck::Only,
            Some("false") => Stuck::Without,
            Some(_) => return Err(EdgeRejection::invalid("stuck", "must be true or false")),
        },
        name: query.parsed("name")?,
        waits_for: query.parsed("waits_for")?,
        mode: query.word::<Mode>("mode")?,
        begun_from: query.parsed::<Time>("begun_from")?.map(|Time(from)| from),
        begun_before: match (older_than, until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        },
        outcome: query.word::<Outcome>("outcome")?,
        gid_prefix: match query.text("gid_prefix") {
            None | Some("") => String::new(),
            Some(prefix) => {
                // What a gid may begin with has the form of a gid.
                let prefix = Gid::new(prefix);
                let prefix = prefix.map_err(|why| EdgeRejection::invalid("gid_prefix", why))?;
                prefix.as_str().to_string()
            }
        },
    })
}

fn read_page(query: &Query<'_>) -> Result<Page, EdgeRejection> {
    let limit = query.number("limit")?.unwrap_or(PAGE_ROWS);
    if !(1..=PAGE_ROWS_MAX).contains(&limit) {
        let why = format!("must be from 1 to {PAGE_ROWS_MAX}; follow next for more");
        return Err(EdgeRejection::invalid("limit", why));
    }
    let wrong = || EdgeRejection::invalid("cursor", "is none of ours; take it from next as it is");
    let after = match query.text("cursor") {
        None => None,
        Some(text) => Some(parse_cursor(text).ok_or_else(wrong)?),
    };
    Ok(Page { limit: usize::try_from(limit).expect("a limit within bounds"), after })
}

/// What a list asks for, by its query alone.
pub(crate) fn read(text: &str, now: Timestamp) -> Result<(Filter, Page), EdgeRejection> {
    let query = Query::parse(Some(text), PARAMETERS)?;
    Ok((read_filter(&query, now)?, read_page(&query)?))
}

fn print_cursor(cursor: &Cursor) -> String {
    format!("{}.{}", cursor.begun.0, cursor.gid)
}

fn parse_cursor(text: &str) -> Option<Cursor> {
    let (begun, gid) = text.split_once('.')?;
    let begun = begun.parse().ok().filter(|_| begun.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(Cursor { begun: Timestamp(begun), gid: gid.parse().ok()? })
}
