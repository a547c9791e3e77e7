//! It ends: once the world is healed, everything ends within the bound, and nothing stays behind.

use super::Judgement;
use crate::evidence::{Evidence, Ready, Remains, Rows};
use crate::model::Ledger;
use wholly_core::document::Response;
use wholly_core::record::PhaseName;

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Over(remains) => {
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
        Evidence::Audited { gid, reply } => match reply {
            Ok(Response::Transaction { document, .. }) if document.state != PhaseName::Ended => {
                Err(format!("{gid} is still {:?}", document.state))
            }
            Ok(_) | Err(_) => Ok(()),
        },
        Evidence::Appended(_)
        | Evidence::Called { .. }
        | Evidence::Replied { .. }
        | Evidence::Took(_)
        | Evidence::Closed { .. }
        | Evidence::Illegal { .. }
        | Evidence::Stale { .. }
        | Evidence::Operated(_)
        | Evidence::Restored { .. }
        | Evidence::Recovered { .. }
        | Evidence::Asked(_)
        | Evidence::Heard { .. }
        | Evidence::Woken { .. } => Ok(()),
    }
}
