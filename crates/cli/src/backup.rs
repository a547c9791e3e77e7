//! `wholly backup`: a data folder is copied as it stands, while its coordinator goes on.

use crate::arguments::Backup;
use crate::complaint::{Complaint, Kind};
use crate::serve::log;
use crate::tx::clock;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::io::IsTerminal;
use wholly_server::{BackupError, CopyError, backup};

/// Makes a backup, and says what is in it.
pub(crate) fn run(order: &Backup) -> Result<(), Complaint> {
    let bar = match std::io::stderr().is_terminal() {
        true => ProgressBar::no_length(),
        false => ProgressBar::hidden(),
    };
    let style = ProgressStyle::with_template("{bar:30} {bytes} of {total_bytes}");
    bar.set_style(style.expect("the template is well-formed"));
    let made = backup(&order.data, &order.to, clock(), &mut |progress| {
        bar.set_length(progress.all);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    let inventory = made.map_err(|error| refused(&error))?;
    let (to, bytes) = (order.to.display(), inventory.bytes());
    let (files, open, ended) = (inventory.files.len(), inventory.open, inventory.ended);
    match order.json {
        true => say!(
            "{}",
            json!({ "to": order.to, "asked": inventory.asked, "records": inventory.records,
                    "open": open, "ended": ended, "files": files, "bytes": bytes })
        ),
        false => say!(
            "{to} is a backup of {}: {files} files, {bytes} bytes; {open} transactions open, \
             {ended} ended\n\
             everything that was acknowledged before {} is in it; wholly check data {to} reads \
             every row, wholly restore {to} puts it back",
            order.data.display(),
            inventory.asked
        ),
    }
    Ok(())
}

fn refused(error: &BackupError) -> Complaint {
    const NONE: &str = "there is no backup; the coordinator goes on and nothing of it was changed";
    let (means, advice) = match error {
        BackupError::NoData { .. } => (NONE, "name a coordinator's --data"),
        BackupError::OfBackup { .. } => (NONE, "copy it, or name a coordinator's --data"),
        BackupError::Inside { .. } => (NONE, "name a folder outside, on another disk"),
        BackupError::NotEmpty { .. } => (
            "what is there was left alone",
            "name a folder that does not exist yet; one for each backup",
        ),
        BackupError::UnderWay { .. } => ("that one goes on", "wait for it, or name another folder"),
        BackupError::NoRoom { .. } => (NONE, "make room, or name a folder on another disk"),
        BackupError::Disk { .. } | BackupError::Copy(CopyError::Disk { .. }) => {
            (NONE, "see to the disk, and run as the coordinator's user; then try again")
        }
        BackupError::Copy(CopyError::Archive(_)) => {
            (NONE, "see to the disk, then try again; `wholly check data` reads a stopped folder")
        }
        BackupError::Copy(CopyError::Log(error)) => log(error),
        BackupError::Copy(CopyError::NotWhole(_)) => {
            (NONE, "try again; if it stays so, stop the coordinator and read it: wholly check data")
        }
        BackupError::Copy(CopyError::Overtaken) => (NONE, "try again when there is less load"),
    };
    Complaint::because(Kind::NotDone, "no backup was made", error).means(means).advice(advice)
}
