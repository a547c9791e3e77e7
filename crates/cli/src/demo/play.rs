//! Plays one scene in a world of its own, and judges it by the books of all three databases.

use super::scene::{Ending, Scene, Side, spell};
use super::world::{Heard, Terms, World};
use crate::complaint::{Complaint, Kind};
use serde::Serialize;
use std::net::Ipv4Addr;
use std::time::Instant;
use tempfile::TempDir;
use wholly_core::record::{Decision, Outcome};
use wholly_shop::books::Books;
use wholly_shop::service::Role;
use wholly_wire::v1::answer::Transaction;

/// The transaction of a scene's only order.
const GID: &str = "order-1";

/// How a scene ended.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    /// The pattern.
    pub(crate) mode: &'static str,
    /// What went wrong.
    pub(crate) fault: String,
    /// Who was killed; empty for nobody.
    pub(crate) killed: String,
    /// What happened, for people.
    pub(crate) happened: String,
    /// How it ended, for people.
    pub(crate) ended: String,
    /// From the order to the end.
    pub(crate) took_ms: u128,
    /// What is wrong; empty if all is well.
    pub(crate) wrong: Vec<String>,
    /// Where its folders were kept, if something is wrong.
    pub(crate) folder: Option<String>,
}

/// What is known at the end of a scene.
struct Evidence {
    heard: Heard,
    document: Option<Transaction<'static>>,
    books: Books,
    took_ms: u128,
}

/// Plays a scene. Its folders go with it, unless something is wrong.
pub(crate) async fn play(scene: Scene, host: Ipv4Addr) -> Result<Verdict, Complaint> {
    let folder = tempfile::Builder::new().prefix("wholly-demo-").tempdir().map_err(|error| {
        Complaint::because(Kind::NotDone, "a temporary folder cannot be made", &error)
            .advice("point TMPDIR at a folder that can be written to")
    })?;
    let terms = Terms { host, port: 0, patience: scene.patience() };
    let played = async {
        let mut world = World::start(folder.path(), &terms).await?;
        let evidence = gather(scene, &mut world).await?;
        world.stop().await?;
        Ok(evidence)
    };
    let verdict = match played.await {
        Ok(evidence) => judge(scene, &evidence),
        Err(complaint) => not_played(scene, &complaint),
    };
    Ok(keep_if_wrong(verdict, folder))
}

async fn gather(scene: Scene, world: &mut World) -> Result<Evidence, Complaint> {
    if let Some((role, fault)) = scene.fault(GID) {
        world.set_fault(role, &fault).await?;
    }
    let moment = scene.moment();
    if scene.victim().is_some() {
        world.set_fault(moment.at, &moment.fault(GID)).await?;
    }
    let since = Instant::now();
    let ordering = tokio::spawn(world.order(scene.mode, &scene.order()));
    if let Some((role, _)) = scene.fault(GID) {
        world.until_struck(role, GID).await?;
    }
    if let Some(victim) = scene.victim() {
        world.until_struck(moment.at, GID).await?;
        world.kill(victim).await?;
        world.restart(victim).await?;
    }
    for role in Role::ALL {
        world.end_faults(role, GID).await?;
    }
    let heard = ordering
        .await
        .map_err(|error| Complaint::because(Kind::NotDone, "the order was not sent", &error))?;
    let document = world.end_of(GID).await?;
    let took_ms = since.elapsed().as_millis();
    let books = world.books().await?;
    Ok(Evidence { heard, document, books, took_ms })
}

fn judge(scene: Scene, evidence: &Evidence) -> Verdict {
    let mut wrong = evidence.books.wrong.clone();
    wrong.extend(evidence.books.pending.iter().map(|order| format!("{order} is still locked")));
    let whole = evidence.books.whole.len() == 1;
    let decided = evidence.document.as_ref().and_then(Transaction::ended);
    match (decided, whole) {
        (Some((Decision::Commit, Outcome::AsDecided)), true)
        | (Some((Decision::Abort, Outcome::AsDecided)) | None, false) => {}
        (decided, true) => wrong.push(format!("the books say placed, the log {decided:?}")),
        (decided, false) => wrong.push(format!("the books say nothing, the log {decided:?}")),
    }
    match (&evidence.heard, whole) {
        (Heard::Placed, false) => wrong.push("the customer heard placed".to_owned()),
        (Heard::Cancelled(why), true) => wrong.push(format!("the customer heard cancelled: {why}")),
        (Heard::Placed, true) | (Heard::Cancelled(_), false) => {}
        (Heard::Unsure(_) | Heard::Nothing, _) => {}
    }
    match (scene.ending(), whole) {
        (Ending::Placed, false) => wrong.push("it should have been placed".to_owned()),
        (Ending::Undone, true) => wrong.push("it should have been undone".to_owned()),
        (Ending::Placed, true) | (Ending::Undone, false) | (Ending::Either, _) => {}
    }
    let ended = match &evidence.document {
        None => "never begun".to_owned(),
        Some(document) => ended(document),
    };
    verdict(scene, (happened(scene, &evidence.heard), ended), evidence.took_ms, wrong)
}

/// How it ended, with its cause; and how well, where that is not as decided.
fn ended(document: &Transaction<'_>) -> String {
    let decision = match document.decided() {
        Some(Decision::Commit) => "placed",
        Some(Decision::Abort) => "undone",
        None => "undecided",
    };
    let cause = document.cause.as_ref().map_or("-", |cause| cause.as_str());
    match &document.outcome {
        Some(outcome) if outcome.is(Outcome::AsDecided) => format!("{decision} ({cause})"),
        Some(outcome) => format!("{decision} ({cause}), {outcome}"),
        None => format!("{decision} ({cause}), not ended"),
    }
}

fn happened(scene: Scene, heard: &Heard) -> String {
    let killed = match scene.victim() {
        None => String::new(),
        Some(victim) => {
            let moment = scene.moment();
            let side = match moment.side {
                Side::Before => "before",
                Side::After => "after",
            };
            format!("{victim} killed {side} {} {}; ", moment.operation, moment.op)
        }
    };
    let heard = match heard {
        Heard::Placed => "customer: placed".to_owned(),
        Heard::Cancelled(why) => format!("customer: {}", short(why)),
        Heard::Unsure(why) => format!("customer: not known yet, {}", short(why)),
        Heard::Nothing => "customer: heard nothing".to_owned(),
    };
    format!("{killed}{heard}")
}

/// What happened, without what it means and what to do.
fn short(why: &str) -> &str {
    why.split_once(": ").map_or(why, |(happened, _)| happened)
}

fn not_played(scene: Scene, complaint: &Complaint) -> Verdict {
    let texts = ("it could not be played to its end".to_owned(), "not known".to_owned());
    verdict(scene, texts, 0, vec![complaint.to_string()])
}

fn verdict(scene: Scene, texts: (String, String), took_ms: u128, wrong: Vec<String>) -> Verdict {
    let (happened, ended) = texts;
    Verdict {
        mode: spell(scene.mode),
        fault: scene.trouble.to_string(),
        killed: scene.victim().map(|victim| victim.to_string()).unwrap_or_default(),
        happened,
        ended,
        took_ms,
        wrong,
        folder: None,
    }
}

fn keep_if_wrong(verdict: Verdict, folder: TempDir) -> Verdict {
    if verdict.wrong.is_empty() {
        return verdict;
    }
    let folder = folder.keep();
    Verdict { folder: Some(folder.display().to_string()), ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::scene::{Death, Trouble};
    use serde_json::json;
    use wholly_shop::order::Mode;

    /// Judges a scene by a decision, the number of whole orders and what the customer heard.
    fn check(trouble: Trouble, evidence: (Option<&str>, usize, Heard), expected: &[&str]) {
        let (decision, whole, heard) = evidence;
        let document = decision.map(|decision| {
            serde_json::from_value(json!({
                "gid": GID, "name": "place-order", "principal": "anonymous", "state": "ended",
                "decision": decision, "outcome": "as_decided", "cause": "initiator",
                "parked": false, "stuck": 0, "begun": "2026-01-01T00:00:00.000Z",
                "changed": "2026-01-01T00:00:00.000Z", "deadline": null, "branches": [],
            }))
            .unwrap()
        });
        let books = Books {
            whole: vec!["1".to_owned(); whole],
            nothing: Vec::new(),
            pending: Vec::new(),
            torn: Vec::new(),
            wrong: Vec::new(),
        };
        let scene = Scene { mode: Mode::Tcc, trouble, death: Death::Nobody };
        let verdict = judge(scene, &Evidence { heard, document, books, took_ms: 1 });
        assert_eq!(verdict.wrong, expected, "{scene}");
    }

    #[test]
    fn books_log_and_customer_must_agree_with_each_other_and_with_the_scene() {
        let no = || Heard::Cancelled("out of stock".to_owned());
        check(Trouble::Nothing, (Some("commit"), 1, Heard::Placed), &[]);
        check(Trouble::NoStock, (Some("abort"), 0, no()), &[]);
        check(Trouble::NoStock, (None, 0, Heard::Nothing), &[]);
        check(Trouble::NoStock, (Some("abort"), 0, Heard::Placed), &["the customer heard placed"]);
        check(Trouble::Nothing, (Some("abort"), 0, no()), &["it should have been placed"]);
        check(
            Trouble::NoStock,
            (Some("commit"), 1, Heard::Placed),
            &["it should have been undone"],
        );
        check(
            Trouble::Nothing,
            (Some("commit"), 1, no()),
            &["the customer heard cancelled: out of stock"],
        );
        check(
            Trouble::Nothing,
            (Some("abort"), 1, Heard::Placed),
            &["the books say placed, the log Some((Abort, AsDecided))"],
        );
        check(
            Trouble::NoStock,
            (Some("commit"), 0, Heard::Nothing),
            &["the books say nothing, the log Some((Commit, AsDecided))"],
        );
    }
}
