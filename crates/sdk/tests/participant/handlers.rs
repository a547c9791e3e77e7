//! Handlers that do what their payload says, and write each effect down.

use crate::world::Bed;
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Semaphore;
use wholly::participant::Connection;
use wholly::{Failure, NotDone, Operation, Saga, Tcc, refuse};

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "secret", rename = "canary-reply-6c02")]
pub(crate) struct Locked {
    pub(crate) warehouse: String,
}

/// An operation whose payload says what its handler is to do.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
pub(crate) struct Lock {
    pub(crate) act: String,
}

/// The same as a step of a saga, with no reply.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga, reply = ())]
pub(crate) struct LockNow {
    pub(crate) act: String,
}

/// The stock, its handlers held at a gate when told to wait.
pub(crate) struct Stock<D> {
    gate: Gate,
    runs: AtomicU32,
    database: PhantomData<fn() -> D>,
}

/// Where handlers report and wait.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) entered: Arc<Semaphore>,
    pub(crate) open: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn closed() -> Self {
        Gate { entered: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) }
    }

    /// Waits until one more handler stands at the gate.
    pub(crate) async fn entered(&self) {
        self.entered.acquire().await.unwrap().forget();
    }

    /// Lets one handler pass.
    pub(crate) fn open(&self) {
        self.open.add_permits(1);
    }

    async fn pass(&self) {
        self.entered.add_permits(1);
        self.open.acquire().await.unwrap().forget();
    }
}

impl<D: Bed> Stock<D> {
    pub(crate) fn new(gate: &Gate) -> Self {
        Stock { gate: gate.clone(), runs: AtomicU32::new(0), database: PhantomData }
    }

    async fn first(&self, act: &str, db: &mut Connection<D>) -> Result<String, NotDone> {
        let call = wholly::call();
        wholly_canary::check("a call", &format!("{call:?}"));
        let key = (call.gid(), call.branch());
        D::effect(db, key, "first").await?;
        if let Some(times) = act.strip_prefix("again ") {
            let runs = self.runs.fetch_add(1, Ordering::Relaxed);
            if runs < times.parse::<u32>()? {
                return Err(D::busy(db).await.into());
            }
        }
        match act {
            "wait" => self.gate.pass().await,
            "refuse" => refuse!("out_of_stock", "{} is out of stock", call.gid()),
            "fail" => Err(Failure::new("the disk is on fire"))?,
            "panic" => panic!("told to"),
            "big" => return Ok("x".repeat(wholly::participant::service::REPLY_BYTES_MAX)),
            "rollback" => D::execute(db, "ROLLBACK").await?,
            "swallow" => drop(D::execute(db, "SELECT * FROM nowhere").await),
            "read" => return Ok(call.reply::<Lock>("order")?.warehouse),
            _ => {}
        }
        Ok(format!("first of {act}"))
    }

    async fn second(&self, act: &str, db: &mut Connection<D>) -> Result<(), Failure> {
        let call = wholly::call();
        let what = format!("{:?}", call.op()).to_lowercase();
        D::effect(db, (call.gid(), call.branch()), &what).await?;
        match act {
            "stubborn" => Err(Failure::new("not yet")),
            "linger" => {
                self.gate.pass().await;
                Ok(())
            }
            "deaf" => {
                drop(D::execute(db, "SELECT * FROM nowhere").await);
                Ok(())
            }
            // As a deadlock does on MySQL, when its error is swallowed.
            "undone" => Ok(D::execute(db, "ROLLBACK").await?),
            _ => Ok(()),
        }
    }
}

impl<D: Bed> Tcc<Lock> for Stock<D> {
    type Database = D;

    async fn try_(&self, lock: &Lock, db: &mut Connection<D>) -> Result<Locked, NotDone> {
        Ok(Locked { warehouse: self.first(&lock.act, db).await? })
    }

    async fn confirm(
        &self,
        lock: &Lock,
        locked: &Locked,
        db: &mut Connection<D>,
    ) -> Result<(), Failure> {
        assert_eq!(locked.warehouse, format!("first of {}", lock.act), "the kept reply");
        self.second(&lock.act, db).await
    }

    async fn cancel(
        &self,
        lock: &Lock,
        locked: &Locked,
        db: &mut Connection<D>,
    ) -> Result<(), Failure> {
        assert_eq!(locked.warehouse, format!("first of {}", lock.act), "the kept reply");
        self.second(&lock.act, db).await
    }
}

impl<D: Bed> Saga<LockNow> for Stock<D> {
    type Database = D;

    async fn action(&self, lock: &LockNow, db: &mut Connection<D>) -> Result<(), NotDone> {
        self.first(&lock.act, db).await.map(|_| ())
    }

    async fn compensate(
        &self,
        lock: &LockNow,
        (): &(),
        db: &mut Connection<D>,
    ) -> Result<(), Failure> {
        self.second(&lock.act, db).await
    }
}
