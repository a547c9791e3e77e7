//! Outlook: whether an act would be done, as far as the transaction shows that before it is asked
//! for. A dry run says it; the coordinator alone decides.

use super::many::{Target, Verb};
use super::operate::stands;
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, parse};
use wholly_core::record::{Decision, PhaseName};
use wholly_wire::v1::answer::{History, Transaction, What};
use wholly_wire::v1::path::{self, Part};
use wholly_wire::words::Spelled;

/// How a transaction stands, and what is in the way of an act on it.
pub(super) struct Outlook {
    pub(super) stands: String,
    pub(super) obstacle: Option<String>,
}

/// Looks at one, and changes nothing.
pub(super) async fn look(
    coordinator: &Coordinator,
    verb: Verb,
    target: &Target,
) -> Result<Outlook, Complaint> {
    let gid = super::gid(&target.gid)?;
    let document: Transaction<'static> = parse(coordinator.read(&path::transaction(&gid)).await?)?;
    let mut obstacle = obstacle(verb, &document, target.branch.as_deref());
    let is_undecided = document.decision.is_none();
    if verb == Verb::Commit && is_undecided {
        let history = coordinator.read(&path::part(&gid, Part::History)).await?;
        let history: History<'static> = parse(history)?;
        let restored = What::Restored.spell();
        if !history.records.iter().any(|record| record.what.as_str() == restored) {
            let why =
                "it was not undecided in a restored log; its initiator or its steps commit it";
            obstacle = Some(why.to_owned());
        }
    }
    let stands = stands(&document);
    let stands = stands.strip_prefix(&format!("{gid}: ")).unwrap_or(&stands).to_owned();
    Ok(Outlook { stands, obstacle })
}

fn obstacle(verb: Verb, document: &Transaction<'_>, branch: Option<&str>) -> Option<String> {
    let ended = || "it has ended".to_owned();
    let is_ended = document.state.as_str() == PhaseName::Ended.spell();
    if let Some(name) = branch {
        let Some(row) = document.branches.iter().find(|row| row.branch == name) else {
            return Some(format!("it has no branch {name}"));
        };
        match verb {
            Verb::Resolve(_) if document.decision.is_none() => {
                return Some("it is not decided, so no branch can be resolved".to_owned());
            }
            Verb::Resolve(_) if !is_ended && row.stuck.is_none() => {
                return Some(format!("{name} is not stuck"));
            }
            Verb::Resolve(_) | Verb::Retry | Verb::Abort | Verb::Commit | Verb::Park => {}
        }
    }
    let unless = |wish: Decision| {
        let other = document.decision.as_ref().filter(|seen| seen.as_str() != wish.spell())?;
        Some(format!("it is decided {other}"))
    };
    match verb {
        Verb::Retry | Verb::Resolve(_) => is_ended.then(ended),
        Verb::Park if document.state.as_str() == PhaseName::Open.spell() => {
            Some("it is open, and its deadline ends it".to_owned())
        }
        Verb::Park => is_ended.then(ended),
        Verb::Abort => unless(Decision::Abort),
        Verb::Commit => unless(Decision::Commit),
    }
}

/// Says what would be done to one; that it would be refused is said as the refusal would be.
pub(super) async fn tell(
    coordinator: &Coordinator,
    verb: Verb,
    target: &Target,
) -> Result<(), Complaint> {
    let (word, label) = (verb.words().0, target.label());
    let Outlook { stands, obstacle } = look(coordinator, verb, target).await?;
    match obstacle {
        None => {
            say!("would {word} {label}; it is {stands}");
            Ok(())
        }
        Some(why) => Err(Complaint::new(Kind::Refused, format!("would not {word} {label}: {why}"))
            .means("nothing was changed, nor would it be")
            .advice("look at it: wholly tx show")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use wholly_core::branch::Resolution;

    fn check(verb: Verb, state: &str, decision: Value, branch: Option<&str>, expected: &str) {
        let time = "2026-01-01T00:00:00.000Z";
        let row = |name: &str, stuck: Value| {
            json!({ "branch": name, "mode": "tcc", "to": "stock", "operation": "o",
                    "state": "done", "stuck": stuck })
        };
        let document = json!({
            "gid": "g", "name": "n", "principal": "p", "state": state, "decision": decision,
            "outcome": null, "cause": null, "parked": false, "stuck": 1, "begun": time,
            "changed": time, "deadline": null,
            "branches": [row("moves", json!(null)), row("waits", json!({ "why": "parked" }))],
        });
        let document = serde_json::from_value(document).unwrap();
        let seen = obstacle(verb, &document, branch).unwrap_or_default();
        assert_eq!(seen, expected, "{verb:?} {state} {branch:?}");
    }

    #[test]
    fn what_would_be_refused_is_seen_before() {
        let (commit, abort) = (|| json!("commit"), || json!("abort"));
        let resolve = Verb::Resolve(Resolution::Applied);
        check(Verb::Retry, "finishing", commit(), None, "");
        check(Verb::Retry, "finishing", commit(), Some("waits"), "");
        check(Verb::Retry, "finishing", commit(), Some("gone"), "it has no branch gone");
        check(Verb::Retry, "ended", commit(), None, "it has ended");
        check(Verb::Park, "forward", json!(null), None, "");
        check(Verb::Park, "open", json!(null), None, "it is open, and its deadline ends it");
        check(Verb::Park, "ended", abort(), None, "it has ended");
        check(Verb::Abort, "open", json!(null), None, "");
        check(Verb::Abort, "ended", abort(), None, "");
        check(Verb::Abort, "finishing", commit(), None, "it is decided commit");
        check(Verb::Commit, "finishing", abort(), None, "it is decided abort");
        check(resolve, "finishing", abort(), Some("waits"), "");
        check(resolve, "finishing", abort(), Some("moves"), "moves is not stuck");
        check(resolve, "ended", abort(), Some("moves"), "it has ended");
        let undecided = "it is not decided, so no branch can be resolved";
        check(resolve, "forward", json!(null), Some("waits"), undecided);
    }
}
