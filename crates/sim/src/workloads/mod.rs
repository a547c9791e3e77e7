//! Workloads: one file per mode or contest. Each casts the clients of one transaction.

pub mod initiator;
pub mod mixed;
pub mod operator;
pub mod rivals;
pub mod saga;
pub mod stranger;
pub mod submitter;
pub mod tcc;

use self::stranger::Stranger;
use crate::chance::Chance;
use crate::client::Client;
use crate::world::{Naming, PARTICIPANTS, Stage};
use wholly_core::ids::{Destination, Gid, Name, Operation};

/// Clients, each with the time after which it begins.
pub type Cast = Vec<(u64, Box<dyn Client>)>;

/// A workload: its share of all transactions, and how it casts the clients of one.
type Workload = (u64, fn(u64, &mut Stage) -> Cast);

const WORKLOADS: &[Workload] =
    &[(4, tcc::cast), (4, saga::cast), (2, mixed::cast), (3, rivals::cast)];

/// Workloads that need no gid of their own choosing. Where outcomes are forgotten before their
/// time, nobody can tell whether such a gid was used.
const ISSUED: &[Workload] = &[(2, tcc::cast), (2, saga::cast), (1, mixed::cast)];

/// The clients of one transaction, of a workload drawn by its share.
pub fn cast(number: u64, stage: &mut Stage) -> Cast {
    let workloads = match stage.naming {
        Naming::Free => WORKLOADS,
        Naming::Issued => ISSUED,
    };
    let shares: u64 = workloads.iter().map(|(share, _)| share).sum();
    let mut drawn = stage.chance.below(shares);
    for (share, cast) in workloads {
        match drawn.checked_sub(*share) {
            Some(left) => drawn = left,
            None => {
                let mut cast = cast(number, stage);
                if stage.chance.below(3) == 0 {
                    let wait = stage.chance.within(0, 20_000);
                    let visits = stage.chance.within(1, 6);
                    cast.push((wait, Box::new(Stranger::new(visits))));
                }
                return cast;
            }
        }
    }
    Vec::new()
}

/// A gid for a transaction by number; the auditor asks for it in the end.
pub(crate) fn gid(number: u64, stage: &mut Stage) -> Gid {
    let gid = Gid::new(&format!("t{number}")).expect("a name");
    stage.gids.push(gid.clone());
    gid
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// A participant's name among the destinations.
pub(crate) fn destination(participant: usize) -> Destination {
    Destination::new(&format!("p{participant}")).expect("a destination")
}

pub(crate) fn operation() -> Operation {
    Operation::new("work").expect("a name")
}

pub(crate) fn any_participant(chance: &mut Chance) -> usize {
    chance.below(PARTICIPANTS as u64) as usize
}
