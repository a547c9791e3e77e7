//! `wholly tx`: looks at transactions and acts on them.

mod list;
mod looking;
mod many;
mod operate;
mod outlook;
mod retry;
mod show;

pub(crate) use retry::matching;

use crate::arguments::Tx;
use crate::complaint::{Complaint, Kind};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use wholly_core::ids::Gid;
use wholly_core::time::Timestamp;

/// Does what was asked.
pub(crate) async fn run(tx: Tx) -> Result<(), Complaint> {
    match tx {
        Tx::List(list) => list::run(list).await,
        Tx::Show(show) => show::run(show).await,
        Tx::Retry(retry) => retry::run(retry).await,
        Tx::Abort(operate) => operate::abort(operate).await,
        Tx::Commit(operate) => operate::commit(operate).await,
        Tx::Park(operate) => operate::park(operate).await,
        Tx::Resolve(resolve) => operate::resolve(resolve).await,
    }
}

fn gid(text: &str) -> Result<Gid, Complaint> {
    text.parse().map_err(|error| {
        Complaint::because(Kind::Usage, format!("the gid `{text}` is none"), &error)
            .means("nobody was asked")
            .advice("take it from `wholly tx list`")
    })
}

/// The wall time.
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(u64::try_from(since.as_millis()).expect("the clock is before the year 500,000,000"))
}
