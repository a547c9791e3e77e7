//! Asking for rows: what the participants of a transaction say of its branches, for an operator.
//! Nothing is changed by it, here or there, and the driver does not hear of it.

use crate::egress::{Egress, Inspect};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;
use wholly_core::branch::{Answer, BranchSpec, RowSeen};
use wholly_core::effect::Mark;
use wholly_core::ids::{Destination, Gid, Origin, Text};
use wholly_core::record::{Fact, Record};
use wholly_core::time::Timestamp;
use wholly_wire::v1::call::{NO_ROW_KEPT, row_seen};

/// Longest one participant is waited for.
const INSPECT_MS_MAX: u64 = 5_000;
/// Longest one destination is asked, however many branches it has.
const DESTINATION_MS_MAX: u64 = 10_000;
/// Destinations that are asked at once, by all operators together: these calls take no slot.
pub(super) const ASKED_MAX: usize = 16;

/// What a participant says of its branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// What its row says.
    Row(RowSeen),
    /// It keeps none.
    NotKept,
    /// It refuses to be asked so.
    Refused(Text),
    /// Nothing came back that counts.
    Unanswered(Text),
    /// Its destination rests.
    Paused,
    /// Its destination had not answered, or took too long.
    NotAsked,
}

/// Whom to ask of what.
pub(super) struct Asking {
    pub(super) gid: Gid,
    pub(super) origin: Origin,
    pub(super) timeout_ms: u64,
    pub(super) paused: Vec<Destination>,
}

/// The branches of a transaction, as its records name them, and when it was begun.
pub(crate) fn branches(records: &[Record]) -> (Timestamp, Vec<&BranchSpec>) {
    let begun = match records.first().map(|record| &record.fact) {
        Some(Fact::Begun(begun)) => begun.begun,
        Some(_) | None => Timestamp(0),
    };
    let specs = records.iter().flat_map(|record| record.fact.branches()).collect();
    (begun, specs)
}

/// Asks for the row of each branch; a destination's one after another, destinations side by side.
pub(super) async fn ask(
    asking: Asking,
    records: &[Record],
    egress: Arc<Egress>,
    places: Arc<Semaphore>,
) -> Vec<Said> {
    let Asking { gid, origin, timeout_ms, paused } = asking;
    let (begun, specs) = branches(records);
    // The limit takes nothing away from anybody: no row is cleared because of this call.
    let mark = Mark { origin, begun, limit: Timestamp(0) };
    let mut said = vec![Said::NotAsked; specs.len()];
    let mut by_destination: BTreeMap<Destination, Vec<(usize, Inspect)>> = BTreeMap::new();
    for (at, spec) in specs.iter().enumerate() {
        if paused.contains(&spec.destination) {
            said[at] = Said::Paused;
            continue;
        }
        let inspect = Inspect {
            gid: gid.clone(),
            branch: spec.id.clone(),
            destination: spec.destination.clone(),
            operation: spec.operation.clone(),
            mark: mark.clone(),
            timeout_ms: timeout_ms.min(INSPECT_MS_MAX),
        };
        by_destination.entry(spec.destination.clone()).or_default().push((at, inspect));
    }
    let mut asked = JoinSet::new();
    for (_destination, inspections) in by_destination {
        let (egress, places) = (Arc::clone(&egress), Arc::clone(&places));
        asked.spawn(async move {
            let _place = places.acquire().await.expect("nobody closes it");
            one_destination(&egress, inspections).await
        });
    }
    while let Some(answers) = asked.join_next().await {
        let Ok(answers) = answers else { continue };
        for (at, answer) in answers {
            said[at] = answer;
        }
    }
    said
}

/// One that does not answer is not asked again for the next branch.
async fn one_destination(
    egress: &Egress,
    inspections: Vec<(usize, Inspect)>,
) -> Vec<(usize, Said)> {
    let until = Instant::now() + Duration::from_millis(DESTINATION_MS_MAX);
    let mut said = Vec::new();
    for (at, inspect) in inspections {
        if Instant::now() >= until {
            break;
        }
        let answer = judge(egress.inspect(inspect).await);
        let is_gone = matches!(answer, Said::Unanswered(_));
        said.push((at, answer));
        if is_gone {
            break;
        }
    }
    said
}

fn judge(answer: Answer) -> Said {
    if let Answer::Refused(refusal) = &answer {
        match refusal.code.as_str() {
            NO_ROW_KEPT => return Said::NotKept,
            "stale" => {}
            code => {
                let detail = refusal.detail.as_str();
                return Said::Refused(Text::cut(&format!("{code} {detail}")));
            }
        }
    }
    match row_seen(answer) {
        Ok(row) => Said::Row(row),
        Err(Answer::Unknown { detail }) => Said::Unanswered(detail),
        Err(Answer::Working) => {
            Said::Unanswered(Text::cut("it is at work on this branch; ask again"))
        }
        Err(Answer::Done { .. } | Answer::Refused(_)) => {
            Said::Unanswered(Text::cut("the answer says nothing of a row"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wholly_core::branch::{Kept, Refusal};
    use wholly_core::ids::Body;

    #[test]
    fn every_answer_has_its_meaning() {
        let done =
            |text: &str| Answer::Done { reply: Body::new(text.as_bytes()), kept: Kept::Kept };
        let refused = |code: &str| {
            let (code, kept) = (code.parse().unwrap(), Kept::NotKept);
            Answer::Refused(Refusal { code, detail: Text::cut("so"), kept })
        };
        let check = |answer: Answer, expected: Said| assert_eq!(judge(answer), expected);
        check(done(r#"{"state":"none"}"#), Said::Row(RowSeen::Absent));
        check(done(r#"{"state":"refused"}"#), Said::Row(RowSeen::Refused));
        check(refused("stale"), Said::Row(RowSeen::Stale));
        check(refused(NO_ROW_KEPT), Said::NotKept);
        check(refused("operation_unknown"), Said::Refused(Text::cut("operation_unknown so")));
        for odd in [done("{}"), done(r#"{"state":"eaten"}"#), Answer::Working] {
            assert!(matches!(judge(odd), Said::Unanswered(_)));
        }
        let detail = Text::cut("no answer within 5 ms");
        check(Answer::Unknown { detail: detail.clone() }, Said::Unanswered(detail));
    }
}
