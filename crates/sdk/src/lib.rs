//! What a service uses: begin, call and commit global transactions, and take part in them.
//!
//! An act as a scope: Ok commits; Err, panic and drop abort.
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use std::time::Duration;
//! use wholly::{Operation, Wholly};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Locked { warehouse: u32 }
//!
//! #[derive(Serialize, Deserialize, Operation)]
//! #[operation(name = "stock.lock", mode = tcc, reply = Locked)]
//! struct Lock { sku: String, quantity: i64 }
//!
//! # async fn place(order: u64) -> Result<(), wholly::Error> {
//! let wholly = Wholly::new("http://127.0.0.1:7700")?;
//! let stock = wholly.participant("stock");
//! let warehouse = wholly
//!     .transaction("place-order")
//!     .gid(format!("order-{order}"))
//!     .timeout(Duration::from_secs(30))
//!     .run(async |tx| {
//!         let locked = tx.call(&stock, Lock { sku: "lamp".into(), quantity: 2 }).await?;
//!         Ok(locked.warehouse)
//!     })
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! The same for a function, the transaction being carried by the task:
//!
//! ```no_run
//! # use serde::{Deserialize, Serialize};
//! # use wholly::Operation;
//! # #[derive(Serialize, Deserialize, Operation)]
//! # #[operation(name = "stock.lock", mode = tcc)]
//! # struct Lock { sku: String }
//! use wholly::{Participant, Wholly, global_transaction};
//!
//! struct App { wholly: Wholly, stock: Participant }
//!
//! #[global_transaction(app.wholly, "place-order", timeout = "30s")]
//! async fn place_order(app: &App, sku: String) -> Result<(), wholly::Error> {
//!     app.stock.call(Lock { sku }).await
//! }
//! ```
//!
//! As a plan, handed over in one request: [`Wholly::saga`]. What a service offers to others:
//! [`Tcc`], [`Saga`], [`Outside`] and [`Wholly::service`].

extern crate self as wholly;

pub mod barrier;
mod calling;
mod client;
mod context;
mod deciding;
pub mod error;
mod find;
mod ledger;
mod misfit;
pub mod operation;
pub mod outcome;
pub mod participant;
pub mod propagation;
#[doc(hidden)]
pub mod rt;
mod saga;
pub mod schema;
mod scope;
pub mod trace;
mod transaction;

pub use calling::Calling;
#[cfg(feature = "tls")]
pub use client::Tls;
pub use client::{Participant, Wholly};
pub use context::{InCurrentTransaction, InTransaction, current};
pub use error::{Failure, NotDone, Refuse, Refused};
pub use find::{Decided, Document, Ended, Found};
pub use misfit::Misfit;
pub use operation::Operation;
pub use outcome::{BoxError, Error, JoinedFailed, Loss, Unsettled};
pub use participant::{Call, Outside, Saga, Service, Tcc, call, try_call};
pub use saga::{SagaPlan, Submitted};
pub use transaction::{Begin, Transaction, Wait};
pub use wholly_core::branch::{Mode, Op};
pub use wholly_core::ids::{BranchId, Code, Gid};
pub use wholly_core::record::{Cause, Decision, Outcome};
pub use wholly_macros::{Operation, global_transaction};

#[cfg(test)]
mod tests {
    use crate::{Mode, Operation};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Locked {
        warehouse: u32,
    }

    #[derive(Serialize, Deserialize, Operation)]
    #[operation(name = "stock.lock", mode = tcc, reply = Locked)]
    struct Lock {
        sku: String,
    }

    #[test]
    fn a_derived_operation_says_its_contract() {
        assert_eq!(Lock::NAME, "stock.lock");
        assert_eq!(Lock::MODE, Mode::Tcc);
        let reply: <Lock as Operation>::Reply = serde_json::from_str("{\"warehouse\":7}").unwrap();
        assert_eq!(reply.warehouse, 7);
        assert_eq!(serde_json::to_string(&Lock { sku: "a".into() }).unwrap(), "{\"sku\":\"a\"}");
    }
}
