//! `wholly restore`: a copy of a data folder is put back, and says that it is one.

use crate::arguments::Restore;
use crate::complaint::{Complaint, Kind};
use crate::tx::clock;
use wholly_server::{RestoreError, restore};

/// Makes a data folder of a copy.
pub(crate) fn run(order: &Restore) -> Result<(), Complaint> {
    let put_back = restore(&order.copy, &order.data, clock()).map_err(|error| refused(&error))?;
    say!(
        "{} is a copy of {}: {} files, {} bytes",
        order.data.display(),
        order.copy.display(),
        put_back.files,
        put_back.bytes
    );
    say!(
        "start the coordinator on it once the old one is gone for good; what was undecided in the \
         copy is decided by the participants' rows, or by you: wholly tx list --stuck"
    );
    Ok(())
}

fn refused(error: &RestoreError) -> Complaint {
    const UNCHANGED: &str = "nothing was changed";
    let (means, advice) = match error {
        RestoreError::NoCopy { .. } => {
            (UNCHANGED, "name the folder that was copied from a coordinator's --data, whole")
        }
        RestoreError::InUse { .. } => {
            (UNCHANGED, "stop the process that has the folder, or name another copy")
        }
        RestoreError::Unfinished { .. } => (
            UNCHANGED,
            "name another backup; this one was cut short, and `wholly backup` makes it anew",
        ),
        RestoreError::Damaged { .. } => (
            "no data folder was made; a part of the backup is not as it was written",
            "name another backup, or another copy of this one",
        ),
        RestoreError::NotEmpty { .. } => (
            UNCHANGED,
            "name a folder that does not exist yet; keep what is in this one for a look",
        ),
        RestoreError::Disk { .. } | RestoreError::Mark(_) => (
            "the copy is as it was, and no data folder was made",
            "see to the disk, then try again",
        ),
    };
    Complaint::because(Kind::NotDone, "the copy was not put back", error)
        .means(means)
        .advice(advice)
}
