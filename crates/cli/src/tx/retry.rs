//! `wholly tx retry`: one transaction, or all that match.

use super::list::query;
use super::operate::act;
use crate::arguments::{Filter, Retry};
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, parse};
use serde_json::json;
use wholly_core::record::PhaseName;
use wholly_wire::v1::answer::List;
use wholly_wire::v1::path::{self, Part};
use wholly_wire::v1::request;

/// How many a page of the search holds.
const PAGE: u32 = 100;

/// Retries what was named.
pub(super) async fn run(retry: Retry) -> Result<(), Complaint> {
    let reason = retry.reason.as_deref().unwrap_or_default();
    match &retry.gid {
        Some(gid) if retry.dry_run => {
            say!("would retry {gid}");
            Ok(())
        }
        Some(gid) => {
            let branch = retry.branch.as_deref().map(Into::into);
            let body = request::Retry { reason: reason.into(), branch };
            act(gid, Part::Retry, &retry.reading, &body).await
        }
        None => many(&retry, reason).await,
    }
}

async fn many(retry: &Retry, reason: &str) -> Result<(), Complaint> {
    let gids = matching(&retry.reading.url, &retry.filter).await?;
    if retry.dry_run {
        match retry.reading.json {
            true => say!("{}", json!({ "would_retry": gids })),
            false => say!("would retry {}; do it with --reason … --yes", gids.len()),
        }
        return Ok(());
    }
    if !retry.yes {
        let happened = format!("{} transactions match", gids.len());
        return Err(Complaint::new(Kind::Usage, happened)
            .means("nothing was changed")
            .advice("repeat it with --yes to retry them all, or with --dry-run to count again"));
    }
    let coordinator = Coordinator::at(&retry.reading.url);
    let mut retried = Vec::new();
    for gid in gids {
        let path = path::part(&super::gid(&gid)?, Part::Retry);
        let body = request::Retry { reason: reason.into(), branch: None };
        match coordinator.change(&path, &body).await {
            Ok(_) => retried.push(gid),
            // It may have ended since it was listed.
            Err(complaint) if complaint.kind() == Kind::Refused => eprintln!("{gid}: {complaint}"),
            Err(complaint) => return Err(complaint),
        }
    }
    match retry.reading.json {
        true => say!("{}", json!({ "retried": retried })),
        false => say!("retried {}", retried.len()),
    }
    Ok(())
}

/// All gids that match and have not ended.
pub(crate) async fn matching(url: &str, filter: &Filter) -> Result<Vec<String>, Complaint> {
    let coordinator = Coordinator::at(url);
    let mut gids = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let body = coordinator.read(&query(filter, PAGE, cursor.as_deref())).await?;
        let page: List<'static> = parse(body)?;
        let live = page.items.iter().filter(|item| !item.state.is(PhaseName::Ended));
        gids.extend(live.map(|item| item.gid.to_string()));
        match page.next {
            Some(next) => cursor = Some(next.into_owned()),
            None => return Ok(gids),
        }
    }
}
