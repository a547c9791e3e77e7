//! The ledger: what clients were told, to be held against what is in the end.

use super::{Client, Member, Order, Shop};
use crate::Failure;
use crate::http::Reply;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

/// Who writes and reads: all clients at once, the check at the end.
#[derive(Default)]
pub(crate) struct Ledger {
    entries: Mutex<BTreeMap<String, Entry>>,
}

/// What was told about one transaction.
#[derive(Clone, Debug, Default)]
struct Entry {
    order: String,
    is_accepted: bool,
    /// Whether its end was told.
    is_ended: bool,
    /// All decisions told; more than one is a broken promise.
    decisions: BTreeSet<String>,
}

/// How many there were.
pub(crate) struct Told {
    pub(crate) orders: usize,
    pub(crate) commit: usize,
    pub(crate) abort: usize,
}

impl Ledger {
    pub(crate) fn begun(&self, order: &Order) {
        let order_id = order.id.clone();
        let entry = Entry { order: order_id, ..Entry::default() };
        self.lock().insert(order.gid(), entry);
    }

    fn accepted(&self, gid: &str) {
        self.change(gid, |entry| entry.is_accepted = true);
    }

    pub(crate) fn told(&self, gid: &str, decision: &str) {
        self.change(gid, |entry| {
            entry.is_accepted = true;
            entry.decisions.insert(decision.to_owned());
        });
    }

    /// Writes down what an answer says: a decision, or at least that the transaction is known. A
    /// rejection shows the transaction where it is about the decision.
    pub(crate) fn note(&self, order: &Order, reply: &Reply) {
        let shown = &reply.body["transaction"];
        let document = if shown.is_null() { &reply.body } else { shown };
        match document["decision"].as_str() {
            Some(decision) => self.told(&order.gid(), decision),
            None if (200..300).contains(&reply.status) => self.accepted(&order.gid()),
            None => (),
        }
        if document["state"] == "ended" {
            self.change(&order.gid(), |entry| entry.is_ended = true);
        }
    }

    pub(crate) fn counts(&self) -> Told {
        let entries = self.lock();
        let told = |decision: &str| {
            entries.values().filter(|entry| entry.decisions.contains(decision)).count()
        };
        Told { orders: entries.len(), commit: told("commit"), abort: told("abort") }
    }

    /// Everything that is not as told, in the coordinator's memory and in the books; all have
    /// ended.
    pub(crate) fn faults(&self, shop: &Shop) -> Result<Vec<String>, Failure> {
        let client = Client { coordinator: shop.address(Member::Coordinator) };
        let books = shop.books()?;
        let mut faults: Vec<String> = books.wrong.iter().cloned().collect();
        faults.extend(books.pending.iter().map(|order| format!("order {order} holds something")));
        for (gid, entry) in self.lock().iter() {
            let reply = client.ended(gid).map_err(|e| Failure::new(format!("{gid}: {}", e.0)))?;
            let known = Known {
                status: reply.status,
                state: reply.body["state"].as_str().unwrap_or(""),
                decision: reply.body["decision"].as_str().unwrap_or(""),
                outcome: reply.body["outcome"].as_str().unwrap_or(""),
                is_whole: books.whole.contains(&entry.order),
            };
            faults.extend(entry.judge(&known).map(|what| format!("{gid}: {what}")));
        }
        Ok(faults)
    }

    /// Everything in a list, followed to its end, that is not as told.
    pub(crate) fn list_faults(&self, items: &[Value]) -> Vec<String> {
        let entries = self.lock();
        let gid = |item: &Value| item["gid"].as_str().unwrap_or_default().to_owned();
        let strangers = items.iter().map(gid).filter(|gid| !entries.contains_key(gid));
        let mut faults: Vec<String> =
            strangers.map(|gid| format!("`{gid}` is listed, and nobody began it")).collect();
        for (known, entry) in &*entries {
            let rows: Vec<&Value> = items.iter().filter(|item| gid(item) == *known).collect();
            faults.extend(entry.judge_rows(&rows).map(|what| format!("{known}: {what}")));
        }
        faults
    }

    fn change(&self, gid: &str, change: impl FnOnce(&mut Entry)) {
        change(self.lock().get_mut(gid).expect("a client notes its order before it sends it"));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().expect("no thread panics with the ledger in its hand")
    }
}

/// How a transaction stands in the end.
#[derive(Clone, Copy)]
struct Known<'a> {
    status: u16,
    state: &'a str,
    decision: &'a str,
    outcome: &'a str,
    is_whole: bool,
}

impl Entry {
    /// What is wrong, if anything.
    fn judge(&self, known: &Known<'_>) -> Option<String> {
        let Known { status, state, decision, outcome, is_whole } = *known;
        if self.decisions.len() > 1 {
            return Some(format!("two decisions were told: {:?}", self.decisions));
        }
        if status == 404 {
            let lost = self.is_accepted.then(|| "was accepted and is not known".to_owned());
            return lost.or_else(|| is_whole.then(|| "happened, and is not known".to_owned()));
        }
        if state != "ended" {
            return Some(format!("has not ended: {status} `{state}`"));
        }
        if outcome != "as_decided" {
            return Some(format!("the outcome is `{outcome}`"));
        }
        if self.decisions.iter().any(|told| told != decision) {
            return Some(format!("told {:?}, decided `{decision}`", self.decisions));
        }
        match (decision, is_whole) {
            ("commit", false) => Some("was committed, and the books do not have it".into()),
            ("abort", true) => Some("was aborted, and the books have it".into()),
            _ => None,
        }
    }

    /// What is wrong with its rows in a list, if anything.
    fn judge_rows(&self, rows: &[&Value]) -> Option<String> {
        let row = match rows {
            [] if self.is_accepted => return Some("was accepted and is in no page".into()),
            [] => return None,
            [row] => row,
            [..] => return Some(format!("is listed {} times", rows.len())),
        };
        let text = |field: &str| row[field].as_str().unwrap_or("");
        let (state, decision, outcome) = (text("state"), text("decision"), text("outcome"));
        if self.is_ended && state != "ended" {
            return Some(format!("its end was told, and it is listed as `{state}`"));
        }
        if state == "ended" && outcome != "as_decided" {
            return Some(format!("is listed with the outcome `{outcome}`"));
        }
        let told = &self.decisions;
        let differs = told.iter().any(|told| told != decision);
        differs.then(|| format!("told {told:?}, listed as decided `{decision}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const GOOD: Known<'static> = Known {
        status: 200,
        state: "ended",
        decision: "commit",
        outcome: "as_decided",
        is_whole: true,
    };

    fn check(told: &[&str], known: Known<'_>, expected: &str) {
        let decisions = told.iter().map(|decision| (*decision).to_owned()).collect();
        let is_accepted = !told.is_empty();
        let entry = Entry { order: "1".into(), is_accepted, decisions, ..Entry::default() };
        let found = entry.judge(&known).unwrap_or_default();
        assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{found}");
    }

    #[test]
    fn what_is_as_told_is_good() {
        check(&["commit"], GOOD, "");
        check(&[], GOOD, "");
        check(&["abort"], Known { decision: "abort", is_whole: false, ..GOOD }, "");
        check(&[], Known { status: 404, is_whole: false, ..GOOD }, "");
    }

    #[test]
    fn what_is_not_as_told_is_found() {
        check(&["commit", "abort"], GOOD, "two decisions");
        check(&["abort"], GOOD, "told");
        check(&["commit"], Known { status: 404, is_whole: false, ..GOOD }, "is not known");
        check(&[], Known { status: 404, ..GOOD }, "happened");
        check(&["commit"], Known { state: "finishing", ..GOOD }, "has not ended");
        check(&["commit"], Known { outcome: "mixed", ..GOOD }, "outcome");
        check(&["commit"], Known { is_whole: false, ..GOOD }, "books do not have it");
        check(&[], Known { decision: "abort", ..GOOD }, "books have it");
    }

    /// What a list says, page after page, of one whose end was told, one that was accepted, and
    /// one that nobody heard of.
    fn check_list(rows: &[(&str, &str, &str, &str)], expected: &[&str]) {
        let ledger = Ledger::default();
        for id in ["ended", "accepted", "unheard"] {
            ledger.begun(&Order { id: id.into(), sku: "tea" });
        }
        ledger.accepted("order-accepted");
        ledger.told("order-ended", "commit");
        ledger.change("order-ended", |entry| entry.is_ended = true);
        let row = |(id, state, decision, outcome): &(&str, &str, &str, &str)| {
            json!({ "gid": format!("order-{id}"), "state": state, "decision": decision,
                    "outcome": outcome })
        };
        let found = ledger.list_faults(&rows.iter().map(row).collect::<Vec<Value>>());
        let as_expected = found.iter().zip(expected).all(|(fault, part)| fault.contains(part));
        assert!(as_expected && found.len() == expected.len(), "{found:?}");
    }

    #[test]
    fn a_list_shows_each_once_and_as_it_was_told() {
        const ENDED: (&str, &str, &str, &str) = ("ended", "ended", "commit", "as_decided");
        const ACCEPTED: (&str, &str, &str, &str) = ("accepted", "forward", "", "");
        const UNHEARD: (&str, &str, &str, &str) = ("unheard", "ended", "commit", "as_decided");
        check_list(&[ENDED, ACCEPTED], &[]);
        check_list(&[UNHEARD, ACCEPTED, ENDED], &[]);
        check_list(&[ENDED], &["order-accepted: was accepted and is in no page"]);
        check_list(&[ACCEPTED], &["order-ended: was accepted and is in no page"]);
        check_list(&[ENDED, ACCEPTED, ENDED], &["order-ended: is listed 2 times"]);
        check_list(&[ENDED, ACCEPTED, UNHEARD, UNHEARD], &["order-unheard: is listed 2 times"]);
        check_list(&[ENDED, ACCEPTED, ("other", "", "", "")], &["`order-other` is listed"]);
        let forward = ("ended", "forward", "commit", "");
        check_list(&[forward, ACCEPTED], &["its end was told, and it is listed as `forward`"]);
        let mixed = ("ended", "ended", "commit", "mixed");
        check_list(&[mixed, ACCEPTED], &["the outcome `mixed`"]);
        let aborted = ("ended", "ended", "abort", "as_decided");
        check_list(&[aborted, ACCEPTED], &["listed as decided `abort`"]);
    }
}
