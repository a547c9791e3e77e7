//! A stopped coordinator: its data folder answers what the API can be asked that only looks.

use super::super::Refused;
use super::list;
use super::routes::{self, Action};
use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use wholly_core::document::Calls;
use wholly_core::ids::Gid;
use wholly_core::record::Record;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_core::transaction::Transaction;
use wholly_store::contract::{Listed, Listing, ReadError};
use wholly_store::embedded::{Looked, OpenError};
use wholly_wire::edge::EdgeRejection;
use wholly_wire::problem::Problem;
use wholly_wire::v1;

/// The data folder of a coordinator that does not run. Nothing in it is changed.
pub struct Stopped {
    looked: Looked,
}

/// What a path answers: status and body, as a running coordinator would.
pub struct Told {
    /// The HTTP status.
    pub status: u16,
    /// A document, or a problem.
    pub body: Value,
}

impl Stopped {
    /// Reads log and archive. No coordinator can be started on the folder until this is dropped.
    pub fn open(data: &Path) -> Result<Stopped, OpenError> {
        Ok(Stopped { looked: Looked::open(data)? })
    }

    /// Answers `GET` of a path: the list, a transaction, its history.
    pub fn read(&self, path: &str, now: Timestamp) -> Told {
        let mut asked = None;
        match self.answer(path, now, &mut asked) {
            Ok(body) => Told { status: 200, body },
            Err(refused) => {
                let problem = match &refused {
                    Refused::ByRules(rejection) => Problem::of_rejection(rejection, asked.as_ref()),
                    Refused::AtEdge(rejection) => Problem::of_edge(rejection, asked.as_ref()),
                };
                let status = problem.status;
                let body = serde_json::to_value(&problem).expect("problems are JSON");
                Told { status, body }
            }
        }
    }

    fn answer(
        &self,
        path: &str,
        now: Timestamp,
        asked: &mut Option<Gid>,
    ) -> Result<Value, Refused> {
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let matched = routes::find(&Method::GET, path)?;
        let segment = matched.segment.as_deref().unwrap_or_default();
        let body = match matched.route.action {
            Action::List => {
                let (filter, page) = list::read(query.unwrap_or_default(), now)?;
                let listing = self.looked.list(&filter, &page).map_err(unread)?;
                let stuck = self.stuck(&listing)?;
                serde_json::to_value(list::page(&listing, &stuck))
            }
            Action::Get => {
                let gid = super::read_gid(segment)?;
                let records = self.records(asked.insert(gid))?;
                let known = Transaction::fold(&records).expect("there is a first record");
                serde_json::to_value(v1::transaction(&known.document()))
            }
            Action::History => {
                let gid = super::read_gid(segment)?;
                let records = self.records(asked.insert(gid.clone()))?;
                serde_json::to_value(v1::history(&gid, &records, &[]))
            }
            // All else is for a coordinator that runs.
            Action::Begin
            | Action::Submit
            | Action::Register
            | Action::Commit
            | Action::Abort
            | Action::Operate(_)
            | Action::Rows
            | Action::Payloads
            | Action::Status
            | Action::Pause
            | Action::Resume
            | Action::Drain
            | Action::Admit
            | Action::About
            | Action::Health
            | Action::Ready
            | Action::Metrics
            | Action::OpenApi
            | Action::Problem => return Err(EdgeRejection::Unavailable.into()),
        };
        Ok(body.expect("answers of v1 are JSON"))
    }

    /// What of a page waits for an operator: nobody calls anything, but why it waits is known.
    fn stuck(&self, listing: &Listing) -> Result<BTreeMap<Gid, Calls>, Refused> {
        let stuck = listing.items.iter().filter(|listed| listed.summary.stuck > 0);
        let calls = stuck.map(|Listed { gid, .. }| {
            let known = Transaction::fold(&self.records(gid)?).expect("there is a first record");
            let stuck = known.first_stuck().map(|(id, why)| (id.clone(), why.clone()));
            Ok((gid.clone(), Calls { gid: gid.clone(), branches: Vec::new(), stuck }))
        });
        calls.collect()
    }

    /// The records of a transaction, at least one.
    fn records(&self, gid: &Gid) -> Result<Vec<Record>, Refused> {
        let records = self.looked.lookup(gid).map_err(unread)?.records;
        match records.is_empty() {
            true => Err(Rejection::GidUnknown { gid: gid.clone() }.into()),
            false => Ok(records),
        }
    }
}

fn unread(error: ReadError) -> Refused {
    tracing::error!(%error, "reading the data folder failed");
    EdgeRejection::Internal.into()
}
