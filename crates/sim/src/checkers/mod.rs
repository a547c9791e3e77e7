//! Checkers: one file per promise. Each judges evidence as it comes, against the model.

mod admission;
mod atomic;
mod capability;
mod deadlines;
mod decided_once;
mod durable;
mod ends;
mod linear;
mod mark;
mod once;
mod one_answer;
mod operated;
mod recovery;
mod restored;
mod turn;
mod unknown_is_neither;

use crate::evidence::Evidence;
use crate::model::Ledger;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// How.
    pub what: String,
}

/// What a checker says.
type Judgement = Result<(), String>;

/// A checker by the name of its promise.
type Checker = (&'static str, fn(&Ledger, &Evidence<'_>) -> Judgement);

const CHECKERS: &[Checker] = &[
    ("no effect before it is durable", durable::judge),
    ("decided once", decided_once::judge),
    ("one answer", one_answer::judge),
    ("one register", linear::judge),
    ("nobody without the capability", capability::judge),
    ("recovery is the same", recovery::judge),
    ("deadlines", deadlines::judge),
    ("once", once::judge),
    ("unknown is neither", unknown_is_neither::judge),
    ("the turn", turn::judge),
    ("the mark", mark::judge),
    ("evidence decides", restored::judge),
    ("atomic", atomic::judge),
    ("bounded", admission::judge),
    ("operators are heard", operated::judge),
    ("it ends", ends::judge),
];

/// The model and all checkers.
#[derive(Debug, Default)]
pub struct Court {
    /// What is known.
    pub ledger: Ledger,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
}

impl Court {
    /// Judges evidence, then learns from it.
    pub fn hear(&mut self, evidence: &Evidence<'_>) {
        self.weigh(evidence);
        if self.violation.is_none() {
            self.ledger.learn(evidence);
        }
    }

    /// Judges what might be, and learns nothing from it.
    pub fn weigh(&mut self, evidence: &Evidence<'_>) {
        if self.violation.is_some() {
            return;
        }
        for (promise, judge) in CHECKERS {
            if let Err(what) = judge(&self.ledger, evidence) {
                self.violation = Some(Violation { promise, what });
                return;
            }
        }
    }

    /// The workload of the transaction that the violation names.
    pub fn workload(&self) -> &'static str {
        let Some(violation) = &self.violation else { return "none" };
        let mut words = violation.what.split(|c: char| !c.is_ascii_alphanumeric());
        let case = words.find_map(|word| {
            self.ledger.cases.iter().find(|(gid, _)| gid.as_str() == word).map(|(_, case)| case)
        });
        let branch = case.and_then(|case| case.order.first());
        let wanted = branch.and_then(|(_, _, payload)| self.ledger.wanted(payload));
        wanted.map_or("unknown", |(intent, _)| intent.workload)
    }

    /// Something happened that breaks a promise by itself.
    pub fn refuse(&mut self, promise: &'static str, what: String) {
        self.violation.get_or_insert(Violation { promise, what });
    }
}
