//! One call in a global transaction: registered, tried, its answer seen; or known not to be.

use crate::client::api::{Said, Told, WAIT_MAX, decided_before, rejected};
use crate::ledger::{Came, Naming};
use crate::operation::Operation;
use crate::outcome::{BoxError, Error, Loss};
use crate::participant::call::{Call, Parts};
use crate::transaction::{InFlight, Open};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use wholly_core::branch::{Answer, Mode, Op};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, Code, Destination, NameError};
use wholly_core::limits::Limits;
use wholly_core::record::{Cause, Decision};
use wholly_core::retry::backoff_ms;
use wholly_wire::headers;
use wholly_wire::v1::answer::{Refusal, Registered, TryWord};
use wholly_wire::v1::raw;
use wholly_wire::v1::request;
use wholly_wire::words::{Spelled, Word};

/// How often a service of this process is asked before its call counts as unknown.
const LOCAL_ATTEMPTS_MAX: u32 = 4;

/// A call on its way: a future of the participant's reply. Nothing is sent before it is polled.
///
/// Dropped after that and before its answer, it makes the commit an abort.
#[must_use = "nothing is called before it is awaited"]
pub struct Calling<R> {
    state: State,
    reply: PhantomData<fn() -> R>,
}

enum State {
    Ready(Box<Prepared>),
    Failed(Box<Error>),
    Runs(Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send>>),
    Over,
}

/// A reply as it came.
pub(crate) struct Reply {
    operation: &'static str,
    json: Box<RawValue>,
}

/// Everything a call needs.
pub(crate) struct Prepared {
    open: Arc<Open>,
    way: Way,
    operation: &'static str,
    mode: Mode,
    payload: Result<Box<RawValue>, serde_json::Error>,
    naming: Naming,
}

/// Who calls the participant.
pub(crate) enum Way {
    /// The coordinator, at this destination.
    Coordinator(Destination),
    /// This process, behind the same barrier, under its own destination.
    InProcess(Destination, Invoke),
}

/// A service of this process, of whatever database.
pub(crate) type Invoke =
    Box<dyn Fn(Call) -> Pin<Box<dyn Future<Output = Answer> + Send>> + Send + Sync>;

impl Prepared {
    pub(crate) fn new<O: Operation>(open: Arc<Open>, way: Way, operation: &O) -> Prepared {
        Prepared {
            open,
            way,
            operation: O::NAME,
            mode: O::MODE,
            payload: serde_json::value::to_raw_value(operation),
            naming: Naming::ByOperation(O::NAME),
        }
    }
}

impl<R> fmt::Debug for Calling<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calling")
    }
}

impl<R> Calling<R> {
    pub(crate) fn prepared(prepared: Prepared) -> Self {
        Calling { state: State::Ready(Box::new(prepared)), reply: PhantomData }
    }

    pub(crate) fn failed(error: Error) -> Self {
        Calling { state: State::Failed(Box::new(error)), reply: PhantomData }
    }

    /// Names the branch; otherwise it is named like its operation, then `-2`, `-3`. The same
    /// name, payload and destination again is the same branch, and the same try.
    pub fn branch(mut self, name: impl Into<String>) -> Self {
        if let State::Ready(prepared) = &mut self.state {
            prepared.naming = Naming::Given(name.into());
        }
        self
    }
}

impl<R: DeserializeOwned> Future for Calling<R> {
    type Output = Result<R, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.state, State::Over) {
                State::Ready(prepared) => self.state = State::Runs(Box::pin(call(*prepared))),
                State::Failed(error) => return Poll::Ready(Err(*error)),
                State::Runs(mut call) => match call.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.state = State::Runs(call);
                        return Poll::Pending;
                    }
                    Poll::Ready(reply) => return Poll::Ready(reply.and_then(Reply::read)),
                },
                State::Over => panic!("a call was polled after its answer"),
            }
        }
    }
}

impl Reply {
    fn read<R: DeserializeOwned>(self) -> Result<R, Error> {
        let Reply { operation, json } = self;
        serde_json::from_str(json.get()).map_err(|error| Error::Shape {
            what: "reply",
            operation,
            source: error.into(),
        })
    }
}

async fn call(prepared: Prepared) -> Result<Reply, Error> {
    let Prepared { open, way, operation, mode, payload, naming } = prepared;
    let payload = payload.map_err(|error| Error::Shape {
        what: "payload",
        operation,
        source: error.into(),
    })?;
    let flight = open.enter(naming, operation)?;
    let branch = |to: &Destination, call: bool| request::Branch {
        branch: flight.branch.to_string().into(),
        mode: mode.spell().into(),
        to: to.to_string().into(),
        operation: operation.into(),
        payload: Some(&payload),
        call,
    };
    let json = match way {
        Way::Coordinator(to) => by_coordinator(&flight, &branch(&to, true)).await?,
        Way::InProcess(to, invoke) => {
            let mark = register(&flight, &branch(&to, false)).await?;
            let call = Call::new(Parts {
                gid: flight.open.gid.clone(),
                branch: flight.branch.clone(),
                operation: operation.parse().map_err(|why: NameError| Error::Invalid {
                    what: "operation",
                    value: operation.to_owned(),
                    why: why.to_string(),
                })?,
                op: first_op(mode),
                mark,
                payload: Body::new(payload.get().as_bytes()),
                reply: None,
                replies: Vec::new(),
                deadline: flight.open.until.into_std(),
                trace: crate::trace::current(),
            });
            in_process(&flight, call, &invoke).await?
        }
    };
    Ok(Reply { operation, json })
}

fn first_op(mode: Mode) -> Op {
    match mode {
        Mode::Tcc => Op::Try,
        Mode::Saga => Op::Action,
    }
}

/// Registers a branch that this process calls itself.
async fn register(flight: &InFlight, branch: &request::Branch<'_>) -> Result<Mark, Error> {
    let open = &flight.open;
    match open.client.ask_register(open.key(), branch, Duration::ZERO, open.until).await {
        Ok(Said::Good(registered)) => {
            headers::parse_mark(&registered.mark).map_err(|error| unanswered(flight, error))
        }
        Ok(Said::Problem(told)) => Err(not_taken(flight, &told)),
        Err(lost) => Err(unanswered(flight, lost)),
    }
}

/// Calls the service. The barrier makes a repeat harmless, so a failure is asked again, a few
/// times: there is no network here that might heal.
async fn in_process(
    flight: &InFlight,
    call: Call,
    invoke: &Invoke,
) -> Result<Box<RawValue>, Error> {
    let limits = Limits::default();
    for attempt in 1..=LOCAL_ATTEMPTS_MAX {
        let detail = match invoke(call.clone()).await {
            Answer::Done { reply, kept: _ } => {
                flight.settle(Came::Done);
                return Ok(raw(&reply).into_owned());
            }
            Answer::Refused(refusal) => {
                flight.settle(Came::Refused);
                let (gid, branch) = (flight.open.gid.clone(), flight.branch.clone());
                let detail = refusal.detail.as_str().to_owned();
                return Err(Error::Refused { gid, branch, code: refusal.code, detail });
            }
            Answer::Working => "the service is busy".to_owned(),
            Answer::Unknown { detail } => detail.as_str().to_owned(),
        };
        let pause = Duration::from_millis(backoff_ms(&limits, attempt, u64::from(attempt)));
        if attempt == LOCAL_ATTEMPTS_MAX || pause >= flight.open.left() {
            return Err(unanswered(flight, detail));
        }
        tokio::time::sleep(pause).await;
    }
    unreachable!("the last attempt returns")
}

/// Registers with the wish to be tried, and asks again until the try is answered or the
/// transaction's time is over.
async fn by_coordinator(
    flight: &InFlight,
    branch: &request::Branch<'_>,
) -> Result<Box<RawValue>, Error> {
    let open = &flight.open;
    loop {
        let wait = WAIT_MAX.min(open.left());
        let asked = open.client.ask_register(open.key(), branch, wait, open.until).await;
        let registered = match asked {
            Ok(Said::Good(registered)) => registered,
            Ok(Said::Problem(told)) => return Err(not_taken(flight, &told)),
            Err(lost) => return Err(unanswered(flight, lost)),
        };
        match registered.answer.known() {
            Some(TryWord::Done) => {
                flight.settle(Came::Done);
                return Ok(reply_of(registered));
            }
            Some(TryWord::Refused) => {
                flight.settle(Came::Refused);
                return Err(refused(flight, registered.refusal));
            }
            Some(TryWord::Unknown) if !open.left().is_zero() => open.client.pause().await,
            Some(TryWord::Unknown) => {
                return Err(unanswered(flight, "its try was not answered in time"));
            }
            None => return Err(unanswered(flight, not_known(&registered.answer))),
        }
    }
}

fn reply_of(registered: Registered<'static>) -> Box<RawValue> {
    match registered.reply {
        Some(reply) => reply.into_owned(),
        None => RawValue::NULL.to_owned(),
    }
}

fn not_known(answer: &Word<TryWord>) -> String {
    format!("{answer} is no answer known here")
}

/// The coordinator did not take the registration, or not this sending of it.
fn not_taken(flight: &InFlight, told: &Told) -> Error {
    let open = &flight.open;
    match decided_before(&told.problem) {
        Some((document, Decision::Abort)) => {
            // The commit that the body may still ask for hears the same.
            flight.settle(Came::Nothing);
            open.aborted(document.cause.as_ref().and_then(Word::known).unwrap_or(Cause::Unknown))
        }
        Some((_, Decision::Commit)) | None if told.proves_nothing_changed() => {
            flight.settle(Came::Nothing);
            rejected(Some(&open.gid), &told.problem)
        }
        // The branch may be there and tried. A commit that does not name it would take it in.
        Some((_, Decision::Commit)) | None => {
            unanswered(flight, rejected(Some(&open.gid), &told.problem))
        }
    }
}

fn unanswered(flight: &InFlight, source: impl Into<BoxError>) -> Error {
    flight.settle(Came::Lost(Loss::Unanswered));
    let (gid, branch) = (flight.open.gid.clone(), flight.branch.clone());
    Error::NoAnswer { gid, branch, source: source.into() }
}

fn refused(flight: &InFlight, refusal: Option<Refusal<'static>>) -> Error {
    let (code, detail) = match refusal {
        Some(refusal) => (refusal.code, refusal.detail.into_owned()),
        None => ("refused".into(), String::new()),
    };
    let code = Code::new(&code)
        .unwrap_or_else(|_| Code::new("refused").expect("a code of ours is a name"));
    let (gid, branch) = (flight.open.gid.clone(), flight.branch.clone());
    Error::Refused { gid, branch, code, detail }
}
