//! Operations: what a service offers and what an initiator calls, as one plain struct.

use serde::Serialize;
use serde::de::DeserializeOwned;
use wholly_core::branch::Mode;

/// A contract between caller and callee: name, mode, payload (the struct itself) and reply.
///
/// Derive it: `#[derive(Serialize, Deserialize, Operation)]` with
/// `#[operation(name = "stock.lock", mode = tcc, reply = Locked)]`. Name and fields may be read by
/// a release of tomorrow or of yesterday: add only optional fields; anything else is a new name.
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What a first call that was done answers; kept by the participant and said again.
    type Reply: Serialize + DeserializeOwned + Send + Sync + 'static;
    /// Its name on the wire, as `stock.lock`.
    const NAME: &'static str;
    /// The rules it follows.
    const MODE: Mode;
}
