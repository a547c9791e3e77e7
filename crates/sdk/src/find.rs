//! A transaction by its gid: how it stands, and waiting for it.

use crate::client::api::{Awaited, Said, rejected};
use crate::client::{Wholly, parse_gid};
use crate::deciding::{read, unknown};
use crate::outcome::Error;
use wholly_core::ids::Gid;
use wholly_core::record::{Cause, Decision, Outcome};

/// How a transaction stands, as the coordinator shows it.
pub type Document = wholly_wire::v1::answer::Transaction<'static>;

/// A transaction that the coordinator is asked about.
#[derive(Clone, Debug)]
pub struct Found {
    client: Wholly,
    gid: String,
}

/// A decision, which is final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Of which transaction.
    pub gid: Gid,
    /// Which.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
}

/// An end: every branch is where it will stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Of which transaction.
    pub gid: Gid,
    /// What was decided.
    pub decision: Decision,
    /// Why.
    pub cause: Cause,
    /// How well it was carried out.
    pub outcome: Outcome,
}

impl Found {
    pub(crate) fn new(client: Wholly, gid: &str) -> Found {
        Found { client, gid: gid.to_owned() }
    }

    /// How it stands at this moment.
    pub async fn get(&self) -> Result<Document, Error> {
        self.ask(&parse_gid(&self.gid)?, None).await
    }

    /// Waits for the decision. Dropping this changes nothing.
    pub async fn decided(&self) -> Result<Decided, Error> {
        let gid = parse_gid(&self.gid)?;
        loop {
            let document = self.ask(&gid, Some(Awaited::Decided)).await?;
            if let Some(settled) = read(&gid, &document, Awaited::Decided)? {
                let (decision, cause) = (settled.decision, settled.cause);
                return Ok(Decided { gid, decision, cause });
            }
            self.client.pause().await;
        }
    }

    /// Waits for the end. Dropping this changes nothing.
    pub async fn ended(&self) -> Result<Ended, Error> {
        let gid = parse_gid(&self.gid)?;
        loop {
            let document = self.ask(&gid, Some(Awaited::Ended)).await?;
            let Some(settled) = read(&gid, &document, Awaited::Ended)? else {
                self.client.pause().await;
                continue;
            };
            let (decision, cause) = (settled.decision, settled.cause);
            return match settled.outcome {
                Some(outcome) => Ok(Ended { gid, decision, cause, outcome }),
                None => Err(unknown(&gid, "the end was awaited, and was not said")),
            };
        }
    }

    async fn ask(&self, gid: &Gid, awaited: Option<Awaited>) -> Result<Document, Error> {
        match self.client.ask_document(gid, awaited).await {
            Ok(Said::Good(document)) => Ok(document),
            Ok(Said::Problem(told)) => Err(rejected(Some(gid), &told.problem)),
            Err(lost) => Err(unknown(gid, lost)),
        }
    }
}

impl Decided {
    /// Whether it was committed.
    pub fn is_committed(&self) -> bool {
        self.decision == Decision::Commit
    }
}

impl Ended {
    /// Whether it was committed, and every branch followed.
    pub fn is_committed(&self) -> bool {
        self.decision == Decision::Commit && self.outcome == Outcome::AsDecided
    }

    /// Makes everything but a commit that every branch followed an error.
    pub fn committed(self) -> Result<Ended, Error> {
        let Ended { gid, decision, cause, outcome } = self;
        match (decision, outcome) {
            (Decision::Commit, Outcome::AsDecided) => Ok(Ended { gid, decision, cause, outcome }),
            (Decision::Abort, Outcome::AsDecided) => {
                Err(Error::Aborted { gid, cause, reason: None })
            }
            (decision, Outcome::Mixed | Outcome::Hazard) => {
                Err(Error::NotAsDecided { gid, decision, outcome, reason: None })
            }
        }
    }
}
