//! The matrix over good handlers and over broken ones: what is broken is found, and named.

#![expect(clippy::unwrap_used, reason = "a test stops where its ground fails")]

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{Sqlite, SqliteConnection};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use testkit::{Fault, Report, Verdict, World};
use wholly::{Call, Failure, NotDone, Op, Operation, Outside, Saga, Tcc, Wholly, refuse_unless};
use wholly_canary::{Canary, Listener, found};

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.lock", mode = tcc)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
struct Lock {}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "stock.take", mode = saga)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
struct Take {}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "points.take", mode = saga)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
struct Spend {}

#[derive(Serialize, Deserialize, Operation)]
#[operation(name = "bank.charge", mode = saga)]
#[serde(tag = "card", rename = "canary-payload-91b3")]
struct Charge {}

/// How a handler is wrong, if it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// What compensates gives back too little.
    GivesBackTooLittle,
    /// What compensates does nothing.
    GivesBackNothing,
    /// What cancels does nothing.
    ReleasesNothing,
    /// What is taken is counted outside the local transaction.
    CountsInMemory,
    /// The other side of an outside operation ignores the key.
    IgnoresTheKey,
    /// What confirms fails for ever.
    NeverConfirms,
}

#[derive(Clone)]
struct Shelf {
    bug: Bug,
    /// Counted beside the database.
    counted: Arc<AtomicI64>,
    /// How often each key was charged.
    bank: Arc<Mutex<BTreeMap<String, i64>>>,
}

async fn change(db: &mut SqliteConnection, sql: &'static str) -> Result<u64, Failure> {
    Ok(sqlx::query(sql).execute(db).await?.rows_affected())
}

impl Tcc<Lock> for Shelf {
    type Database = Sqlite;

    async fn try_(&self, _: &Lock, db: &mut SqliteConnection) -> Result<(), NotDone> {
        let sql = "update shelf set free = free - 2, locked = locked + 2 where free >= 2";
        refuse_unless!(change(db, sql).await? == 1, "out_of_stock");
        Ok(())
    }

    async fn confirm(&self, _: &Lock, _: &(), db: &mut SqliteConnection) -> Result<(), Failure> {
        if self.bug == Bug::NeverConfirms {
            return Err(Failure::new("the warehouse is closed"));
        }
        change(db, "update shelf set locked = locked - 2, used = used + 2").await.map(drop)
    }

    async fn cancel(&self, _: &Lock, _: &(), db: &mut SqliteConnection) -> Result<(), Failure> {
        if self.bug == Bug::ReleasesNothing {
            return Ok(());
        }
        change(db, "update shelf set locked = locked - 2, free = free + 2").await.map(drop)
    }
}

impl Saga<Take> for Shelf {
    type Database = Sqlite;

    async fn action(&self, _: &Take, db: &mut SqliteConnection) -> Result<(), NotDone> {
        if self.bug == Bug::CountsInMemory {
            self.counted.fetch_add(2, Ordering::SeqCst);
        }
        let sql = "update shelf set free = free - 2, used = used + 2 where free >= 2";
        refuse_unless!(change(db, sql).await? == 1, "out_of_stock");
        Ok(())
    }

    async fn compensate(&self, _: &Take, _: &(), db: &mut SqliteConnection) -> Result<(), Failure> {
        let sql = match self.bug {
            Bug::GivesBackTooLittle => "update shelf set free = free + 1, used = used - 2",
            Bug::GivesBackNothing => return Ok(()),
            Bug::None
            | Bug::ReleasesNothing
            | Bug::CountsInMemory
            | Bug::IgnoresTheKey
            | Bug::NeverConfirms => "update shelf set free = free + 2, used = used - 2",
        };
        if self.bug == Bug::CountsInMemory {
            self.counted.fetch_sub(2, Ordering::SeqCst);
        }
        change(db, sql).await.map(drop)
    }
}

impl Saga<Spend> for Shelf {
    type Database = Sqlite;

    async fn action(&self, _: &Spend, db: &mut SqliteConnection) -> Result<(), NotDone> {
        change(db, "update shelf set free = free - 2, used = used + 2").await?;
        Ok(())
    }

    async fn compensate(
        &self,
        _: &Spend,
        _: &(),
        db: &mut SqliteConnection,
    ) -> Result<(), Failure> {
        change(db, "update shelf set free = free + 2, used = used - 2").await.map(drop)
    }
}

/// A bank that knows each key once, or should.
impl Outside<Charge> for Shelf {
    async fn action(&self, _: &Charge, call: &Call) -> Result<(), NotDone> {
        self.charge(call.key(), 1);
        Ok(())
    }

    async fn compensate(&self, _: &Charge, _: Option<&()>, call: &Call) -> Result<(), Failure> {
        // Before the charge or without it: then there is nothing to give back, ever.
        self.charge(call.key_of(Op::Action), 0);
        Ok(())
    }
}

impl Shelf {
    fn charge(&self, key: String, amount: i64) {
        let mut bank = self.bank.lock().unwrap();
        match (self.bug, amount) {
            (_, 0) => drop(bank.insert(key, 0)),
            (Bug::IgnoresTheKey, amount) => *bank.entry(key).or_default() += amount,
            (_, amount) => drop(bank.entry(key).or_insert(amount)),
        }
    }
}

/// One world with two services, `stock` and `points`, and their database.
struct Shop {
    world: World,
    pool: SqlitePool,
    shelf: Shelf,
    _listener: Listener,
}

impl Shop {
    async fn new(bug: Bug) -> Shop {
        let options = SqliteConnectOptions::new().in_memory(true);
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
        sqlx::raw_sql("create table shelf (free, locked, used)").execute(&pool).await.unwrap();
        let shelf = Shelf { bug, counted: Arc::default(), bank: Arc::default() };
        let shop = Shop { world: World::new().await, pool, shelf, _listener: Listener::new() };
        shop.fill().await;
        let stock = shop.world.wholly().service("stock", shop.pool.clone());
        let stock = stock.tcc::<Lock>(shop.shelf.clone()).saga::<Take>(shop.shelf.clone());
        let points = shop.world.wholly().service("points", shop.pool.clone());
        let points = points.saga::<Spend>(shop.shelf.clone());
        let bank = shop.world.wholly().service("bank", shop.pool.clone());
        let bank = bank.outside::<Charge>(shop.shelf.clone());
        shop.world.serve(&stock).serve(&points).serve(&bank);
        shop
    }

    async fn fill(&self) {
        let sql = "delete from shelf; insert into shelf values (1000, 0, 0)";
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
        self.shelf.counted.store(0, Ordering::SeqCst);
        self.shelf.bank.lock().unwrap().clear();
    }

    /// Four pieces are used or none, nothing is locked, nothing is lost.
    async fn balances(&self, at_once: i64) -> Result<(), String> {
        let row: (i64, i64, i64) = sqlx::query_as("select free, locked, used from shelf")
            .fetch_one(&self.pool)
            .await
            .unwrap();
        let (free, locked, used) = row;
        let counted = self.shelf.counted.load(Ordering::SeqCst);
        let is_counted = self.shelf.bug != Bug::CountsInMemory || counted * 2 == used;
        match free + used == 1000 && locked == 0 && used % at_once == 0 && is_counted {
            true => Ok(()),
            false => Err(format!("{free} free, {locked} locked, {used} used, {counted} counted")),
        }
    }

    /// A plan of two steps, each of which takes two.
    async fn take(&self, wholly: Wholly) -> Result<(), wholly::Error> {
        let (stock, points) = (wholly.participant("stock"), wholly.participant("points"));
        let plan = wholly.saga("place-order").step("stock", &stock, Take {});
        let plan = plan.step("points", &points, Spend {}).after(["stock"]);
        plan.submit().await?.ended().await?.committed().map(drop)
    }

    /// A scope of one call.
    async fn lock(&self, wholly: Wholly) -> Result<(), wholly::Error> {
        let stock = wholly.participant("stock");
        wholly.transaction("lock").run(async |tx| Ok(tx.call(&stock, Lock {}).await?)).await
    }

    async fn charge(&self, wholly: Wholly) -> Result<(), wholly::Error> {
        let bank = wholly.participant("bank");
        let plan = wholly.saga("charge").step("bank", &bank, Charge {});
        plan.submit().await?.decided().await.map(drop)
    }

    async fn take_always(&self) -> Report {
        let act = async |wholly| self.take(wholly).await;
        self.world.every_fault(act, async || self.balances(4).await).await
    }
}

/// The matrix fails at exactly these cells first, and says so.
fn check_found(report: &Report, call: &str, fault: Fault, words: &[&str]) {
    let failed: Vec<String> =
        report.failed().map(|cell| format!("{} × {}", cell.call(), cell.fault())).collect();
    let text = report.to_string();
    wholly_canary::check("a report", &format!("{text} {report:?}"));
    assert!(failed.contains(&format!("{call} × {fault}")), "{failed:?}\n{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} is missing in\n{text}");
    }
    let panicked = std::panic::catch_unwind(|| report.assert());
    assert!(panicked.is_err(), "it must not pass");
}

#[tokio::test]
async fn good_handlers_pass_every_cell() {
    let shop = Shop::new(Bug::None).await;
    let report = shop.take_always().await;
    report.assert();
    let decided = |call: &str, fault| {
        let cell = report.cells().iter().find(|cell| cell.call() == call && cell.fault() == fault);
        cell.map(|cell| cell.verdict())
    };
    assert_eq!(decided("stock action", Fault::Refuse), Some(Verdict::Passed("abort")));
    assert_eq!(decided("points action", Fault::RefuseCopy), Some(Verdict::Passed("abort")));
    assert_eq!(decided("points action", Fault::CrashMidway), Some(Verdict::Passed("commit")));
    assert_eq!(decided("stock action", Fault::Slow), Some(Verdict::Passed("commit")));
    assert_eq!(decided("stock compensate", Fault::Late), Some(Verdict::Passed("abort")));
    assert_eq!(decided("stock compensate", Fault::Refuse), None);
    // Two actions under eight faults, two compensations under six.
    assert_eq!(report.cells().len(), 28, "{report}");
    println!("{report}");
}

#[tokio::test]
async fn what_is_logged_is_listened_to_and_every_payload_is_a_canary() {
    let before = wholly_canary::heard();
    let shop = Shop::new(Bug::None).await;
    shop.lock(shop.world.wholly().clone()).await.unwrap();
    assert!(wholly_canary::heard() > before, "a begin is logged");
    let payloads = [
        serde_json::to_string(&Lock {}),
        serde_json::to_string(&Take {}),
        serde_json::to_string(&Spend {}),
        serde_json::to_string(&Charge {}),
    ];
    for payload in payloads.map(Result::unwrap) {
        assert_eq!(found(&payload, &Canary::ALL), Some(Canary::Payload), "{payload}");
    }
}

#[tokio::test]
async fn good_tcc_handlers_pass_every_cell() {
    let shop = Shop::new(Bug::None).await;
    let act = async |wholly| shop.lock(wholly).await;
    let report = shop.world.every_fault(act, async || shop.balances(2).await).await;
    report.assert();
    let calls: Vec<&str> = report.cells().iter().map(|cell| cell.call()).collect();
    for call in ["stock.lock try", "stock.lock confirm", "stock.lock cancel"] {
        assert!(calls.contains(&call), "{calls:?}");
    }
    assert_eq!(report.cells().len(), 8 + 6 + 6, "{report}");
}

#[tokio::test]
async fn a_compensation_that_gives_back_too_little_is_found() {
    let shop = Shop::new(Bug::GivesBackTooLittle).await;
    let report = shop.take_always().await;
    let words = [
        "FAILED: points action × refuse copy",
        "995 free",
        "decided points abort by refusal",
        "not run",
    ];
    check_found(&report, "points action", Fault::RefuseCopy, &words);
}

#[tokio::test]
async fn a_cancel_that_releases_nothing_is_found() {
    let shop = Shop::new(Bug::ReleasesNothing).await;
    let act = async |wholly| shop.lock(wholly).await;
    let report = shop.world.every_fault(act, async || shop.balances(2).await).await;
    check_found(&report, "stock.lock try", Fault::RefuseCopy, &["2 locked"]);
}

#[tokio::test]
async fn what_is_counted_outside_the_local_transaction_is_found() {
    let shop = Shop::new(Bug::CountsInMemory).await;
    let act = async |wholly| shop.take(wholly).await;
    let matrix = shop.world.every_fault(act, async || shop.balances(4).await);
    let report = matrix.before(async || shop.fill().await).await;
    let words = [".only(\"stock action\", testkit::Fault::CrashMidway)", "4 counted", "no answer"];
    check_found(&report, "stock action", Fault::CrashMidway, &words);
    let failed: Vec<&str> = report.failed().map(|cell| cell.call()).collect();
    assert!(!failed.contains(&"points action"), "each cell for itself: {report}");
    assert!(report.cells().iter().all(|cell| cell.verdict() != Verdict::NotRun), "{report}");
}

#[tokio::test]
async fn a_bank_that_ignores_the_key_is_found() {
    let check = async |bug: Bug| {
        let shop = Shop::new(bug).await;
        let act = async |wholly| shop.charge(wholly).await;
        let most_once = || shop.shelf.bank.lock().unwrap().values().all(|charged| *charged <= 1);
        let matrix = shop.world.every_fault(act, async || most_once());
        matrix.before(async || shop.fill().await).await
    };
    let report = check(Bug::None).await;
    report.assert();
    assert_eq!(report.without_row().collect::<Vec<_>>(), ["bank"], "{report}");
    let report = check(Bug::IgnoresTheKey).await;
    for fault in [Fault::CrashAfter, Fault::CrashMidway, Fault::Duplicate, Fault::Late] {
        let words = ["the check of the books said false"];
        check_found(&report, "bank action", fault, &words);
    }
    let passed = report.cells().iter().find(|cell| cell.fault() == Fault::CrashBefore).unwrap();
    assert_eq!(passed.verdict(), Verdict::Passed("commit"), "{report}");
}

#[tokio::test]
async fn only_one_cell_is_run_where_only_one_is_wanted() {
    let shop = Shop::new(Bug::GivesBackNothing).await;
    let only = async |call: &str, fault| {
        let act = async |wholly| shop.take(wholly).await;
        let matrix = shop.world.every_fault(act, async || shop.balances(4).await);
        matrix.before(async || shop.fill().await).only(call, fault).await
    };
    let report = only("points action", Fault::CrashAfter).await;
    let cells: Vec<_> = report.cells().iter().map(|cell| (cell.call(), cell.fault())).collect();
    assert_eq!(cells, [("points action", Fault::CrashAfter)], "{report}");
    report.assert();
    let report = only("points action", Fault::Refuse).await;
    check_found(&report, "points action", Fault::Refuse, &["998 free, 0 locked, 2 used"]);
    let report = only("stock compensate", Fault::Duplicate).await;
    check_found(&report, "stock compensate", Fault::Duplicate, &["after a copy of points action"]);
    assert_eq!(report.cells().len(), 1, "{report}");
    let report = only("points compensate", Fault::Refuse).await;
    let text = report.to_string();
    assert!(text.contains("no cell \"points compensate\" × refuse; the calls are:"), "{text}");
}

#[tokio::test]
async fn what_never_ends_is_found() {
    let shop = Shop::new(Bug::NeverConfirms).await;
    let act = async |wholly| shop.lock(wholly).await;
    let matrix = shop.world.every_fault(act, async || shop.balances(2).await);
    let report = matrix.within(std::time::Duration::from_millis(500)).await;
    let text = report.to_string();
    assert!(text.starts_with("something is wrong without any fault:"), "{text}");
    assert!(text.contains("has not ended after 500ms"), "{text}");
    assert!(text.contains("2 locked"), "{text}");
    assert!(report.cells().is_empty(), "{text}");
}

/// A participant without the SDK: done, but for the ops that it refuses; asked how a branch stands,
/// it answers with this.
fn by_hand(refused: &'static str, inspected: (StatusCode, &'static str)) -> Router {
    let answer = async move |headers: HeaderMap| {
        let said = |name: &str| headers[name].to_str().unwrap().to_owned();
        let ((status, body), word) = match said("wholly-op") {
            op if op == "inspect" => (inspected, "refused"),
            op if op == refused => ((StatusCode::CONFLICT, ""), "refused"),
            _ => ((StatusCode::OK, ""), "done"),
        };
        let echo = ["gid", "branch", "operation", "op"];
        let echo = echo.map(|name| format!(";{name}={}", said(&format!("wholly-{name}"))));
        (status, [("wholly-answer", format!("{word}{}", echo.concat()))], body)
    };
    Router::new().route("/wholly/{operation}", post(answer))
}

/// As one says it who keeps no table.
const NO_ROW: (StatusCode, &str) =
    (StatusCode::CONFLICT, "{\"code\":\"no_row_kept\",\"detail\":\"none\"}");

#[tokio::test]
async fn a_participant_by_hand_is_played_too() {
    let check = async |refused: &'static str, inspected| {
        let (world, _listener) = (World::new().await, Listener::new());
        world.serve_router("stock", by_hand(refused, inspected));
        let stock = world.wholly().participant("stock");
        let act = async |wholly: Wholly| -> Result<(), wholly::Error> {
            wholly.transaction("lock").run(async |tx| Ok(tx.call(&stock, Lock {}).await?)).await
        };
        world.every_fault(act, async || true).await
    };
    let report = check("nothing", NO_ROW).await;
    report.assert();
    assert_eq!(report.without_row().collect::<Vec<_>>(), ["stock.lock"], "{report}");
    assert!(report.to_string().contains("no row is kept of stock.lock"), "{report}");
    assert!(report.cells().iter().all(|cell| cell.fault() != Fault::CrashMidway), "{report}");
    assert_eq!(report.cells().len(), 7 + 5 + 5, "{report}");
    // What a participant may not refuse, it refuses: no waiting ends that.
    let text = check("confirm", NO_ROW).await.to_string();
    assert!(text.contains("stock.lock is stuck"), "{text}");
    let report = check("cancel", NO_ROW).await;
    let words = ["stock.lock is stuck", "stuck stock.lock cancel"];
    check_found(&report, "stock.lock try", Fault::Refuse, &words);
    // A row that is not shown is no row that agrees.
    for (inspected, said) in [
        ((StatusCode::OK, ""), "it answered 200"),
        ((StatusCode::NOT_FOUND, "what?"), "it answered 404 what?"),
        ((StatusCode::CONFLICT, "{\"code\":\"stale\",\"detail\":\"\"}"), "stale"),
        ((StatusCode::OK, "{\"state\":\"tried\"}"), "as confirmed, its participant as tried"),
    ] {
        let text = check("nothing", inspected).await.to_string();
        assert!(text.starts_with("something is wrong without any fault:"), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[tokio::test]
async fn a_call_that_comes_only_sometimes_is_named() {
    let shop = Shop::new(Bug::None).await;
    let runs = AtomicI64::new(0);
    let act = async |wholly: Wholly| match runs.fetch_add(1, Ordering::SeqCst) {
        0 => shop.take(wholly).await,
        _ => shop.lock(wholly).await,
    };
    let matrix = shop.world.every_fault(act, async || shop.balances(2).await);
    let report = matrix.only("points action", Fault::Duplicate).await;
    let words = ["in none of 3 runs did points action come"];
    check_found(&report, "points action", Fault::Duplicate, &words);
}

#[tokio::test]
async fn an_act_that_begins_nothing_proves_nothing() {
    let shop = Shop::new(Bug::None).await;
    let report = shop.world.every_fault(async |_| (), async || true).await;
    let text = report.to_string();
    assert!(text.contains("no transaction was begun in this run"), "{text}");
    assert!(!report.passes());
    let act = async |wholly: Wholly| -> Result<(), wholly::Error> {
        let stock = wholly.participant("stock");
        let plan = wholly.saga("again").gid("always-the-same").step("stock", &stock, Take {});
        plan.submit().await?.ended().await.map(drop)
    };
    let text = shop.world.every_fault(act, async || true).await.to_string();
    assert!(text.contains("does each run use gids of its own?"), "{text}");
}

#[tokio::test]
async fn a_barrier_that_believes_otherwise_is_found() {
    let shop = Shop::new(Bug::None).await;
    let act = async |wholly: Wholly| {
        let stock = wholly.participant("stock");
        let plan = wholly.saga("take").step("stock", &stock, Take {});
        plan.submit().await?.ended().await?;
        // As a database does that was restored from yesterday.
        sqlx::raw_sql("update wholly_barrier set state = 3").execute(&shop.pool).await.unwrap();
        Ok::<(), wholly::Error>(())
    };
    let text = shop.world.every_fault(act, async || true).await.to_string();
    let words = "the coordinator has stock as done, its participant as cancelled";
    assert!(text.contains(words), "{text}");
}
