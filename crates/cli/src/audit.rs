//! `wholly audit`: whether what operators asked for still stands as it was written.

use crate::arguments::Audit;
use crate::complaint::{Complaint, Kind};
use serde_json::json;
use wholly_server::audit::{Chain, FILE, VerifyError, verify};

/// Looks through the audit of a data folder, and changes nothing.
pub(crate) fn run(order: &Audit) -> Result<(), Complaint> {
    let Chain { lines, last } = verify(&order.data).map_err(|error| refused(&error))?;
    match order.json {
        true => say!("{}", json!({ "lines": lines, "last": last })),
        false => {
            say!("{}: {lines} lines, whole and in order", order.data.join(FILE).display());
            say!(
                "the last hash is {last}; kept elsewhere, it shows whether lines were cut off since"
            );
        }
    }
    Ok(())
}

fn refused(error: &VerifyError) -> Complaint {
    let (means, advice) = match error {
        VerifyError::Read { .. } => (
            "nothing was changed",
            "name a coordinator's --data, and run as a user who may read it",
        ),
        VerifyError::Tampered { .. } => (
            "transactions are not touched by it; what operators did stands in their histories too",
            "compare it with the logs, which say number and hash of every line",
        ),
    };
    Complaint::because(Kind::NotDone, "the audit is not whole", error).means(means).advice(advice)
}
