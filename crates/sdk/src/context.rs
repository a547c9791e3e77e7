//! The global transaction that a task carries.

use crate::transaction::Transaction;
use std::future::Future;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CURRENT: Option<Transaction>;
}

/// A future that carries a transaction, or that carries none whatever surrounds it.
pub type InTransaction<F> = TaskLocalFuture<Option<Transaction>, F>;

/// The global transaction that this task carries.
///
/// A task that was spawned carries none, unless its future was wrapped by
/// [`.in_current_transaction()`](InCurrentTransaction::in_current_transaction).
pub fn current() -> Option<Transaction> {
    CURRENT.try_with(Option::clone).ok().flatten()
}

/// Lets a future keep the transaction when it is spawned.
pub trait InCurrentTransaction: Future + Sized {
    /// Carries the transaction of this task into wherever the future runs.
    ///
    /// A call that still runs when the body of the transaction is over makes the commit an abort:
    /// await what was spawned.
    fn in_current_transaction(self) -> InTransaction<Self> {
        within(current(), self)
    }
}

impl<F: Future> InCurrentTransaction for F {}

pub(crate) fn within<F: Future>(transaction: Option<Transaction>, future: F) -> InTransaction<F> {
    CURRENT.scope(transaction, future)
}

/// Runs a function that is not async, as the call of a tower service that makes a future.
pub(crate) fn within_sync<R>(transaction: Option<Transaction>, f: impl FnOnce() -> R) -> R {
    CURRENT.sync_scope(transaction, f)
}
