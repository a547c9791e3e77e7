//! What a service uses: begin, call and commit global transactions, and take part in them.

extern crate self as wholly;

pub mod barrier;
pub mod error;
pub mod operation;
pub mod participant;
pub mod schema;

pub use error::{Failure, NotDone, Refuse, Refused};
pub use operation::Operation;
pub use participant::{Call, Outside, Saga, Service, Tcc, call, try_call};
pub use wholly_core::branch::Mode;
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
