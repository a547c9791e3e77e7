//! Deadlines: none acts before its time, whatever the clock does; none is overdue once the alarm
//! has rung; and the alarm is set for the next.

use super::Judgement;
use crate::evidence::Evidence;
use crate::model::{Case, Ledger};
use crate::tally::State;
use wholly_core::effect::{Content, Draft};
use wholly_core::record::{Cause, Fact};
use wholly_core::time::{Instant, Now};

pub(super) fn judge(ledger: &Ledger, evidence: &Evidence<'_>) -> Judgement {
    if let Evidence::Appended(draft) = evidence {
        not_before_its_time(ledger, draft)?;
    }
    if let Evidence::Woken { now, held_until, alarm } = evidence {
        not_overdue(ledger, *now, *held_until)?;
        alarm_is_set(ledger, *now, *held_until, *alarm)?;
    }
    Ok(())
}

fn not_before_its_time(ledger: &Ledger, draft: &Draft) -> Judgement {
    let Content::Transaction { gid, records, .. } = &draft.content else { return Ok(()) };
    let by_deadline = records
        .iter()
        .find(|record| matches!(record.fact, Fact::Decided { cause: Cause::Deadline, .. }));
    let Some(record) = by_deadline else { return Ok(()) };
    let deadline = ledger.case(gid).and_then(|case| case.deadline);
    match deadline {
        Some(deadline) if deadline <= record.at => Ok(()),
        deadline => Err(format!("{gid} was over at {}, its deadline is {deadline:?}", record.at)),
    }
}

/// Whether silence may still decide it.
fn is_undecided(case: &Case) -> bool {
    if case.is_unaccounted() {
        return false;
    }
    match case.state() {
        State::Open | State::Forward | State::Stuck | State::Parked => case.decided.is_none(),
        State::None | State::Committing | State::Aborting | State::Ended => false,
    }
}

fn undecided(ledger: &Ledger) -> impl Iterator<Item = (&wholly_core::ids::Gid, &Case)> {
    ledger.cases.iter().filter(|(_, case)| is_undecided(case))
}

fn not_overdue(ledger: &Ledger, now: Now, held_until: Instant) -> Judgement {
    if now.monotonic < held_until {
        return Ok(());
    }
    let overdue = |case: &Case| case.deadline.is_some_and(|deadline| deadline <= now.wall);
    match undecided(ledger).find(|(_, case)| overdue(case)) {
        Some((gid, case)) => {
            Err(format!("{gid} was due at {:?}, the clock says {}", case.deadline, now.wall))
        }
        None => Ok(()),
    }
}

fn alarm_is_set(
    ledger: &Ledger,
    now: Now,
    held_until: Instant,
    alarm: Option<Instant>,
) -> Judgement {
    let next = undecided(ledger).filter_map(|(gid, case)| Some((case.deadline?, gid))).min();
    let Some((deadline, gid)) = next else { return Ok(()) };
    let due = now.monotonic.plus_ms(deadline.since_ms(now.wall)).max(held_until);
    match alarm {
        Some(alarm) if alarm <= due => Ok(()),
        alarm => Err(format!("{gid} is due at {due:?}, the alarm is set for {alarm:?}")),
    }
}
