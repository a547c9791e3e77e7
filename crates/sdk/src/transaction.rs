//! A global transaction in a caller's hand: how it is begun, and what can be called in it.

use crate::barrier::BarrierDatabase;
use crate::calling::{Calling, Invoke, Prepared, Way};
use crate::client::api::{Key, Said, random_name, rejected};
use crate::client::connection::{Lost, Sent};
use crate::client::{Participant, Wholly, parse_gid};
use crate::ledger::{Came, Closed, Ledger, Naming};
use crate::outcome::{BoxError, Error, unreachable};
use crate::participant::Service;
use crate::scope::{Failing, Unfinished};
use crate::{Operation, context};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;
use wholly_core::ids::{BranchId, Gid};
use wholly_core::record::Cause;
use wholly_wire::v1::request;

/// How long a transaction may stay open where nothing else was said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// How long [`Begin::run`] waits after its body said Ok or Err.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wait {
    /// Until the decision, which is final; branches may still be told.
    #[default]
    Decided,
    /// Until every branch has followed the decision.
    Ended,
}

/// A global transaction that has not begun.
#[derive(Clone, Debug)]
#[must_use = "nothing is begun before run"]
pub struct Begin {
    client: Wholly,
    name: String,
    gid: Option<String>,
    timeout: Duration,
    wait: Wait,
}

impl Begin {
    pub(crate) fn new(client: Wholly, name: &str) -> Begin {
        Begin { client, name: name.to_owned(), gid: None, timeout: TIMEOUT, wait: Wait::default() }
    }

    /// Gives it an id of its own. It names this transaction, not the business act: after an abort
    /// another is needed (`order-4711.2`).
    pub fn gid(mut self, gid: impl Into<String>) -> Begin {
        self.gid = Some(gid.into());
        self
    }

    /// It is aborted when it is not decided after this long; a minute where nothing is said.
    pub fn timeout(mut self, timeout: Duration) -> Begin {
        self.timeout = timeout;
        self
    }

    /// Waits for more than the decision.
    pub fn wait(mut self, wait: Wait) -> Begin {
        self.wait = wait;
        self
    }

    /// Begins, runs the body, and commits if it says Ok. Err, panic and drop abort.
    ///
    /// Within another global transaction it joins that one: Ok leaves the decision to whoever
    /// began it, Err makes it an abort, whatever the body around it says.
    /// Hold no pooled connection of a database across a call: its participant may need one.
    pub async fn run<F, T>(self, body: F) -> Result<T, Error>
    where
        F: AsyncFnOnce(Transaction) -> Result<T, BoxError>,
    {
        let ran = crate::scope::run(self, body, |error: &BoxError| Failing::of(&**error)).await;
        ran.map_err(|unfinished| match unfinished {
            Unfinished::Ours(error) => error,
            Unfinished::Theirs { error, gid, settled } => settled.into_error(gid, Some(error)),
        })
    }

    pub(crate) fn waits(&self) -> Wait {
        self.wait
    }

    /// Begins at the coordinator.
    pub(crate) async fn begin(self) -> Result<Transaction, Error> {
        let gid = self.gid.as_deref().map(parse_gid).transpose()?;
        let asked = Instant::now();
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX).max(1);
        let begin = request::Begin {
            name: self.name.as_str().into(),
            gid: gid.as_ref().map(|gid| gid.as_str().into()),
            timeout_ms: Some(timeout_ms),
            branches: Vec::new(),
        };
        let begun = match self.client.ask_begin(&begin).await {
            Ok(Said::Good(begun)) => begun,
            Ok(Said::Problem(told)) => {
                let error = rejected(gid.as_ref(), &told.problem);
                // Whatever an earlier sending began, nothing is called in it, and it is aborted.
                return Err(match told.earlier {
                    Sent::Never => error,
                    Sent::Perhaps => {
                        let lost = Lost { sent: told.earlier, cause: Box::new(error) };
                        unreachable(self.client.url(), lost)
                    }
                });
            }
            Err(lost) => return Err(unreachable(self.client.url(), lost)),
        };
        Ok(Transaction::new(Open {
            gid: parse_gid(&begun.gid)?,
            capability: begun.capability.into_owned(),
            until: asked + self.timeout,
            ledger: Mutex::default(),
            runtime: Handle::current(),
            client: self.client,
        }))
    }
}

/// An open global transaction. Cheap to clone; whoever holds one can call in it, and only the
/// scope that began it commits.
#[derive(Clone)]
pub struct Transaction {
    open: Arc<Open>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transaction").field(&self.open.gid).finish()
    }
}

pub(crate) struct Open {
    pub(crate) client: Wholly,
    pub(crate) gid: Gid,
    pub(crate) capability: String,
    /// When the coordinator aborts it, on this process's clock; never later than there.
    pub(crate) until: Instant,
    ledger: Mutex<Ledger>,
    /// Where work goes that outlives a dropped scope.
    pub(crate) runtime: Handle,
}

impl Transaction {
    fn new(open: Open) -> Transaction {
        Transaction { open: Arc::new(open) }
    }

    /// A transaction that another process began.
    pub(crate) fn joined(
        client: Wholly,
        gid: Gid,
        capability: String,
        left: Duration,
    ) -> Transaction {
        let suffix = random_name()[..8].to_owned();
        Transaction::new(Open {
            client,
            gid,
            capability,
            until: Instant::now() + left,
            ledger: Mutex::new(Ledger::joined(suffix)),
            runtime: Handle::current(),
        })
    }

    /// Its id.
    pub fn gid(&self) -> &Gid {
        &self.open.gid
    }

    /// How long until the coordinator aborts it.
    pub fn remaining(&self) -> Duration {
        self.open.left()
    }

    /// Calls an operation of a participant: it is registered, then tried; the reply is typed.
    ///
    /// A refusal ([`Error::is_refused`]) may be survived: that branch is out, whatever is decided.
    /// A call that is dropped or stays unknown may not: the commit becomes an abort.
    pub fn call<O: Operation>(&self, to: &Participant, operation: O) -> Calling<O::Reply> {
        let way = Way::Coordinator(to.destination().clone());
        Calling::prepared(Prepared::new(self.open.clone(), way, &operation))
    }

    /// Calls an operation of a service of this process, whose database work becomes a branch like
    /// any other: same barrier, no network; confirm or cancel come to the service later.
    pub fn local<O: Operation, D: BarrierDatabase>(
        &self,
        service: &Service<D>,
        operation: O,
    ) -> Calling<O::Reply> {
        let serving = service.clone();
        let invoke: Invoke = Box::new(move |call| {
            let serving = serving.clone();
            Box::pin(async move { serving.invoke(call).await })
        });
        let way = Way::InProcess(service.name().clone(), invoke);
        Calling::prepared(Prepared::new(self.open.clone(), way, &operation))
    }

    /// Runs a future so that [`wholly::current`](crate::current) finds this transaction in it.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        context::within(Some(self.clone()), future).await
    }

    pub(crate) fn open(&self) -> &Arc<Open> {
        &self.open
    }
}

impl Open {
    pub(crate) fn key(&self) -> Key<'_> {
        Key { gid: &self.gid, capability: &self.capability }
    }

    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call begins under a name of its own.
    pub(crate) fn enter(
        self: &Arc<Self>,
        naming: Naming,
        operation: &'static str,
    ) -> Result<InFlight, Error> {
        match self.ledger().enter(naming) {
            Ok(branch) => Ok(InFlight { open: self.clone(), branch }),
            Err(Closed::Over) => Err(Error::Over { gid: self.gid.clone(), operation }),
            Err(Closed::Name(value, why)) => {
                Err(Error::Invalid { what: "branch", value, why: why.to_string() })
            }
        }
    }

    pub(crate) fn aborted(&self, cause: Cause) -> Error {
        Error::Aborted { gid: self.gid.clone(), cause, reason: None }
    }
}

/// A call on its way. Dropped before it was settled, it is a call that nobody saw the end of.
pub(crate) struct InFlight {
    pub(crate) open: Arc<Open>,
    pub(crate) branch: BranchId,
}

impl InFlight {
    pub(crate) fn settle(&self, came: Came) {
        self.open.ledger().settle(&self.branch, came);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.settle(Came::Lost(crate::outcome::Loss::Dropped));
    }
}
