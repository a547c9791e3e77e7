//! `wholly audit`: what operators asked for, and whether it still stands as it was written.

use crate::complaint::{Complaint, Kind};
use crate::table;
use serde_json::json;
use std::path::PathBuf;
use wholly_core::time::Timestamp;
use wholly_server::audit::{ACTS, Chain, FILE, Line, VerifyError, look};
use wholly_wire::v1::time::Time;

/// `wholly audit`
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// The coordinator's data folder; it may be running
    #[arg(long, value_name = "DIR", default_value = "wholly-data")]
    pub(crate) data: PathBuf,
    /// Show only what this one asked for
    #[arg(long, value_name = "ID")]
    pub(crate) who: Option<String>,
    /// Show only what was asked of this transaction
    #[arg(long)]
    pub(crate) gid: Option<String>,
    /// Show only this act
    #[arg(long, value_name = "ACT", value_parser = ACTS)]
    pub(crate) what: Option<String>,
    /// Show only what was asked then or later, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) from: Option<Timestamp>,
    /// Show only what was asked before then
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) until: Option<Timestamp>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Looks through the audit of a data folder, and changes nothing. What stands before a line that
/// was changed is shown all the same.
pub(crate) fn run(order: &Audit) -> Result<(), Complaint> {
    let mut acts: Vec<Line<'static>> = Vec::new();
    let looked = look(&order.data, |line| {
        if is_asked_for(order, &line) {
            acts.push(line);
        }
    });
    if order.json {
        let Chain { lines, last } = looked.as_ref().cloned().unwrap_or_default();
        if looked.is_ok() {
            say!("{}", json!({ "lines": lines, "last": last, "acts": acts }));
        }
        return looked.map(drop).map_err(|error| refused(&error));
    }
    if !acts.is_empty() {
        say!("{}\n", render(&acts));
    }
    let Chain { lines, last } = looked.map_err(|error| refused(&error))?;
    say!("{}: {lines} lines, whole and in order", order.data.join(FILE).display());
    say!("the last hash is {last}; kept elsewhere, it shows whether lines were cut off since");
    Ok(())
}

fn is_asked_for(order: &Audit, line: &Line<'_>) -> bool {
    let Audit { who, gid, what, from, until, data: _, json: _ } = order;
    let is = |wanted: &Option<String>, seen: &str| wanted.as_deref().is_none_or(|one| one == seen);
    let at = line.at.parse::<Time>().map(|Time(at)| at).ok();
    is(who, &line.who)
        && is(what, &line.what)
        && is(gid, line.gid.as_deref().unwrap_or_default())
        && from.is_none_or(|from| at.is_some_and(|at| at >= from))
        && until.is_none_or(|until| at.is_some_and(|at| at < until))
}

fn render(acts: &[Line<'_>]) -> String {
    let mut rows = table::table(&["LINE", "AT", "WHO", "ACT", "OF", "REASON"]);
    for act in acts {
        let parts = [&act.gid, &act.destination, &act.branch, &act.resolution];
        let of: Vec<&str> = parts.into_iter().filter_map(|part| part.as_deref()).collect();
        let of = if of.is_empty() { "–".to_owned() } else { of.join(" ") };
        let number = act.n.to_string();
        // A reason may have lines of its own.
        let reason = act.reason.replace(['\n', '\r', '\t'], " ");
        rows.add_row([&number, &*act.at, &*act.who, &*act.what, &of, &reason]);
    }
    table::print(&mut rows)
}

fn time(text: &str) -> Result<Timestamp, String> {
    text.parse::<Time>().map(|Time(at)| at).map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> Audit {
        Audit {
            data: PathBuf::new(),
            who: None,
            gid: None,
            what: None,
            from: None,
            until: None,
            json: false,
        }
    }

    fn line() -> Line<'static> {
        serde_json::from_value(json!({
            "n": 4, "at": "1970-01-01T00:00:01.000Z", "who": "anna", "what": "resolve",
            "gid": "o-1", "branch": "stock", "resolution": "applied", "reason": "seen\nby me",
            "before": "none",
        }))
        .unwrap()
    }

    #[test]
    fn each_filter_keeps_what_matches_it() {
        let check = |expected: bool, order: Audit| {
            assert_eq!(is_asked_for(&order, &line()), expected, "{order:?}");
        };
        let text = |text: &str| Some(text.to_owned());
        check(true, order());
        check(
            true,
            Audit { who: text("anna"), gid: text("o-1"), what: text("resolve"), ..order() },
        );
        check(false, Audit { who: text("otto"), ..order() });
        check(false, Audit { gid: text("o-2"), ..order() });
        check(false, Audit { what: text("retry"), ..order() });
        check(
            true,
            Audit { from: Some(Timestamp(1_000)), until: Some(Timestamp(1_001)), ..order() },
        );
        check(false, Audit { from: Some(Timestamp(1_001)), ..order() });
        check(false, Audit { until: Some(Timestamp(1_000)), ..order() });
    }

    #[test]
    fn an_act_is_a_row() {
        let expected = "\
LINE  AT                        WHO   ACT      OF                 REASON
4     1970-01-01T00:00:01.000Z  anna  resolve  o-1 stock applied  seen by me";
        assert_eq!(render(&[line()]), expected);
    }
}
