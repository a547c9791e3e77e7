//! `wholly check data`: reads a data folder that nobody uses, and says whether it is whole.

use crate::arguments::CheckFolder;
use crate::complaint::{Complaint, Kind};
use crate::serve::log;
use wholly_server::backup::{Found, find};
use wholly_server::{Checked, check_data};

/// Reads everything, and changes nothing.
pub(super) fn run(check: &CheckFolder) -> Result<(), Complaint> {
    if matches!(find(&check.folder), Ok(Found::Unfinished)) {
        let happened = format!("{} is a backup that was not finished", check.folder.display());
        return Err(Complaint::new(Kind::NotDone, happened)
            .means("nothing can be put back from it")
            .advice("name another backup; `wholly backup` into the same folder makes it anew"));
    }
    let checked = check_data(&check.folder).map_err(|error| {
        let (means, advice) = log(&error);
        Complaint::because(Kind::NotDone, "the data folder cannot be started on", &error)
            .means(means)
            .advice(advice)
    })?;
    say!("{}", render(&checked));
    Ok(())
}

fn render(checked: &Checked) -> String {
    let Checked { records, tail, open, unarchived, segments, log_bytes, slices } = checked;
    let (rows, bytes) =
        slices.iter().fold((0, 0), |(rows, bytes), facts| (rows + facts.rows, bytes + facts.bytes));
    let mut text = format!(
        "the log is whole: {records} records, {open} transactions open, {unarchived} ended and \
         not archived; {segments} files, {log_bytes} bytes\n\
         the archive is whole: {rows} ended transactions; {} files, {bytes} bytes",
        slices.len()
    );
    if *tail > 0 {
        text.push_str(&format!(
            "\nthe last {tail} records were being written when the coordinator ended; a start \
             writes them anew"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tail: u64, expected: &[&str]) {
        let checked = Checked {
            records: 9,
            tail,
            open: 2,
            unarchived: 3,
            segments: 1,
            log_bytes: 500,
            slices: Vec::new(),
        };
        assert_eq!(render(&checked).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_was_found_is_said() {
        let log = "the log is whole: 9 records, 2 transactions open, 3 ended and not archived; 1 \
                   files, 500 bytes";
        let archive = "the archive is whole: 0 ended transactions; 0 files, 0 bytes";
        check(0, &[log, archive]);
        let tail = "the last 4 records were being written when the coordinator ended; a start \
                    writes them anew";
        check(4, &[log, archive, tail]);
    }
}
