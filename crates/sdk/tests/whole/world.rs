//! A shop for tests: a coordinator in process, three databases, real HTTP between them.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use wholly::{Failure, NotDone, Operation, Participant, Saga, Service, Tcc, Wholly, refuse_unless};
use wholly_canary::{Listener, SECRET};
use wholly_described::Witness;
use wholly_server::egress::Rule;
use wholly_server::keyring::Grant;
use wholly_server::{Config, Coordinator, Running};
use wholly_wire::credential::{Credential, Role, Secrets};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "secret", rename = "canary-reply-6c02")]
pub(crate) struct Locked {
    pub(crate) warehouse: u32,
}

/// Reserve, then use or release.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc, reply = Locked)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
pub(crate) struct Lock {
    pub(crate) quantity: i64,
}

/// Take at once; put back if it turns.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock-now", mode = saga, reply = Locked)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
pub(crate) struct LockNow {
    pub(crate) quantity: i64,
}

/// What the step before replied is written down.
#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.note", mode = saga)]
pub(crate) struct Note;

/// Stock or points: so many free, so many locked, so many used.
pub(crate) struct Shelf;

async fn change(
    db: &mut SqliteConnection,
    statement: &'static str,
    by: i64,
) -> Result<u64, Failure> {
    Ok(sqlx::query(statement).bind(by).execute(db).await?.rows_affected())
}

impl Tcc<Lock> for Shelf {
    type Database = Sqlite;

    async fn try_(&self, lock: &Lock, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        let taken = "update shelf set free = free - $1, locked = locked + $1 where free >= $1";
        let taken = change(db, taken, lock.quantity).await?;
        refuse_unless!(taken == 1, "out_of_stock", "fewer than {} are free", lock.quantity);
        Ok(Locked { warehouse: 7 })
    }

    async fn confirm(
        &self,
        lock: &Lock,
        locked: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        assert_eq!(locked.warehouse, 7);
        let used = "update shelf set locked = locked - $1, used = used + $1";
        change(db, used, lock.quantity).await.map(drop)
    }

    async fn cancel(
        &self,
        lock: &Lock,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let released = "update shelf set locked = locked - $1, free = free + $1";
        change(db, released, lock.quantity).await.map(drop)
    }
}

impl Saga<LockNow> for Shelf {
    type Database = Sqlite;

    async fn action(&self, lock: &LockNow, db: &mut SqliteConnection) -> Result<Locked, NotDone> {
        let taken = "update shelf set free = free - $1, used = used + $1 where free >= $1";
        let taken = change(db, taken, lock.quantity).await?;
        refuse_unless!(taken == 1, "out_of_stock", "fewer than {} are free", lock.quantity);
        Ok(Locked { warehouse: 7 })
    }

    async fn compensate(
        &self,
        lock: &LockNow,
        _: &Locked,
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        let back = "update shelf set free = free + $1, used = used - $1";
        change(db, back, lock.quantity).await.map(drop)
    }
}

impl Saga<Note> for Shelf {
    type Database = Sqlite;

    async fn action(&self, _: &Note, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let locked = wholly::call().reply::<LockNow>("stock")?;
        change(db, "update shelf set noted = $1", locked.warehouse.into()).await?;
        Ok(())
    }

    async fn compensate(
        &self,
        _: &Note,
        (): &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        change(db, "update shelf set noted = noted - noted * $1", 1).await.map(drop)
    }
}

/// What happens to answers on their way to the coordinator.
#[derive(Clone, Default)]
pub(crate) struct Network {
    lost: Arc<Mutex<Vec<&'static str>>>,
    /// One per call that came in, by its op; waited for by tests.
    came: Arc<tokio::sync::watch::Sender<Vec<String>>>,
    /// Ops that are held until the gate opens.
    held: Arc<Mutex<Vec<&'static str>>>,
    gate: Arc<tokio::sync::Notify>,
}

impl Network {
    /// Loses the answer to the next call of this op, after its effect.
    pub(crate) fn lose_answer_of(&self, op: &'static str) {
        self.lost.lock().unwrap().push(op);
    }

    /// Holds calls of this op until [`Network::open`].
    pub(crate) fn hold(&self, op: &'static str) {
        self.held.lock().unwrap().push(op);
    }

    /// Lets held calls go on.
    pub(crate) fn open(&self) {
        self.held.lock().unwrap().clear();
        self.gate.notify_waiters();
    }

    /// Waits for so many calls of an op.
    pub(crate) async fn came(&self, op: &str, n: usize) {
        let mut came = self.came.subscribe();
        let count = |ops: &Vec<String>| ops.iter().filter(|came| *came == op).count();
        came.wait_for(|ops| count(ops) >= n).await.unwrap();
    }
}

async fn carry(State(network): State<Network>, request: Request, next: Next) -> Response {
    let op = request.headers().get("wholly-op").and_then(|op| op.to_str().ok()).unwrap_or("");
    let op = op.to_owned();
    network.came.send_modify(|ops| ops.push(op.clone()));
    let opened = network.gate.notified();
    if network.held.lock().unwrap().iter().any(|held| *held == op) {
        opened.await;
    }
    let answer = next.run(request).await;
    let mut lost = network.lost.lock().unwrap();
    match lost.iter().position(|lost| *lost == op) {
        Some(at) => {
            lost.remove(at);
            StatusCode::BAD_GATEWAY.into_response()
        }
        None => answer,
    }
}

/// Everything of the shop.
pub(crate) struct World {
    pub(crate) wholly: Wholly,
    pub(crate) running: Running,
    /// What clients hear of the coordinator is as described, and without canaries.
    pub(crate) witness: Witness,
    pub(crate) stock: Participant,
    pub(crate) points: Participant,
    /// The initiator's own service.
    pub(crate) orders: Service<Sqlite>,
    pub(crate) network: Network,
    pub(crate) config: Config,
    pools: Vec<SqlitePool>,
    /// Gone with the world, and the data folder in it.
    pub(crate) folder: TempDir,
    _listener: Listener,
}

/// By which one is known where all are.
pub(crate) fn secret_of(name: &str) -> String {
    format!("{SECRET}-of-{name}")
}

const NAMES: [&str; 3] = ["stock", "points", "orders"];

impl World {
    /// Ten of everything, nothing locked, nothing used.
    pub(crate) async fn new() -> World {
        World::made(|_| None).await
    }

    /// The same, everybody being known by a secret of its own, and every call signed.
    pub(crate) async fn known() -> World {
        World::made(|name| Some(secret_of(name))).await
    }

    async fn made(secret: fn(&str) -> Option<String>) -> World {
        let (folder, listener) = (TempDir::new().unwrap(), Listener::new());
        let mut config = Config::in_process(&folder.path().join("data"));
        let as_of = |client: Wholly, name: &str| match secret(name) {
            None => client,
            Some(secret) => client.credential(name, &secret).unwrap(),
        };
        config.limits.backoff_ms = 5;
        config.limits.call_timeout_ms = 2_000;
        let network = Network::default();
        let (mut pools, mut services) = (Vec::new(), Vec::new());
        let mut grant = |name: &str, role| {
            let Some(secret) = secret(name) else { return };
            let credential = Credential::new(name, Secrets::parse(&secret).unwrap()).unwrap();
            config.credentials.insert(name.into(), Grant { credential, role });
            config.dev = false;
        };
        NAMES.iter().for_each(|name| grant(name, Role::Service));
        grant("anna", Role::Operator);
        grant("prometheus", Role::Metrics);
        for name in NAMES {
            let pool = database(&folder, name).await;
            let client = as_of(Wholly::new("http://127.0.0.1:1").unwrap(), name);
            let service = client.service(name, pool.clone());
            let service = service.tcc::<Lock>(Shelf).saga::<LockNow>(Shelf).saga::<Note>(Shelf);
            service.migrate().await.unwrap();
            let address = serve(&client, &service, &network).await;
            config.destinations.insert(name.into(), Rule::new(&format!("http://{address}")));
            pools.push(pool);
            services.push(service);
        }
        let running = Coordinator::start(config.clone()).await.unwrap();
        config.listen = running.addr;
        let witness = Witness::before(running.addr);
        let wholly = as_of(Wholly::new(&witness.url()).unwrap(), "orders");
        World {
            stock: wholly.participant("stock"),
            points: wholly.participant("points"),
            orders: services.remove(2),
            wholly,
            running,
            witness,
            network,
            config,
            pools,
            folder,
            _listener: listener,
        }
    }

    /// The books: free/locked/used of stock, points and orders.
    pub(crate) async fn books(&self) -> String {
        let mut books = Vec::new();
        for pool in &self.pools {
            let query = "select free, locked, used from shelf";
            let (free, locked, used): (i64, i64, i64) =
                sqlx::query_as(query).fetch_one(pool).await.unwrap();
            books.push(format!("{free}/{locked}/{used}"));
        }
        books.join(" ")
    }

    /// What a note took down.
    pub(crate) async fn noted(&self) -> i64 {
        sqlx::query_scalar("select noted from shelf").fetch_one(&self.pools[1]).await.unwrap()
    }
}

async fn database(folder: &TempDir, name: &str) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(folder.path().join(name))
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal);
    let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await.unwrap();
    let table = "create table shelf (free integer, locked integer, used integer, noted integer)";
    sqlx::query(table).execute(&pool).await.unwrap();
    sqlx::query("insert into shelf values (10, 0, 0, 0)").execute(&pool).await.unwrap();
    pool
}

async fn serve(client: &Wholly, service: &Service<Sqlite>, network: &Network) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = client.router::<(), 1>([service]);
    let router = router.layer(from_fn_with_state(network.clone(), carry));
    tokio::spawn(axum::serve(listener, router).into_future());
    address
}
