//! A participant by hand: a stock service for TCC and saga, in axum and SQLite, without the SDK.
//!
//!     cargo run -p participant-by-hand -- 8080 stock.db
//!     wholly serve --dev --destination stock=http://127.0.0.1:8080
//!
//! With WHOLLY_ID and WHOLLY_SECRET, a credential of the coordinator's (two secrets, with a comma
//! between them, while it is changed), it believes signed calls only.

mod believe;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header::CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use believe::{Credential, Message};
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions};
use sqlx::{Row, Sqlite, Transaction};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SCHEMA: &str = "
create table if not exists stock (sku text primary key, free integer not null check (free >= 0),
                                  locked integer not null default 0,
                                  sold integer not null default 0);
insert or ignore into stock (sku, free) values ('tea', 1000);
create table if not exists barrier (gid text, branch text, state text not null, answer text,
                                    origin text not null, begun integer not null,
                                    primary key (gid, branch));
create table if not exists barrier_limit (origin text primary key, limit_ms integer not null);
";

/// Takes the write lock at once: two copies of a call run one after the other.
const BEGIN: &str = "begin immediate";

type Tx = Transaction<'static, Sqlite>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

// The business: it runs in the local transaction that the barrier's row is written in.

#[derive(Deserialize)]
struct Order {
    sku: String,
    quantity: i64,
}

/// How many times the quantity each column moves.
struct Move {
    free: i64,
    locked: i64,
    sold: i64,
}

/// What an operation does for an op, if it is offered.
fn offered(operation: &str, op: &str) -> Option<Move> {
    let (free, locked, sold) = match (operation, op) {
        ("stock.lock", "try") => (-1, 1, 0),
        ("stock.lock", "confirm") => (0, -1, 1),
        ("stock.lock", "cancel") => (1, -1, 0),
        ("stock.lock-now", "action") => (-1, 0, 1),
        ("stock.lock-now", "compensate") => (1, 0, -1),
        _ => return None,
    };
    Some(Move { free, locked, sold })
}

/// The reply, or the business's final no.
async fn work(tx: &mut Tx, to: &Move, order: &Order) -> sqlx::Result<Result<Value, Value>> {
    let moved = sqlx::query(
        "update stock set free = free + ?1, locked = locked + ?2, sold = sold + ?3
         where sku = ?4 and free + ?1 >= 0",
    )
    .bind(to.free * order.quantity)
    .bind(to.locked * order.quantity)
    .bind(to.sold * order.quantity)
    .bind(&order.sku)
    .execute(&mut **tx)
    .await?;
    Ok(match moved.rows_affected() {
        0 => Err(refusal("out_of_stock", &format!("{} is out of stock", order.sku))),
        _ => Ok(json!({"warehouse": 7})),
    })
}

// The barrier.

struct Call {
    gid: String,
    branch: String,
    operation: String,
    op: String,
    origin: String,
    begun: i64,
    limit: i64,
}

impl Call {
    fn is_first(&self) -> bool {
        matches!(self.op.as_str(), "try" | "action")
    }

    fn is_undo(&self) -> bool {
        matches!(self.op.as_str(), "cancel" | "compensate")
    }
}

/// The word and the body. `Kept` ones are said again whenever the call comes again.
enum Answer {
    Done(Option<Value>),
    DoneAndKept(Option<Value>),
    Refused(Value),
    RefusedAndKept(Value),
}

fn refusal(code: &str, detail: &str) -> Value {
    json!({"code": code, "detail": detail})
}

/// Answers a call. A failure before the commit leaves no trace.
async fn serve(pool: &SqlitePool, call: &Call, to: &Move, body: &[u8]) -> Result<Answer, Failure> {
    let mut tx = pool.begin_with(BEGIN).await?;
    let (state, kept) = look(&mut tx, call).await?;
    let answer = match (call.op.as_str(), state.as_str()) {
        (_, "stale") => Answer::Refused(refusal("stale", "its transaction ended long ago")),
        ("inspect", _) => Answer::Done(Some(match kept {
            None => json!({"state": state}),
            Some(reply) => json!({"state": state, "reply": reply}),
        })),
        ("try" | "action", "tried" | "confirmed") => Answer::DoneAndKept(kept),
        ("try" | "action", "refused") => Answer::RefusedAndKept(kept.unwrap_or_default()),
        ("try" | "action", "cancelled" | "null_cancelled") => {
            Answer::RefusedAndKept(refusal("hanging", "it was cancelled before"))
        }
        ("try" | "action", _) => match work(&mut tx, to, &serde_json::from_slice(body)?).await? {
            Ok(reply) => {
                remember(&mut tx, call, "tried", Some(&reply)).await?;
                Answer::DoneAndKept(Some(reply))
            }
            Err(no) => {
                tx.rollback().await?;
                return remember_refusal(pool, call, no).await;
            }
        },
        (_, "none") if call.is_undo() => {
            remember(&mut tx, call, "null_cancelled", None).await?;
            Answer::DoneAndKept(None)
        }
        (_, "tried") => {
            if let Err(no) = work(&mut tx, to, &serde_json::from_slice(body)?).await? {
                return Err(format!("what was tried cannot be ended: {no}").into());
            }
            let after = if call.is_undo() { "cancelled" } else { "confirmed" };
            remember(&mut tx, call, after, kept.as_ref()).await?;
            Answer::DoneAndKept(None)
        }
        (_, "cancelled" | "null_cancelled" | "refused") if call.is_undo() => {
            Answer::DoneAndKept(None)
        }
        ("confirm", "confirmed") => Answer::DoneAndKept(None),
        (op, state) => Answer::Refused(refusal("illegal_order", &format!("{op} after {state}"))),
    };
    tx.commit().await?;
    Ok(answer)
}

/// Writes the refusal in a transaction of its own, unless a row came between.
async fn remember_refusal(pool: &SqlitePool, call: &Call, no: Value) -> Result<Answer, Failure> {
    let mut tx = pool.begin_with(BEGIN).await?;
    if look(&mut tx, call).await?.0 != "none" {
        return Err("somebody came between: to be asked again".into());
    }
    remember(&mut tx, call, "refused", Some(&no)).await?;
    tx.commit().await?;
    Ok(Answer::RefusedAndKept(no))
}

/// The row's state and what it keeps; what lies below the limit counts as absent, and a row begun
/// after the call in the same log is of a later use of the gid.
async fn look(tx: &mut Tx, call: &Call) -> Result<(String, Option<Value>), Failure> {
    if call.op != "inspect" {
        sqlx::query(
            "insert into barrier_limit values (?, ?) on conflict (origin) do update
             set limit_ms = max(limit_ms, excluded.limit_ms)",
        )
        .bind(&call.origin)
        .bind(call.limit)
        .execute(&mut **tx)
        .await?;
    }
    let limit = "select coalesce(max(limit_ms), 0) from barrier_limit where origin = ?";
    let limit: i64 = sqlx::query_scalar(limit).bind(&call.origin).fetch_one(&mut **tx).await?;
    if call.begun < limit.max(call.limit) {
        return Ok(("stale".into(), None));
    }
    let row = sqlx::query(
        "select state, answer, origin = ? and begun > ? as later from barrier b
         where gid = ? and branch = ? and begun >=
           coalesce((select limit_ms from barrier_limit l where l.origin = b.origin), 0)",
    )
    .bind(&call.origin)
    .bind(call.begun)
    .bind(&call.gid)
    .bind(&call.branch)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(("none".into(), None)) };
    if row.try_get("later")? {
        return Ok(("stale".into(), None));
    }
    let kept: Option<String> = row.try_get("answer")?;
    let kept = kept.map(|kept| serde_json::from_str(&kept)).transpose()?;
    Ok((row.try_get("state")?, kept))
}

async fn remember(tx: &mut Tx, call: &Call, state: &str, kept: Option<&Value>) -> sqlx::Result<()> {
    sqlx::query("insert or replace into barrier values (?, ?, ?, ?, ?, ?)")
        .bind(&call.gid)
        .bind(&call.branch)
        .bind(state)
        .bind(kept.map(Value::to_string))
        .bind(&call.origin)
        .bind(call.begun)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

// HTTP.

fn read(headers: &HeaderMap) -> Option<Call> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let mark = text("wholly-mark")?;
    let part = |name: &str| mark.split(';').find_map(|part| part.strip_prefix(name));
    Some(Call {
        gid: text("wholly-gid")?,
        branch: text("wholly-branch")?,
        operation: text("wholly-operation")?,
        op: text("wholly-op")?,
        origin: part("origin=")?.to_owned(),
        begun: part("begun=")?.parse().ok()?,
        limit: part("limit=")?.parse().ok()?,
    })
}

/// What calls are served with.
#[derive(Clone)]
struct Desk {
    pool: SqlitePool,
    /// None where everybody is believed.
    own: Option<Arc<Credential>>,
}

async fn handle(
    State(Desk { pool, own }): State<Desk>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(own) = own {
        let call = Message { method: &method, uri: &uri, headers: &headers, body: &body };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if let Err(why) = own.believe(&call, now.as_secs()) {
            // No answer: to the coordinator, nothing is known.
            return (StatusCode::UNAUTHORIZED, why).into_response();
        }
    }
    let Some(call) = read(&headers) else {
        return (StatusCode::BAD_REQUEST, "this is no call of a coordinator").into_response();
    };
    // In a task of its own, which a broken connection does not end.
    let is_enveloped = headers.get("wholly-body").is_some_and(|kind| kind == "envelope");
    let served = tokio::spawn(async move {
        let answer = match offered(&call.operation, &call.op) {
            None if call.is_first() => {
                Ok(Answer::Refused(refusal("operation_unknown", &call.operation)))
            }
            None if call.op != "inspect" => Err("no such operation".into()),
            to => {
                let nothing = Move { free: 0, locked: 0, sold: 0 };
                let body = if is_enveloped { opened(&body) } else { Ok(body.to_vec()) };
                match body {
                    Ok(body) => serve(&pool, &call, &to.unwrap_or(nothing), &body).await,
                    Err(error) => Err(error),
                }
            }
        };
        answer.map(|answer| say(&call, answer))
    });
    match served.await {
        Ok(Ok(response)) => response,
        // Nothing is known: to be asked again.
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The payload in an envelope.
fn opened(body: &[u8]) -> Result<Vec<u8>, Failure> {
    let envelope: Value = serde_json::from_slice(body)?;
    Ok(serde_json::to_vec(&envelope["payload"])?)
}

fn say(call: &Call, answer: Answer) -> Response {
    let (status, word, kept, body) = match answer {
        Answer::Done(body) => (StatusCode::OK, "done", "", body),
        Answer::DoneAndKept(body) => (StatusCode::OK, "done", ";kept", body),
        Answer::Refused(no) => (StatusCode::CONFLICT, "refused", "", Some(no)),
        Answer::RefusedAndKept(no) => (StatusCode::CONFLICT, "refused", ";kept", Some(no)),
    };
    let Call { gid, branch, operation, op, .. } = call;
    let echo = format!("{word};gid={gid};branch={branch};operation={operation};op={op}{kept}");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    (status, [("wholly-answer", echo)], [(CONTENT_TYPE, "application/json")], body).into_response()
}

/// What is free, locked and sold, for whoever checks the books.
async fn books(State(Desk { pool, .. }): State<Desk>) -> Response {
    let row = sqlx::query("select free, locked, sold from stock where sku = 'tea'");
    let number = |row: &sqlx::sqlite::SqliteRow, name: &str| row.get::<i64, _>(name);
    match row.fetch_one(&pool).await {
        Ok(row) => axum::Json(json!({"free": number(&row, "free"),
            "locked": number(&row, "locked"), "sold": number(&row, "sold")}))
        .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn credential() -> Result<Option<Arc<Credential>>, Failure> {
    let Ok(id) = std::env::var("WHOLLY_ID") else { return Ok(None) };
    let secrets: Vec<String> = std::env::var("WHOLLY_SECRET")?.split(',').map(Into::into).collect();
    match secrets.iter().all(|secret| secret.len() >= 32) {
        true => Ok(Some(Arc::new(Credential { id, secrets }))),
        false => Err("WHOLLY_SECRET: a secret has 32 characters at least".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, port, file] = arguments.as_slice() else { return Err("say a port and a file".into()) };
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(2));
    let pool = SqlitePoolOptions::new().max_connections(8).connect_with(options).await?;
    sqlx::raw_sql(SCHEMA).execute(&pool).await?;
    let router = Router::new()
        .route("/wholly/{operation}", post(handle))
        .route("/books", get(books))
        .with_state(Desk { pool, own: credential()? });
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("ready http://127.0.0.1:{port}");
    axum::serve(listener, router).await?;
    Ok(())
}
