//! A client of the coordinator: sagas as plans, TCC as registrations, by plain HTTP.

use super::OPEN_MS_MAX;
use crate::http::{Ask, Reply, Unanswered};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// Longest wait for an answer, longer than the coordinator lets a request wait.
const PATIENCE: Duration = Duration::from_secs(40);

/// In every payload, and in no log. The shop does not read it.
pub(super) const CARD: &str = "canary-payload-91b3";

/// More pages than any list of a task has.
const PAGES_MAX: usize = 1_000;

/// Asks one coordinator.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) coordinator: SocketAddr,
}

/// One order of the shop; its transaction is `order-ID`.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: String,
    /// `tea`, of which there is plenty, or `vase`, of which there is none.
    pub(crate) sku: &'static str,
}

impl Order {
    pub(crate) fn gid(&self) -> String {
        format!("order-{}", self.id)
    }

    fn create(&self) -> Value {
        json!({ "order": self.body() })
    }

    /// What the order service takes.
    pub(crate) fn body(&self) -> Value {
        json!({ "order": self.id, "sku": self.sku, "quantity": 2, "customer": "ann", "points": 3,
                "card": CARD })
    }

    fn lock(&self) -> Value {
        json!({ "order": self.id, "sku": self.sku, "quantity": 2, "card": CARD })
    }

    fn deduct(&self) -> Value {
        json!({ "order": self.id, "customer": "ann", "points": 3, "card": CARD })
    }
}

impl Client {
    /// Submits a saga; the same again is safe.
    pub(crate) fn submit(&self, order: &Order) -> Result<Reply, Unanswered> {
        let step = |name: &str, operation: &str, payload: Value, after: &[&str]| {
            let (branch, to) = (name, name);
            json!({ "branch": branch, "to": to, "operation": operation, "payload": payload,
                    "after": after })
        };
        let plan = json!({ "name": "place-order", "steps": [
            step("order", "orders.create", order.create(), &[]),
            step("stock", "stock.lock-now", order.lock(), &["order"]),
            step("points", "points.deduct-now", order.deduct(), &["order"]),
        ]});
        self.ask("PUT", &format!("/v1/transactions/{}", order.gid()), &[], Some(&plan))
    }

    /// Begins an open transaction; the same again is safe, by its idempotency key.
    pub(crate) fn begin(&self, order: &Order) -> Result<Reply, Unanswered> {
        let gid = order.gid();
        let body = json!({ "name": "place-order", "gid": gid, "timeout_ms": OPEN_MS_MAX });
        let headers = [("idempotency-key", gid.as_str())];
        self.ask("POST", "/v1/transactions", &headers, Some(&body))
    }

    /// Registers the branches one after another, each tried by the coordinator; ends at the first
    /// whose answer is not done.
    pub(crate) fn register_all(
        &self,
        order: &Order,
        capability: &str,
    ) -> Result<Vec<(&'static str, Reply)>, Unanswered> {
        let mut replies = Vec::new();
        for (name, mode, operation, payload) in [
            ("order", "saga", "orders.create", order.create()),
            ("stock", "tcc", "stock.lock", order.lock()),
            ("points", "tcc", "points.deduct", order.deduct()),
        ] {
            let body = json!({ "branch": name, "mode": mode, "to": name, "operation": operation,
                               "payload": payload, "call": true });
            let path = format!("/v1/transactions/{}/branches", order.gid());
            let headers = [("wholly-capability", capability)];
            let reply = self.ask("POST", &path, &headers, Some(&body))?;
            let is_done = reply.body["answer"] == "done";
            replies.push((name, reply));
            if !is_done {
                break;
            }
        }
        Ok(replies)
    }

    /// Commits what was tried.
    pub(crate) fn commit(
        &self,
        order: &Order,
        capability: &str,
        tried: &[&str],
    ) -> Result<Reply, Unanswered> {
        let path = format!("/v1/transactions/{}/commit", order.gid());
        let headers = [("wholly-capability", capability)];
        self.ask("POST", &path, &headers, Some(&json!({ "tried": tried })))
    }

    /// Aborts.
    pub(crate) fn abort(&self, order: &Order, capability: &str) -> Result<Reply, Unanswered> {
        let path = format!("/v1/transactions/{}/abort", order.gid());
        let headers = [("wholly-capability", capability)];
        self.ask("POST", &path, &headers, Some(&json!({ "reason": "the customer left" })))
    }

    /// Waits for the end, for as long as one request may.
    pub(crate) fn ended(&self, gid: &str) -> Result<Reply, Unanswered> {
        let path = format!("/v1/transactions/{gid}?wait=ended&wait_ms=20000");
        self.ask("GET", &path, &[], None)
    }

    /// The gids of all that have not ended.
    pub(crate) fn unfinished(&self) -> Result<Vec<String>, Unanswered> {
        let mut gids = Vec::new();
        for state in ["open", "forward", "finishing"] {
            let path = format!("/v1/transactions?state={state}&limit=100");
            let reply = self.ask("GET", &path, &[], None)?;
            let items = reply.body["items"].as_array();
            let items = items.ok_or_else(|| Unanswered(format!("no list: {reply:?}")))?;
            gids.extend(items.iter().filter_map(|item| item["gid"].as_str()).map(String::from));
        }
        Ok(gids)
    }

    /// Everything that is listed, in pages of so many rows, followed to their end.
    pub(crate) fn listed(&self, limit: usize) -> Result<Vec<Value>, Unanswered> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/transactions?limit={limit}{cursor}");
            let reply = self.ask("GET", &path, &[], None)?;
            let items = reply.body["items"].as_array();
            let items = items.ok_or_else(|| Unanswered(format!("no list: {reply:?}")))?;
            if items.len() > limit {
                return Err(Unanswered(format!("{path}: {} rows", items.len())));
            }
            all.extend(items.iter().cloned());
            match reply.body["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(all),
            }
        }
        Err(Unanswered(format!("the list does not end after {PAGES_MAX} pages")))
    }

    /// How many that have ended are not archived yet.
    pub(crate) fn unarchived(&self) -> Result<u64, Unanswered> {
        let reply = self.ask("GET", "/v1/status", &[], None)?;
        let count = reply.body["disk"]["unarchived"].as_u64();
        count.ok_or_else(|| Unanswered(format!("no count: {reply:?}")))
    }

    fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Reply, Unanswered> {
        Ask { method, path, headers, body, patience: PATIENCE }.send(self.coordinator)
    }
}
