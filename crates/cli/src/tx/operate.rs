//! `wholly tx abort | commit | park | resolve`: an operator acts on one transaction, or on all that
//! match, with a reason.

use super::many::{self, Target, Verb};
use super::outlook;
use crate::arguments::{Operate, Reading, Resolve, Word};
use crate::complaint::Complaint;
use crate::coordinator::{Coordinator, parse};
use serde::Serialize;
use wholly_core::branch::Resolution;
use wholly_wire::v1::answer::Transaction;
use wholly_wire::v1::path::{self, Part};
use wholly_wire::v1::request;
use wholly_wire::words::Spelled;

/// Aborts what is not decided.
pub(super) async fn abort(operate: Operate) -> Result<(), Complaint> {
    one_or_many(&operate, Part::OperatorAbort, Verb::Abort).await
}

/// Commits what a restore left undecided.
pub(super) async fn commit(operate: Operate) -> Result<(), Complaint> {
    one_or_many(&operate, Part::OperatorCommit, Verb::Commit).await
}

/// Makes every unfinished branch wait.
pub(super) async fn park(operate: Operate) -> Result<(), Complaint> {
    one_or_many(&operate, Part::Park, Verb::Park).await
}

async fn one_or_many(operate: &Operate, part: Part, verb: Verb) -> Result<(), Complaint> {
    let reason = operate.reason.as_deref().unwrap_or_default();
    let body = request::Reasoned { reason: reason.into() };
    match &operate.gid {
        Some(gid) if operate.many.dry_run => {
            let coordinator = Coordinator::of(&operate.reading)?;
            outlook::tell(&coordinator, verb, &Target::of(gid.clone())).await
        }
        Some(gid) => act(gid, part, &operate.reading, &body).await,
        None => many::run(verb, &operate.many, &operate.reading, reason).await,
    }
}

/// Says how a stuck branch stands, or all that are stuck at one destination.
pub(super) async fn resolve(resolve: Resolve) -> Result<(), Complaint> {
    let reason = resolve.reason.as_deref().unwrap_or_default();
    let resolution = word(&resolve.word);
    let body = |branch: &str| request::Resolve {
        reason: reason.to_owned().into(),
        branch: branch.to_owned().into(),
        resolution: resolution.spell().into(),
    };
    match (&resolve.gid, &resolve.branch) {
        (Some(gid), Some(branch)) if resolve.many.dry_run => {
            let target = Target { gid: gid.clone(), branch: Some(branch.clone()) };
            let coordinator = Coordinator::of(&resolve.reading)?;
            outlook::tell(&coordinator, Verb::Resolve(resolution), &target).await
        }
        (Some(gid), Some(branch)) => act(gid, Part::Resolve, &resolve.reading, &body(branch)).await,
        (None, _) | (_, None) => {
            let verb = Verb::Resolve(resolution);
            many::run(verb, &resolve.many, &resolve.reading, reason).await
        }
    }
}

/// The one flag that was given; clap sees to it that it is one.
fn word(word: &Word) -> Resolution {
    match (word.applied, word.not_applied) {
        (true, _) => Resolution::Applied,
        (false, true) => Resolution::NotApplied,
        (false, false) => Resolution::Unknown,
    }
}

/// Sends the action and prints how the transaction stands after it.
pub(super) async fn act(
    gid: &str,
    part: Part,
    reading: &Reading,
    body: &impl Serialize,
) -> Result<(), Complaint> {
    let path = path::part(&super::gid(gid)?, part);
    let answer = Coordinator::of(reading)?.change(&path, body).await?;
    if reading.json {
        say!("{answer}");
        return Ok(());
    }
    say!("{}", stands(&parse(answer)?));
    Ok(())
}

/// How a transaction stands, in a line.
pub(super) fn stands(document: &Transaction<'_>) -> String {
    let mut line = format!("{}: {}", document.gid, document.state);
    if let Some(decision) = &document.decision {
        line.push_str(&format!(", decided {decision}"));
    }
    if let Some(outcome) = &document.outcome {
        line.push_str(&format!(", {outcome}"));
    }
    if document.stuck > 0 {
        line.push_str(&format!(", {} stuck", document.stuck));
    }
    if document.parked {
        line.push_str(", parked");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_is_the_flag() {
        let check = |applied, not_applied, unknown, expected| {
            assert_eq!(word(&Word { applied, not_applied, unknown }), expected);
        };
        check(true, false, false, Resolution::Applied);
        check(false, true, false, Resolution::NotApplied);
        check(false, false, true, Resolution::Unknown);
    }
}
