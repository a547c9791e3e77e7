//! It ends: once the world is healed, everything ends within the bound, and nothing stays behind.

use super::Judgement;
use crate::model::{Evidence, Ledger, Ready, Remains};
use wholly_core::document::Response;
use wholly_core::record::PhaseName;

pub(super) fn judge(_: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    match evidence {
        Evidence::Over(remains) => {
            let clean = Remains { ready: Ready::Yes, ..Remains::default() };
            match *remains == clean {
                true => Ok(()),
                false => Err(format!("after the bound there is still {remains:?}")),
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
        | Evidence::Recovered { .. } => Ok(()),
    }
}
