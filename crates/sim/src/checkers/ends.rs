//! It ends: once the world is healed, everything ends within the bound, and nothing stays behind.

use super::Judgement;
use crate::evidence::{Evidence, Ready, Remains, Rows};
use crate::model::Ledger;
use wholly_core::document::Response;
use wholly_core::record::PhaseName;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Over(remains) = evidence {
        nothing_remains(ledger, remains)?;
    }
    if let Evidence::Audited { gid, reply: Ok(Response::Transaction { document, .. }) } = evidence
        && document.state != PhaseName::Ended
    {
        return Err(format!("{gid} is still {:?}", document.state));
    }
    Ok(())
}

fn nothing_remains(ledger: &Ledger, remains: &Remains) -> Judgement {
    let rows = remains.rows.clone();
    for Rows { participant, limit, count } in &rows {
        let most = ledger.rows_max(*participant, *limit);
        if *count > most {
            return Err(format!(
                "participant {participant} keeps {count} rows from {limit} on, of {most}"
            ));
        }
    }
    let clean = Remains { ready: Ready::Yes, rows, ..Remains::default() };
    match *remains == clean {
        true => Ok(()),
        false => {
            let open: Vec<_> = ledger.open().take(3).collect();
            Err(format!("after the bound there is still {remains:?}: {open:?}"))
        }
    }
}
