//! A saga as a plan: written down, handed over in one request, carried out by the coordinator.

use crate::Operation;
use crate::client::api::{Awaited, Key, Said, decided_before, random_name};
use crate::client::connection::Sent;
use crate::client::{Participant, Wholly, parse_gid};
use crate::deciding::{rejected_or_unknown, unknown};
use crate::find::{Decided, Document, Ended, Found};
use crate::outcome::{Error, unreachable};
use serde_json::value::RawValue;
use std::fmt;
use std::time::Duration;
use wholly_core::branch::Mode;
use wholly_core::ids::{Destination, Gid};
use wholly_wire::v1::request;

/// A plan that has not been handed over.
///
/// `after` and `reads` speak of the step before them. What is wrong with a plan is said by
/// [`submit`](SagaPlan::submit).
#[derive(Debug)]
#[must_use = "nothing happens before submit"]
pub struct SagaPlan {
    client: Wholly,
    name: String,
    gid: Option<String>,
    timeout: Option<Duration>,
    steps: Vec<Step>,
    wrong: Option<Error>,
}

#[derive(Debug)]
struct Step {
    name: String,
    to: Destination,
    operation: &'static str,
    payload: Box<RawValue>,
    after: Vec<String>,
    reads: Vec<String>,
    forward: Forward,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forward {
    Reversible,
    Only,
}

impl SagaPlan {
    pub(crate) fn new(client: Wholly, name: &str) -> SagaPlan {
        SagaPlan {
            client,
            name: name.to_owned(),
            gid: None,
            timeout: None,
            steps: Vec::new(),
            wrong: None,
        }
    }

    /// Gives it an id of its own, so that handing it over again finds it.
    pub fn gid(mut self, gid: impl Into<String>) -> SagaPlan {
        self.gid = Some(gid.into());
        self
    }

    /// It turns back when it is not decided after this long; without, it goes on for ever.
    pub fn timeout(mut self, timeout: Duration) -> SagaPlan {
        self.timeout = Some(timeout);
        self
    }

    /// Adds a step that can be taken back.
    pub fn step<O: Operation>(self, name: &str, to: &Participant, operation: O) -> SagaPlan {
        self.push(name, to, &operation, Forward::Reversible)
    }

    /// Adds a step that is retried and never undone. Every step that can be taken back must come
    /// before it.
    pub fn forward<O: Operation>(self, name: &str, to: &Participant, operation: O) -> SagaPlan {
        self.push(name, to, &operation, Forward::Only)
    }

    /// The last step waits for these; without, it starts at once.
    pub fn after<N: Into<String>>(mut self, steps: impl IntoIterator<Item = N>) -> SagaPlan {
        let names = steps.into_iter().map(Into::into);
        match self.steps.last_mut() {
            Some(step) => step.after.extend(names),
            None => self.no_step("after"),
        }
        self
    }

    /// The last step is handed the replies of these; it must come after them.
    pub fn reads<N: Into<String>>(mut self, steps: impl IntoIterator<Item = N>) -> SagaPlan {
        let names = steps.into_iter().map(Into::into);
        match self.steps.last_mut() {
            Some(step) => step.reads.extend(names),
            None => self.no_step("reads"),
        }
        self
    }

    fn push<O: Operation>(
        mut self,
        name: &str,
        to: &Participant,
        operation: &O,
        forward: Forward,
    ) -> SagaPlan {
        const {
            assert!(matches!(O::MODE, Mode::Saga), "a step of a saga is an operation of mode saga");
        }
        match serde_json::value::to_raw_value(operation) {
            Ok(payload) => self.steps.push(Step {
                name: name.to_owned(),
                to: to.destination().clone(),
                operation: O::NAME,
                payload,
                after: Vec::new(),
                reads: Vec::new(),
                forward,
            }),
            Err(error) => {
                let (operation, source) = (O::NAME, error.into());
                let wrong = Error::Shape { what: "payload", operation, source };
                self.wrong.get_or_insert(wrong);
            }
        }
        self
    }

    fn no_step(&mut self, what: &'static str) {
        self.wrong.get_or_insert(Error::Invalid {
            what: "plan",
            value: self.name.clone(),
            why: format!("says {what} before its first step"),
        });
    }

    /// Hands the plan over. Once this is Ok, it is durable and will be carried out, though this
    /// process dies. Handing over the same plan under the same gid again is safe: it is done once.
    pub async fn submit(self) -> Result<Submitted, Error> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        let gid = parse_gid(&self.gid.unwrap_or_else(random_name))?;
        let plan = request::Submit {
            name: self.name.as_str().into(),
            timeout_ms: self.timeout.map(milliseconds),
            steps: self.steps.iter().map(Step::spell).collect(),
        };
        match self.client.ask_submit(&gid, &plan).await {
            Ok(Said::Good(document)) => Ok(Submitted {
                found: Found::new(self.client.clone(), gid.as_str()),
                capability: document.capability.map(Into::into).unwrap_or_default(),
                client: self.client,
                gid,
            }),
            Ok(Said::Problem(told)) => Err(rejected_or_unknown(&gid, &told)),
            Err(lost) => Err(match lost.sent {
                Sent::Never => unreachable(self.client.url(), lost),
                Sent::Perhaps => unknown(&gid, lost),
            }),
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

impl Step {
    fn spell(&self) -> request::Step<'_> {
        let names = |names: &'_ [String]| names.iter().map(|name| name.clone().into()).collect();
        request::Step {
            branch: self.name.as_str().into(),
            to: self.to.as_str().into(),
            operation: self.operation.into(),
            payload: Some(&self.payload),
            after: names(&self.after),
            reads: names(&self.reads),
            forward: self.forward == Forward::Only,
        }
    }
}

/// A saga that the coordinator has.
#[derive(Clone)]
pub struct Submitted {
    client: Wholly,
    gid: Gid,
    found: Found,
    capability: String,
}

impl fmt::Debug for Submitted {
    /// Says its id alone: the capability is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Submitted").field("gid", &self.gid).finish_non_exhaustive()
    }
}

impl Submitted {
    /// Its id.
    pub fn gid(&self) -> &Gid {
        &self.gid
    }

    /// How it stands at this moment.
    pub async fn get(&self) -> Result<Document, Error> {
        self.found.get().await
    }

    /// Waits until it is decided: at its last step, or at its turn. Dropping this changes nothing.
    pub async fn decided(&self) -> Result<Decided, Error> {
        self.found.decided().await
    }

    /// Waits for its end. Dropping this changes nothing.
    pub async fn ended(&self) -> Result<Ended, Error> {
        self.found.ended().await
    }

    /// Turns it back, if it is not decided; tells how it is decided either way.
    pub async fn abort(&self, reason: &str) -> Result<Decided, Error> {
        let key = Key { gid: &self.gid, capability: &self.capability };
        match self.client.ask_abort(key, reason, None, Awaited::Decided).await {
            Ok(Said::Good(_)) => self.decided().await,
            Ok(Said::Problem(told)) => match decided_before(&told.problem) {
                Some(_) => self.decided().await,
                None => Err(rejected_or_unknown(&self.gid, &told)),
            },
            Err(lost) => Err(unknown(&self.gid, lost)),
        }
    }
}
