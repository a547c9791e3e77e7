//! `wholly tx retry`: one transaction, or all that match.

use super::list::query;
use super::operate::act;
use crate::arguments::{Filter, Retry, State};
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, parse};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeSet;
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
    let coordinator = Coordinator::of(&retry.reading)?;
    let gids = matching(&coordinator, &retry.filter).await?;
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
    let (tally, broken) = retry_all(&coordinator, reason, gids).await?;
    match retry.reading.json {
        true => say!("{}", json!(tally)),
        false => say!("retried {}", tally.retried.len()),
    }
    tally.verdict(broken)
}

/// What became of each.
#[derive(Debug, Default, Serialize)]
struct Tally {
    retried: Vec<String>,
    refused: Vec<String>,
    /// Asked, and it is not known whether it was retried.
    unknown: Vec<String>,
    not_asked: Vec<String>,
}

impl Tally {
    /// How the command ends, given what broke it off.
    fn verdict(&self, broken: Option<Complaint>) -> Result<(), Complaint> {
        let retried = self.retried.len();
        if let Some(complaint) = broken {
            let (unknown, left) = (self.unknown.join(", "), self.not_asked.len());
            return Err(complaint.means(format!(
                "{retried} were retried, of {unknown} it is not known, {left} were not asked for"
            )));
        }
        if self.refused.is_empty() {
            return Ok(());
        }
        let refused = self.refused.len();
        let happened = format!("{refused} of {} were refused", refused + retried);
        Err(Complaint::new(Kind::Refused, happened)
            .means(format!("{retried} were retried, nothing was changed on the others"))
            .advice("look at them with `wholly tx show`; one that has ended needs no retry"))
    }
}

/// Asks for each in turn, until nobody answers.
async fn retry_all(
    coordinator: &Coordinator,
    reason: &str,
    gids: Vec<String>,
) -> Result<(Tally, Option<Complaint>), Complaint> {
    let mut tally = Tally::default();
    let mut gids = gids.into_iter();
    while let Some(gid) = gids.next() {
        let path = path::part(&super::gid(&gid)?, Part::Retry);
        let body = request::Retry { reason: reason.into(), branch: None };
        match coordinator.change(&path, &body).await {
            Ok(_) => tally.retried.push(gid),
            // It may have ended since it was listed.
            Err(complaint) if complaint.kind() == Kind::Refused => {
                eprintln!("{gid}: {complaint}");
                tally.refused.push(gid);
            }
            Err(complaint) => {
                tally.unknown.push(gid);
                tally.not_asked.extend(gids);
                return Ok((tally, Some(complaint)));
            }
        }
    }
    Ok((tally, None))
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Retries one transaction per answer of the peer; an empty answer breaks the connection.
    async fn check(
        answers: &'static [&'static str],
        code: Option<u8>,
        said: &str,
        counts: [usize; 4],
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = [0; 1_024];
                assert!(stream.read(&mut heard).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let gids = (0..4).map(|at| format!("order-{at}")).collect();
        let (tally, broken) = retry_all(&Coordinator::at(&url), "again", gids).await.unwrap();
        peer.await.unwrap();
        let seen = [&tally.retried, &tally.refused, &tally.unknown, &tally.not_asked];
        assert_eq!(seen.map(Vec::len), counts);
        let ended = tally.verdict(broken).err();
        assert_eq!(ended.as_ref().map(|complaint| complaint.kind().code()), code);
        let shown = ended.map(|complaint| complaint.to_string()).unwrap_or_default();
        assert!(shown.contains(said), "{shown}");
    }

    const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    const ENDED: &str = "HTTP/1.1 409 Conflict\r\n\r\n\
                         {\"code\":\"already_ended\",\"detail\":\"over\"}";
    const STOPPED: &str = "HTTP/1.1 503 Unavailable\r\n\r\n\
                           {\"code\":\"unavailable\",\"detail\":\"off\"}";

    #[tokio::test]
    async fn each_of_many_is_accounted_for() {
        check(&[DONE, DONE, DONE, DONE], None, "", [4, 0, 0, 0]).await;
        let some = "3 were retried, nothing was changed on the others";
        check(&[DONE, ENDED, DONE, DONE], Some(4), some, [3, 1, 0, 0]).await;
        let all = "4 of 4 were refused";
        check(&[ENDED, ENDED, ENDED, ENDED], Some(4), all, [0, 4, 0, 0]).await;
        let broken = "2 were retried, of order-2 it is not known, 1 were not asked for";
        check(&[DONE, DONE, ""], Some(3), broken, [2, 0, 1, 1]).await;
        check(&[DONE, DONE, STOPPED], Some(3), broken, [2, 0, 1, 1]).await;
    }

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
