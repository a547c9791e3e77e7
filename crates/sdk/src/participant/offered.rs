//! What a service offers, its types put aside: bytes in, bytes out.

use super::call::{parse, print};
use super::{Call, Connection, Outside, Saga, Tcc};
use crate::barrier::BarrierDatabase;
use crate::error::{Failure, NotDone};
use crate::misfit::Misfit;
use crate::operation::Operation;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use wholly_core::branch::{Kept, Mode, Op};
use wholly_core::ids::Body;

/// A future in a box.
pub(crate) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// An operation and who carries it out.
pub(crate) enum Offered<D: BarrierDatabase> {
    /// In a local transaction, behind the barrier.
    Inside(Arc<dyn Inside<D>>),
    /// Elsewhere, with no barrier.
    Beyond(Arc<dyn Beyond>),
}

impl<D: BarrierDatabase> Clone for Offered<D> {
    fn clone(&self) -> Self {
        match self {
            Offered::Inside(handler) => Offered::Inside(handler.clone()),
            Offered::Beyond(handler) => Offered::Beyond(handler.clone()),
        }
    }
}

impl<D: BarrierDatabase> Offered<D> {
    /// Whether this op is one of its mode.
    pub(crate) fn takes(&self, op: Op) -> bool {
        let mode = match self {
            Offered::Inside(handler) => handler.mode(),
            Offered::Beyond(_) => Mode::Saga,
        };
        match op {
            Op::Try | Op::Confirm | Op::Cancel => mode == Mode::Tcc,
            Op::Action | Op::Compensate => mode == Mode::Saga,
            Op::Inspect => true,
        }
    }
}

/// A handler that works in a local transaction.
pub(crate) trait Inside<D: BarrierDatabase>: Send + Sync {
    fn mode(&self) -> Mode;

    /// Try or action.
    fn first<'a>(
        &'a self,
        call: &'a Call,
        db: &'a mut Connection<D>,
    ) -> Boxed<'a, Result<Body, NotDone>>;

    /// Confirm, cancel or compensate.
    fn second<'a>(
        &'a self,
        call: &'a Call,
        reply: &'a Body,
        db: &'a mut Connection<D>,
    ) -> Boxed<'a, Result<(), Failure>>;
}

/// A handler that works elsewhere.
pub(crate) trait Beyond: Send + Sync {
    fn answers(&self) -> Kept;
    fn action<'a>(&'a self, call: &'a Call) -> Boxed<'a, Result<Body, NotDone>>;
    fn compensate<'a>(&'a self, call: &'a Call) -> Boxed<'a, Result<(), Failure>>;
}

pub(crate) struct OfTcc<O, H>(H, PhantomData<fn() -> O>);
pub(crate) struct OfSaga<O, H>(H, PhantomData<fn() -> O>);
pub(crate) struct OfOutside<O, H>(H, PhantomData<fn() -> O>);

impl<O: Operation, H: Tcc<O>> OfTcc<O, H> {
    pub(crate) fn new(handler: H) -> Self {
        OfTcc(handler, PhantomData)
    }
}

impl<O: Operation, H: Saga<O>> OfSaga<O, H> {
    pub(crate) fn new(handler: H) -> Self {
        OfSaga(handler, PhantomData)
    }
}

impl<O: Operation, H: Outside<O>> OfOutside<O, H> {
    pub(crate) fn new(handler: H) -> Self {
        OfOutside(handler, PhantomData)
    }
}

impl<O: Operation, H: Tcc<O>> Inside<H::Database> for OfTcc<O, H> {
    fn mode(&self) -> Mode {
        Mode::Tcc
    }

    fn first<'a>(
        &'a self,
        call: &'a Call,
        db: &'a mut Connection<H::Database>,
    ) -> Boxed<'a, Result<Body, NotDone>> {
        Box::pin(async move { written::<O>(&self.0.try_(&asked(call)?, db).await?) })
    }

    fn second<'a>(
        &'a self,
        call: &'a Call,
        reply: &'a Body,
        db: &'a mut Connection<H::Database>,
    ) -> Boxed<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (payload, reply) = remembered::<O>(call, reply)?;
            match call.op() {
                Op::Confirm => self.0.confirm(&payload, &reply, db).await,
                Op::Cancel => self.0.cancel(&payload, &reply, db).await,
                op @ (Op::Try | Op::Action | Op::Compensate | Op::Inspect) => Err(misled(op)),
            }
        })
    }
}

impl<O: Operation, H: Saga<O>> Inside<H::Database> for OfSaga<O, H> {
    fn mode(&self) -> Mode {
        Mode::Saga
    }

    fn first<'a>(
        &'a self,
        call: &'a Call,
        db: &'a mut Connection<H::Database>,
    ) -> Boxed<'a, Result<Body, NotDone>> {
        Box::pin(async move { written::<O>(&self.0.action(&asked(call)?, db).await?) })
    }

    fn second<'a>(
        &'a self,
        call: &'a Call,
        reply: &'a Body,
        db: &'a mut Connection<H::Database>,
    ) -> Boxed<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (payload, reply) = remembered::<O>(call, reply)?;
            self.0.compensate(&payload, &reply, db).await
        })
    }
}

impl<O: Operation, H: Outside<O>> Beyond for OfOutside<O, H> {
    fn answers(&self) -> Kept {
        H::ANSWERS
    }

    fn action<'a>(&'a self, call: &'a Call) -> Boxed<'a, Result<Body, NotDone>> {
        Box::pin(async move { written::<O>(&self.0.action(&asked(call)?, call).await?) })
    }

    fn compensate<'a>(&'a self, call: &'a Call) -> Boxed<'a, Result<(), Failure>> {
        Box::pin(async move {
            let payload = parse(&call.parts().payload).map_err(payload_wrong::<O>)?;
            let reply = call.parts().reply.as_ref().map(parse).transpose();
            let reply = reply.map_err(reply_wrong::<O>)?;
            self.0.compensate(&payload, reply.as_ref(), call).await
        })
    }
}

/// The payload of a first op. One that cannot be read never will be, so it is refused.
fn asked<O: Operation>(call: &Call) -> Result<O, NotDone> {
    let parsed = parse(&call.parts().payload);
    parsed.map_err(|error| NotDone::refused("payload_invalid", payload_wrong::<O>(error)))
}

fn remembered<O: Operation>(call: &Call, reply: &Body) -> Result<(O, O::Reply), Failure> {
    let payload = parse(&call.parts().payload).map_err(payload_wrong::<O>)?;
    Ok((payload, parse(reply).map_err(reply_wrong::<O>)?))
}

fn written<O: Operation>(reply: &O::Reply) -> Result<Body, NotDone> {
    Ok(print(reply)?)
}

fn payload_wrong<O: Operation>(error: Misfit) -> Failure {
    Failure::new(format!("the payload is none of {}: {error}", O::NAME))
}

fn reply_wrong<O: Operation>(error: Misfit) -> Failure {
    Failure::new(format!("the reply that was kept is none of {}: {error}", O::NAME))
}

fn misled(op: Op) -> Failure {
    Failure::new(format!("{op:?} follows nothing"))
}
