//! Participants: the plain traits a service implements, and the service object that offers them.
//!
//! The service opens the local transaction, passes the barrier, runs the handler, keeps the
//! reply and commits, in a task that a broken connection does not cancel. A handler only does
//! its work.

pub mod call;
mod desk;
mod guard;
mod offered;
pub mod router;
pub mod service;

pub use call::{Call, call, try_call};
pub use router::router;
pub use service::{AnyService, CALL_BYTES_MAX, Service};

use crate::barrier::BarrierDatabase;
use crate::error::{Failure, NotDone};
use crate::operation::Operation;
use std::future::Future;
use wholly_core::branch::Kept;

/// The connection of a database, inside its local transaction.
pub type Connection<D> = <D as sqlx::Database>::Connection;

/// A participant that reserves, then uses or releases. Write the methods as `async fn`.
///
/// Each runs in one local transaction with the barrier: once, whatever the network repeats,
/// delays or reorders. A handler that is refused or fails leaves nothing behind. It must not end
/// the transaction itself; one within it, by `db.begin()`, is a savepoint.
pub trait Tcc<O: Operation>: Send + Sync + 'static {
    /// Whose local transactions these are: `sqlx::Sqlite`, `sqlx::Postgres` or
    /// `sqlx::MySql`.
    type Database: BarrierDatabase;

    /// Reserves. What it replies is kept, and handed to confirm and cancel.
    fn try_(
        &self,
        payload: &O,
        db: &mut Connection<Self::Database>,
    ) -> impl Future<Output = Result<O::Reply, NotDone>> + Send;

    /// Uses what was reserved. May not refuse; a failure is asked again for ever.
    fn confirm(
        &self,
        payload: &O,
        reply: &O::Reply,
        db: &mut Connection<Self::Database>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Releases what was reserved. Only called where the try took effect.
    fn cancel(
        &self,
        payload: &O,
        reply: &O::Reply,
        db: &mut Connection<Self::Database>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A participant that goes forward, and can take it back. Write the methods as `async fn`.
pub trait Saga<O: Operation>: Send + Sync + 'static {
    /// Whose local transactions these are: `sqlx::Sqlite`, `sqlx::Postgres` or
    /// `sqlx::MySql`.
    type Database: BarrierDatabase;

    /// Goes forward. What it replies is kept, and handed to compensate.
    fn action(
        &self,
        payload: &O,
        db: &mut Connection<Self::Database>,
    ) -> impl Future<Output = Result<O::Reply, NotDone>> + Send;

    /// Takes the action back. Only called where the action took effect.
    fn compensate(
        &self,
        payload: &O,
        reply: &O::Reply,
        db: &mut Connection<Self::Database>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A participant whose effect lies outside any database of ours: a bank, a mail server. There
/// is no barrier: calls may come more than once, and a compensation before its action or without
/// one. [`Call::key`] is the idempotency key for the other side.
pub trait Outside<O: Operation>: Send + Sync + 'static {
    /// Whether the other side, asked again with the same key, answers the same. Where it does
    /// not, a refusal is followed by a compensation, for another copy may have had an effect.
    const ANSWERS: Kept = Kept::NotKept;

    /// Goes forward.
    fn action(
        &self,
        payload: &O,
        call: &Call,
    ) -> impl Future<Output = Result<O::Reply, NotDone>> + Send;

    /// Takes the action back, if it ever took effect (its key is `call.key_of(Op::Action)`), and
    /// sees to it that it never will. The reply is what the coordinator knows of it, if anything.
    fn compensate(
        &self,
        payload: &O,
        reply: Option<&O::Reply>,
        call: &Call,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
