//! `wholly tx retry`: one transaction, or all that match.

use super::list::query;
use super::many::{self, Target, Verb};
use super::operate::act;
use super::outlook;
use crate::arguments::{Filter, Retry, State};
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use std::collections::BTreeSet;
use wholly_wire::v1::answer::List;
use wholly_wire::v1::path::Part;
use wholly_wire::v1::request;

/// How many a page of the search holds.
const PAGE: u32 = 100;

/// Retries what was named.
pub(super) async fn run(retry: Retry) -> Result<(), Complaint> {
    let reason = retry.reason.as_deref().unwrap_or_default();
    let branch = retry.branch.as_deref().map(Into::into);
    let body = request::Retry { reason: reason.into(), branch };
    match &retry.gid {
        Some(gid) if retry.many.dry_run => {
            let target = Target { gid: gid.clone(), branch: retry.branch.clone() };
            outlook::tell(&Coordinator::of(&retry.reading)?, Verb::Retry, &target).await
        }
        Some(gid) => act(gid, Part::Retry, &retry.reading, &body).await,
        None => many::run(Verb::Retry, &retry.many, &retry.reading, reason).await,
    }
}

/// The states of what has not ended. No state leads to one before it here: what moves on while it
/// is being looked for is found in a later one.
const LIVE: [State; 3] = [State::Open, State::Forward, State::Finishing];

/// All gids that match and have not ended; the coordinator does not look at what has.
pub(crate) async fn matching(
    coordinator: &Coordinator,
    filter: &Filter,
) -> Result<Vec<String>, Complaint> {
    let mut gids = BTreeSet::new();
    for state in LIVE.into_iter().filter(|state| filter.state.is_none_or(|only| only == *state)) {
        let filter = Filter { state: Some(state), ..filter.clone() };
        let mut cursor: Option<String> = None;
        loop {
            let body = coordinator.read(&query(&filter, PAGE, cursor.as_deref())).await?;
            let page: List<'static> = parse(body)?;
            gids.extend(page.items.iter().map(|item| item.gid.to_string()));
            match page.next {
                Some(next) => cursor = Some(next.into_owned()),
                None => break,
            }
        }
    }
    Ok(gids.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// The states that are asked for, in order, and the gids that the peer has in each.
    type Pages = &'static [(&'static str, &'static [&'static str])];

    /// Looks for what matches.
    async fn check_matching(state: Option<State>, pages: Pages, expected: &[&str]) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            for (asked, gids) in pages {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = [0; 1_024];
                let read = stream.read(&mut heard).await.unwrap();
                let line = String::from_utf8_lossy(&heard[..read]).into_owned();
                assert!(line.contains(&format!("limit=100&state={asked}&name=n ")), "{line}");
                let items: Vec<_> = gids.iter().map(|gid| listed(gid, asked)).collect();
                let body = json!({ "items": items, "next": null }).to_string();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
            }
        });
        let filter = Filter { state, name: Some("n".to_owned()), ..Filter::default() };
        let found = matching(&Coordinator::at(&url), &filter).await.unwrap();
        peer.await.unwrap();
        assert_eq!(found, expected);
    }

    fn listed(gid: &str, state: &str) -> serde_json::Value {
        let time = "1970-01-01T00:00:00.000Z";
        json!({ "gid": gid, "name": "n", "modes": [], "state": state, "decision": null,
                "outcome": null, "cause": null, "parked": false, "stuck": 0, "waits_for": [],
                "begun": time, "changed": time, "ended": null, "calls": [] })
    }

    #[tokio::test]
    async fn what_has_ended_is_not_looked_at() {
        // The second moved on between two questions.
        const ALL: Pages = &[("open", &["b", "a"]), ("forward", &[]), ("finishing", &["c", "b"])];
        check_matching(None, ALL, &["a", "b", "c"]).await;
        check_matching(Some(State::Forward), &[("forward", &["d"])], &["d"]).await;
        check_matching(Some(State::Ended), &[], &[]).await;
    }
}
