//! `wholly tx abort | commit | park | resolve`: an operator acts on one transaction, with a reason.

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
    let body = request::Reasoned { reason: operate.reason.as_str().into() };
    act(&operate.gid, Part::OperatorAbort, &operate.reading, &body).await
}

/// Commits what a restore left undecided.
pub(super) async fn commit(operate: Operate) -> Result<(), Complaint> {
    let body = request::Reasoned { reason: operate.reason.as_str().into() };
    act(&operate.gid, Part::OperatorCommit, &operate.reading, &body).await
}

/// Makes every unfinished branch wait.
pub(super) async fn park(operate: Operate) -> Result<(), Complaint> {
    let body = request::Reasoned { reason: operate.reason.as_str().into() };
    act(&operate.gid, Part::Park, &operate.reading, &body).await
}

/// Says how a stuck branch stands.
pub(super) async fn resolve(resolve: Resolve) -> Result<(), Complaint> {
    let body = request::Resolve {
        reason: resolve.reason.as_str().into(),
        branch: resolve.branch.as_str().into(),
        resolution: word(&resolve.word).spell().into(),
    };
    act(&resolve.gid, Part::Resolve, &resolve.reading, &body).await
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
