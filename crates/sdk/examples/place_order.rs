//! An initiator: one business act as a scope (TCC), and the same as a plan (saga).
//!
//! `wholly serve --dev`, the example `service`, then
//! `WHOLLY_URL=http://127.0.0.1:7700 cargo run -p wholly --example place_order`.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::try_join;
use wholly::{BoxError, Error, Operation, Wait, Wholly};

#[derive(Serialize, Deserialize)]
struct Locked {
    warehouse: u32,
}

#[derive(Clone, Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
struct Lock {
    sku: String,
    quantity: i64,
}

#[derive(Clone, Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga, reply = Locked)]
struct LockNow {
    sku: String,
    quantity: i64,
}

#[derive(Clone, Serialize, Deserialize, Operation)]
#[operation(name = "bank.charge", mode = saga)]
struct Charge {
    cents: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("nobody orders {quantity} of anything")]
struct OddQuantity {
    quantity: i64,
}

/// Ok commits; Err, panic and drop abort. One stock may be out: another is asked.
async fn as_a_scope(wholly: &Wholly, order: u64, lock: Lock) -> Result<u32, Error> {
    let stock = wholly.participant("http://127.0.0.1:8080");
    wholly
        .transaction("place-order")
        .gid(format!("order-{order}"))
        .timeout(Duration::from_secs(30))
        .wait(Wait::Ended)
        .run(async |tx| {
            if lock.quantity < 1 {
                return Err(OddQuantity { quantity: lock.quantity }.into());
            }
            let gift = Lock { sku: "gift".into(), quantity: 1 };
            let (locked, _gift) = try_join!(
                async {
                    match tx.call(&stock, lock.clone()).await {
                        Err(error) if error.is_refused("out_of_stock") => {
                            let half = Lock { quantity: lock.quantity / 2, ..lock.clone() };
                            tx.call(&stock, half).branch("half").await
                        }
                        other => other,
                    }
                },
                tx.call(&stock, gift),
            )?;
            Ok(locked.warehouse)
        })
        .await
}

/// Handed over in one request; the coordinator does the rest though this process dies.
async fn as_a_plan(wholly: &Wholly, order: u64, lock: LockNow) -> Result<bool, Error> {
    let service = wholly.participant("http://127.0.0.1:8080");
    let ended = wholly
        .saga("place-order")
        .gid(format!("order-{order}-plan"))
        .timeout(Duration::from_mins(5))
        .step("stock", &service, lock)
        .step("charge", &service, Charge { cents: 1_990 })
        .after(["stock"])
        .submit()
        .await?
        .ended()
        .await?;
    Ok(ended.is_committed())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let wholly = Wholly::from_env()?;
    let order = u64::from(std::process::id());
    let sku = || "lamp".to_owned();
    match as_a_scope(&wholly, order, Lock { sku: sku(), quantity: 2 }).await {
        Ok(warehouse) => println!("order-{order} leaves warehouse {warehouse}"),
        // The act may have been tried before under this gid: that one tells how it ended.
        Err(Error::AlreadyUsed { gid } | Error::Unknown { gid, .. }) => {
            println!("{:?}", wholly.find(gid.as_str()).ended().await?);
        }
        Err(error) => match error.reason::<OddQuantity>() {
            Some(odd) => println!("{odd}"),
            None => return Err(error.into()),
        },
    }
    let committed = as_a_plan(&wholly, order, LockNow { sku: sku(), quantity: 2 }).await?;
    println!("order-{order}-plan: {}", if committed { "committed" } else { "turned back" });
    Ok(())
}
