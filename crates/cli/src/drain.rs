//! `wholly drain`: nothing more begins, and what is open ends; says how much that still is.

use crate::arguments::Drain;
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, parse};
use crate::reason::reason;
use std::time::{Duration, Instant};
use wholly_wire::v1::standing::Status;
use wholly_wire::v1::{path, request};

/// How often it is asked.
const ASKED_EVERY: Duration = Duration::from_millis(500);

/// Drains, and waits until nothing is open.
pub(crate) async fn run(drain: Drain) -> Result<(), Complaint> {
    let coordinator = Coordinator::of(&drain.reading)?;
    let body = request::Reasoned { reason: reason(drain.reason)?.into() };
    if drain.cancel {
        let answer = coordinator.change(path::ADMIT, &body).await?;
        let status: Status<'static> = parse(answer)?;
        say!("intake: {}, {} open", status.intake, status.remaining);
        return Ok(());
    }
    let started = Instant::now();
    let mut status: Status<'static> = parse(coordinator.change(path::DRAIN, &body).await?)?;
    let mut told = None;
    while status.remaining > 0 {
        if told != Some(status.remaining) && !drain.reading.json {
            say!("{} open", status.remaining);
        }
        told = Some(status.remaining);
        if started.elapsed() >= drain.within.0 {
            return Err(left(&status));
        }
        tokio::time::sleep(ASKED_EVERY).await;
        status = parse(coordinator.read(path::STATUS).await?)?;
    }
    match drain.reading.json {
        true => say!("{}", serde_json::json!({ "intake": status.intake, "remaining": 0 })),
        false => say!("drained: nothing is open; stop it, or `wholly drain --cancel`"),
    }
    Ok(())
}

fn left(status: &Status<'_>) -> Complaint {
    let happened = format!("{} transactions are still open", status.remaining);
    Complaint::new(Kind::Refused, happened)
        .means("nothing more begins; what is open goes on, also after a stop and a start")
        .advice(
            "look at what they wait for: wholly status; repeat the drain with a longer --within, \
             or take it back with --cancel",
        )
}
