//! The initiator against a coordinator's double: lost answers, drops, panics, and what is said.

#![expect(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops where its ground fails, or sees what it does not expect"
)]

mod attribute;
mod canary;
mod double;
mod lost;
mod propagation;
mod saga;
mod scope;
mod trace;
mod transport;
mod versions;

use serde::{Deserialize, Serialize};
use wholly::Operation;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Locked {
    pub(crate) warehouse: u32,
}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
pub(crate) struct Lock {
    pub(crate) sku: u32,
}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
pub(crate) struct LockNow {
    pub(crate) sku: u32,
}

#[derive(Debug, thiserror::Error)]
#[error("the customer is not known")]
pub(crate) struct NoCustomer;

/// A future that never comes; `select!` drops it when the other side is there.
pub(crate) async fn never() {
    std::future::pending().await
}
