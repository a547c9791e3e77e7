//! Recovery: what a start finds folds to what the coordinator was at that point of its log.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Fold, Ledger};
use crate::tally::State;
use wholly_core::ids::{Gid, Position};
use wholly_core::record::Record;
use wholly_core::transaction::Transaction;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    let Evidence::Recovered { position, open, .. } = evidence else { return Ok(()) };
    same(ledger, *position, open)
}

fn same(ledger: &Ledger, position: Position, open: &[(Gid, Vec<Record>)]) -> Judgement {
    let expected = |gid: &Gid| ledger.case(gid).and_then(|case| case.fold_at(position));
    for (gid, records) in open {
        let Some(before) = expected(gid) else {
            return Err(format!("{gid} was found, and had no record up to {position:?}"));
        };
        let transaction = Transaction::fold(records)
            .ok_or_else(|| format!("{gid} was found without its begin"))?;
        let found = Fold::of(records, &transaction.summary());
        if found != before {
            let state = State::of(&transaction.summary());
            return Err(format!("{gid} was found {}, and was otherwise", state.words()));
        }
    }
    let live = ledger.cases.iter().filter(|(_, case)| {
        let state = case.state_at(position);
        state != State::None && state != State::Ended
    });
    for (gid, _) in live {
        if open.binary_search_by(|(found, _)| found.cmp(gid)).is_err()
            && !open.iter().any(|(found, _)| found == gid)
        {
            return Err(format!("{gid} was open at {position:?}, and was not found"));
        }
    }
    Ok(())
}
