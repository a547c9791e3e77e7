//! A service: one database, the operations it offers, and how a call of one is carried out.

use super::call::Call;
use super::desk::{Desk, Door, Errand, Seat};
use super::offered::{Beyond, Boxed, Inside, OfOutside, OfSaga, OfTcc, Offered};
use super::{Outside, Saga, Tcc};
use crate::barrier::{self, Arrival, BarrierDatabase, Clearing, Limits, Sweep, Writers};
use crate::error::{Failure, NotDone, Refused};
use crate::operation::Operation;
use sqlx::Connection as _;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument as _;
use wholly_core::barrier::{Inspection, State, Verdict, done};
use wholly_core::branch::{Answer, Kept, Mode, Op, Refusal};
use wholly_core::ids::{Body, Code, Destination, Origin, Text};
use wholly_core::retry::mix;
use wholly_core::time::Timestamp;
use wholly_wire::v1::call::{Inspected, NO_ROW_KEPT, RowState};
use wholly_wire::v1::raw;
use wholly_wire::words::Spelled;

/// Longest reply that is kept, in bytes, unless [`Service::reply_bytes_max`] says otherwise; the
/// coordinator's own limit must not be lower.
pub const REPLY_BYTES_MAX: usize = 64 * 1_024;
/// Longest body of a call, in bytes, unless [`Service::call_bytes_max`] says otherwise: by the
/// coordinator's defaults a payload and all replies that a step may read find room in it.
pub const CALL_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// Local transactions that one call may take when the database asks to do them again.
pub const TRANSIENT_MAX: u32 = 8;
/// Wait before a local transaction is done again, in milliseconds; doubles with each.
const TRANSIENT_MS: u64 = 2;

/// What one database's service offers. Cheap to clone.
///
/// `wholly.service("stock", pool).tcc::<Lock>(Stock)`: the name is the destination under which
/// the coordinator knows it. With SQLite, open the pool with `journal_mode = WAL` and
/// `synchronous = FULL`: what a commit of less than that loses, no barrier brings back.
pub struct Service<D: BarrierDatabase> {
    name: Destination,
    pool: sqlx::Pool<D>,
    offered: BTreeMap<&'static str, Offered<D>>,
    reply_bytes_max: usize,
    call_bytes_max: usize,
    commits: Commits,
    desk: Arc<Desk>,
    writer: Arc<Semaphore>,
    limits: Arc<Limits>,
}

/// Whether local transactions are committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Commits {
    Yes,
    /// Each is rolled back at its end, as if the process had died just before.
    InRehearsal,
}

impl<D: BarrierDatabase> Clone for Service<D> {
    fn clone(&self) -> Self {
        Service {
            name: self.name.clone(),
            pool: self.pool.clone(),
            offered: self.offered.clone(),
            reply_bytes_max: self.reply_bytes_max,
            call_bytes_max: self.call_bytes_max,
            commits: self.commits,
            desk: self.desk.clone(),
            writer: self.writer.clone(),
            limits: self.limits.clone(),
        }
    }
}

impl<D: BarrierDatabase> Service<D> {
    /// A service that offers nothing yet.
    ///
    /// # Panics
    /// If the name is none that a destination can have.
    pub fn new(name: &str, pool: sqlx::Pool<D>) -> Self {
        let parsed = Destination::new(name);
        Service {
            name: parsed.unwrap_or_else(|error| panic!("the service's name {name:?} {error}")),
            offered: BTreeMap::new(),
            reply_bytes_max: REPLY_BYTES_MAX,
            call_bytes_max: CALL_BYTES_MAX,
            commits: Commits::Yes,
            desk: Arc::new(Desk::new(pool.options().get_max_connections())),
            writer: Arc::new(Semaphore::new(1)),
            limits: Arc::new(Limits::default()),
            pool,
        }
    }

    /// Offers an operation of mode tcc.
    ///
    /// # Panics
    /// If the operation is offered already, or its name is none.
    pub fn tcc<O: Operation>(self, handler: impl Tcc<O, Database = D>) -> Self {
        const { assert!(matches!(O::MODE, Mode::Tcc), "tcc() offers operations of mode tcc") };
        self.with::<O>(Offered::Inside(Arc::new(OfTcc::<O, _>::new(handler))))
    }

    /// Offers an operation of mode saga.
    ///
    /// # Panics
    /// If the operation is offered already, or its name is none.
    pub fn saga<O: Operation>(self, handler: impl Saga<O, Database = D>) -> Self {
        const { assert!(matches!(O::MODE, Mode::Saga), "saga() offers operations of mode saga") };
        self.with::<O>(Offered::Inside(Arc::new(OfSaga::<O, _>::new(handler))))
    }

    /// Offers an operation of mode saga whose effect lies outside any database.
    ///
    /// # Panics
    /// If the operation is offered already, or its name is none.
    pub fn outside<O: Operation>(self, handler: impl Outside<O>) -> Self {
        const { assert!(matches!(O::MODE, Mode::Saga), "outside() offers operations of saga") };
        self.with::<O>(Offered::Beyond(Arc::new(OfOutside::<O, _>::new(handler))))
    }

    fn with<O: Operation>(mut self, offered: Offered<D>) -> Self {
        if let Err(error) = O::NAME.parse::<wholly_core::ids::Operation>() {
            panic!("the operation's name {:?} {error}", O::NAME);
        }
        let before = self.offered.insert(O::NAME, offered);
        assert!(before.is_none(), "{} offers {} twice", self.name, O::NAME);
        self
    }

    /// Longest reply that is kept. A handler that replies more fails before its commit.
    pub fn reply_bytes_max(mut self, bytes: usize) -> Self {
        self.reply_bytes_max = bytes;
        self
    }

    /// Longest body of a call: its payload and the replies that it reads. A longer one is not
    /// carried out, and the coordinator asks again.
    pub fn call_bytes_max(mut self, bytes: usize) -> Self {
        self.call_bytes_max = bytes;
        self
    }

    /// The same service in a process that dies before every commit: handlers run, and what they
    /// did in their local transaction is rolled back. For tests of handlers.
    #[doc(hidden)]
    pub fn dying_before_commit(mut self) -> Self {
        self.commits = Commits::InRehearsal;
        self
    }

    /// The destination under which the coordinator knows this service.
    pub fn name(&self) -> &Destination {
        &self.name
    }

    /// Its database.
    pub fn pool(&self) -> &sqlx::Pool<D> {
        &self.pool
    }

    /// Makes the barrier's tables, where they are not. Whose service may not create tables puts
    /// the text of `wholly schema print` into a migration.
    pub async fn migrate(&self) -> Result<(), sqlx::Error> {
        D::migrate(&self.pool).await
    }

    /// Carries out a call from within this process: the same path as one by HTTP, except that it
    /// waits for its place. Dropping the future does not stop the work.
    pub(crate) async fn invoke(&self, call: Call) -> Answer {
        let Some(offered) = self.offer(&call) else { return self.not_offered(&call) };
        let seat = self.desk.wait(door(&offered), errand(&call)).await;
        self.run(offered, call, seat).await
    }

    async fn arrive(&self, call: Call) -> Answer {
        let Some(offered) = self.offer(&call) else { return self.not_offered(&call) };
        match self.desk.enter(door(&offered), errand(&call)) {
            Some(seat) => self.run(offered, call, seat).await,
            None => Answer::Working,
        }
    }

    fn offer(&self, call: &Call) -> Option<Offered<D>> {
        let offered = self.offered.get(call.operation().as_str())?;
        offered.takes(call.op()).then(|| offered.clone())
    }

    /// A first op of an unknown operation has no effect here and is refused; anything else may
    /// concern what an older or later release did.
    fn not_offered(&self, call: &Call) -> Answer {
        let detail =
            format!("{} does not offer {:?} of {}", self.name, call.op(), call.operation());
        unoffered(call.op(), &detail)
    }

    /// In a task of its own, which nobody's losing interest cancels.
    async fn run(&self, offered: Offered<D>, call: Call, seat: Seat) -> Answer {
        let service = self.clone();
        let scope = call.clone();
        // Whatever the handler logs says of which branch it was.
        let span = tracing::info_span!(
            "branch",
            service = %self.name,
            gid = %call.gid(),
            branch = %call.branch(),
            operation = %call.operation(),
            op = call.op().spell(),
            trace = tracing::field::Empty,
        );
        if let Some(place) = call.trace() {
            span.record("trace", tracing::field::display(place));
        }
        let work = scope.serve(async move {
            let answer = match &offered {
                Offered::Inside(handler) => service.inside(handler.as_ref(), &call).await,
                Offered::Beyond(handler) => service.beyond(handler.as_ref(), &call).await,
            };
            drop(seat);
            service.log(&call, &answer);
            service.clear_if_due(&call);
            answer
        });
        match tokio::spawn(work.instrument(span)).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::error!(service = %self.name, %error, "a handler did not come to its end");
                Answer::Unknown { detail: Text::cut("the handler panicked") }
            }
        }
    }

    async fn inside(&self, handler: &dyn Inside<D>, call: &Call) -> Answer {
        for again in 0..TRANSIENT_MAX {
            match self.transact(handler, call).await {
                Ok(answer) => return answer,
                Err(failure) if is_transient::<D>(&failure) => {
                    let code = codes(&failure).next().unwrap_or_default();
                    tracing::debug!(%code, again, "a local transaction is done again");
                    pause(call, again).await;
                }
                Err(failure) if is_crowded(&failure) => return Answer::Working,
                Err(failure) => return self.failed(call, &failure),
            }
        }
        // Nothing was done and nothing is wrong: the database is busy.
        Answer::Working
    }

    /// One local transaction; an error leaves nothing behind, unless the commit's answer was lost.
    async fn transact(&self, handler: &dyn Inside<D>, call: &Call) -> Result<Answer, Failure> {
        let arrival = self.arrival(call);
        if call.op() == Op::Inspect {
            let mut connection = self.pool.acquire().await?;
            return inspected(barrier::meet::<D>(&mut connection, &arrival).await?);
        }
        let _writing = self.writing().await;
        let mut connection = self.pool.acquire().await?;
        let written = D::written(&mut connection, arrival.origin).await?;
        let arrival = Arrival { limit: arrival.limit.max(written), ..arrival };
        let mut tx = connection.begin_with(D::BEGIN).await?;
        let ending = match (self.work(handler, call, &arrival, &mut tx).await, self.commits) {
            (Ok(Ending::Commit(answer)), Commits::Yes) => {
                let committed = tx.commit().await;
                return settled(&mut connection, committed).map(|()| answer);
            }
            (Ok(Ending::Commit(_) | Ending::Refuse(_)), Commits::InRehearsal) => {
                Err(Failure::new("the process dies before the commit, in rehearsal"))
            }
            (Ok(ending @ (Ending::Leave(_) | Ending::Refuse(_))), _) => Ok(ending),
            (Err(failure), _) => Err(failure),
        };
        if tx.rollback().await.is_err() {
            // The handler, or a full disk, has ended it before: whoever got this connection next
            // would be told that it is in a transaction.
            connection.close_on_drop();
            return ending.map(|_| Answer::Working);
        }
        match ending? {
            Ending::Commit(answer) | Ending::Leave(answer) => Ok(answer),
            Ending::Refuse(refused) => {
                let mut tx = connection.begin_with(D::BEGIN).await?;
                let refused = refused.into_parts();
                let answer = barrier::refuse::<D>(&mut tx, &arrival, refused).await?;
                let committed = tx.commit().await;
                settled(&mut connection, committed).map(|()| answer)
            }
        }
    }

    /// What is done within the local transaction.
    async fn work(
        &self,
        handler: &dyn Inside<D>,
        call: &Call,
        arrival: &Arrival<'_>,
        db: &mut D::Connection,
    ) -> Result<Ending, Failure> {
        match barrier::meet::<D>(&mut *db, arrival).await? {
            Verdict::Run => match handler.first(call, &mut *db).await {
                Ok(reply) => {
                    self.fits(&reply)?;
                    Ok(Ending::Commit(barrier::keep::<D>(db, arrival, reply).await?))
                }
                Err(NotDone::Refused(refused)) => Ok(Ending::Refuse(refused)),
                Err(NotDone::Failed(failure)) => Err(failure),
            },
            Verdict::Follow { reply, next: _ } => {
                handler.second(call, &reply, &mut *db).await?;
                Ok(Ending::Commit(barrier::follow::<D>(db, arrival).await?))
            }
            Verdict::Remember => Ok(Ending::Commit(done(Body::default()))),
            Verdict::Answer(answer) => Ok(Ending::Leave(answer)),
            verdict @ Verdict::Inspected(_) => inspected(verdict).map(Ending::Leave),
        }
    }

    async fn writing(&self) -> Option<OwnedSemaphorePermit> {
        match D::WRITERS {
            Writers::One => {
                let turn = self.writer.clone().acquire_owned().await;
                Some(turn.expect("the semaphore is never closed"))
            }
            Writers::Many => None,
        }
    }

    fn arrival<'a>(&self, call: &'a Call) -> Arrival<'a> {
        let mark = &call.parts().mark;
        let limit = match call.op() {
            Op::Inspect => self.limits.highest(&mark.origin, mark.limit),
            Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate => {
                self.limits.raise(&mark.origin, mark.limit)
            }
        };
        let arrival = Arrival::new((call.gid(), call.branch()), call.op(), mark);
        Arrival { limit, ..arrival }
    }

    fn fits(&self, reply: &Body) -> Result<(), Failure> {
        if reply.len() <= self.reply_bytes_max {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the reply has {} bytes, over reply_bytes_max, which is {}; its work was rolled back",
            reply.len(),
            self.reply_bytes_max
        )))
    }

    async fn beyond(&self, handler: &dyn Beyond, call: &Call) -> Answer {
        let kept = handler.answers();
        let done = match call.op() {
            Op::Action => handler.action(call).await,
            Op::Compensate => {
                handler.compensate(call).await.map(|()| Body::default()).map_err(NotDone::from)
            }
            Op::Inspect => {
                return Answer::Refused(Refusal {
                    code: Code::new(NO_ROW_KEPT).expect("codes of ours are names"),
                    detail: Text::cut("it acts on what is outside of this service's database"),
                    kept: Kept::NotKept,
                });
            }
            Op::Try | Op::Confirm | Op::Cancel => return self.not_offered(call),
        };
        match done.and_then(|reply| self.fits(&reply).map(|()| reply).map_err(NotDone::from)) {
            Ok(reply) => Answer::Done { reply, kept },
            Err(NotDone::Refused(refused)) => {
                let (code, detail) = refused.into_parts();
                Answer::Refused(Refusal { code, detail, kept })
            }
            Err(NotDone::Failed(failure)) => self.failed(call, &failure),
        }
    }

    fn failed(&self, call: &Call, failure: &Failure) -> Answer {
        let detail = match missing_table(failure) {
            true => format!(
                "{failure}; make the barrier's tables by `wholly schema apply` or by \
                 Service::migrate"
            ),
            false => failure.to_string(),
        };
        tracing::warn!(
            service = %self.name, gid = %call.gid(), branch = %call.branch(),
            operation = %call.operation(), op = ?call.op(), failure = %detail,
            "a handler failed; its work was rolled back and will be asked for again"
        );
        Answer::Unknown { detail: Text::cut(&detail) }
    }

    fn log(&self, call: &Call, answer: &Answer) {
        tracing::debug!(
            service = %self.name, gid = %call.gid(), branch = %call.branch(),
            operation = %call.operation(), op = ?call.op(), answer = ?answer,
            "a branch was called"
        );
    }

    /// Clears old rows away, off the path of any call.
    fn clear_if_due(&self, call: &Call) {
        let mark = &call.parts().mark;
        let Clearing::Due(sweep) = self.limits.clearing(&mark.origin) else { return };
        let (service, origin) = (self.clone(), mark.origin.clone());
        tokio::spawn(async move {
            let written = match service.clear(&origin, sweep).await {
                Ok(rows) => {
                    tracing::debug!(%origin, rows, "old barrier rows were cleared away");
                    sweep.limit
                }
                Err(error) => {
                    tracing::warn!(%origin, %error, "old barrier rows stay until the next time");
                    Timestamp(0)
                }
            };
            service.limits.cleared(&origin, written);
        });
    }

    /// Batch after batch, so that calls come in between; one clearing at a time.
    async fn clear(&self, origin: &Origin, sweep: Sweep) -> Result<u64, sqlx::Error> {
        let mut cleared = 0;
        loop {
            let _writing = self.writing().await;
            let rows = barrier::clear::<D>(&self.pool, origin, sweep).await?;
            cleared += rows;
            if rows < u64::from(barrier::CLEAR_ROWS_MAX) {
                return Ok(cleared);
            }
        }
    }
}

/// How a local transaction is to end.
enum Ending {
    /// Its work is done.
    Commit(Answer),
    /// It did nothing.
    Leave(Answer),
    /// Its work is taken back, and a refusal kept instead.
    Refuse(Refused),
}

/// After a commit that failed, nobody knows what the connection thinks it is in, unless the
/// database only asks to do it again.
fn settled<D: BarrierDatabase>(
    connection: &mut sqlx::pool::PoolConnection<D>,
    committed: Result<(), sqlx::Error>,
) -> Result<(), Failure> {
    if committed.as_ref().is_err_and(|error| !D::is_transient(error)) {
        connection.close_on_drop();
    }
    Ok(committed?)
}

fn door<D: BarrierDatabase>(offered: &Offered<D>) -> Door {
    match offered {
        Offered::Inside(_) => Door::Inside,
        Offered::Beyond(_) => Door::Outside,
    }
}

fn errand(call: &Call) -> Errand<'_> {
    match call.op() {
        Op::Inspect => Errand::Look,
        Op::Try | Op::Confirm | Op::Cancel | Op::Action | Op::Compensate => {
            Errand::Work(call.gid(), call.branch())
        }
    }
}

/// The answer to a call of what is not offered.
pub(crate) fn unoffered(op: Op, detail: &str) -> Answer {
    match op {
        Op::Try | Op::Action => Answer::Refused(Refusal {
            code: Code::new("operation_unknown").expect("codes of ours are names"),
            detail: Text::cut(detail),
            kept: Kept::NotKept,
        }),
        Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect => {
            Answer::Unknown { detail: Text::cut(detail) }
        }
    }
}

/// An inspection, answered as done: `{"state":..,"reply"?}`.
fn inspected(verdict: Verdict) -> Result<Answer, Failure> {
    let (word, kept) = match &verdict {
        Verdict::Inspected(Inspection::None) => ("none", None),
        Verdict::Inspected(Inspection::Found(state)) => match state {
            State::Tried { reply } | State::Confirmed { reply } | State::Cancelled { reply } => {
                (state.word(), Some(reply).filter(|reply| !reply.is_empty()))
            }
            State::NullCancelled | State::Refused { .. } => (state.word(), None),
        },
        Verdict::Answer(answer) => return Ok(answer.clone()),
        Verdict::Run | Verdict::Follow { .. } | Verdict::Remember => {
            unreachable!("an inspection is told how it stands, or that it is stale")
        }
    };
    let state = RowState::parse(word).expect("wire spells every state");
    let body = Inspected { state: state.into(), reply: kept.map(raw) };
    Ok(Answer::Done { reply: Body::new(&serde_json::to_vec(&body)?), kept: Kept::NotKept })
}

/// The database's errors among the causes of a failure.
fn causes(failure: &Failure) -> impl Iterator<Item = &sqlx::Error> {
    let first: &(dyn Error + 'static) = failure.source();
    std::iter::successors(
        Some(first),
        |error: &&(dyn Error + 'static)| -> Option<&(dyn Error + 'static)> { (*error).source() },
    )
    .filter_map(|error| error.downcast_ref::<sqlx::Error>())
}

fn is_transient<D: BarrierDatabase>(failure: &Failure) -> bool {
    causes(failure).any(|error| D::is_transient(error))
}

/// How the database calls what happened.
fn codes(failure: &Failure) -> impl Iterator<Item = Cow<'_, str>> {
    causes(failure).filter_map(sqlx::Error::as_database_error).filter_map(|error| error.code())
}

/// Whether no connection of the pool came free in time.
fn is_crowded(failure: &Failure) -> bool {
    causes(failure).any(|error| matches!(error, sqlx::Error::PoolTimedOut))
}

fn missing_table(failure: &Failure) -> bool {
    causes(failure).filter_map(sqlx::Error::as_database_error).any(|error| {
        let text = error.message();
        text.contains("wholly_barrier") && (text.contains("no such") || text.contains("not exist"))
    })
}

/// Waits a little before a local transaction is done again; copies of a call stray apart.
async fn pause(call: &Call, again: u32) {
    let seed = call.branch().as_str().bytes().chain(call.gid().as_str().bytes());
    let seed = seed.fold(u64::from(again), |seed, byte| mix(seed ^ u64::from(byte)));
    let ms = TRANSIENT_MS << again;
    tokio::time::sleep(Duration::from_millis(ms + seed % (ms + 1))).await;
}

/// A service of whatever database, as [`router`](super::router) takes it. Sealed.
pub trait AnyService: sealed::Sealed {
    /// Its name, what it offers, and itself.
    #[doc(hidden)]
    fn parts(&self) -> (String, Vec<&'static str>, Arc<dyn Answers>);
}

/// Whatever answers calls.
#[doc(hidden)]
pub trait Answers: Send + Sync {
    /// Carries out a call that came by network.
    fn answer(&self, call: Call) -> Boxed<'_, Answer>;

    /// Longest body of a call that it takes.
    fn call_bytes_max(&self) -> usize;
}

mod sealed {
    pub trait Sealed {}
    impl<D: crate::barrier::BarrierDatabase> Sealed for super::Service<D> {}
}

impl<D: BarrierDatabase> AnyService for Service<D> {
    fn parts(&self) -> (String, Vec<&'static str>, Arc<dyn Answers>) {
        (self.name.to_string(), self.offered.keys().copied().collect(), Arc::new(self.clone()))
    }
}

impl<D: BarrierDatabase> Answers for Service<D> {
    fn answer(&self, call: Call) -> Boxed<'_, Answer> {
        Box::pin(self.arrive(call))
    }

    fn call_bytes_max(&self) -> usize {
        self.call_bytes_max
    }
}
