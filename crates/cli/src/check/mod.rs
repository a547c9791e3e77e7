//! `wholly check`: looks whether something keeps its side of the contract.

mod asking;
mod data;
mod participant;
mod plays;

use crate::arguments::Check;
use crate::complaint::Complaint;

/// Checks what is named.
pub(crate) async fn run(check: Check) -> Result<(), Complaint> {
    match check {
        Check::Participant(check) => participant::run(*check).await,
        Check::Data(check) => data::run(&check),
    }
}
