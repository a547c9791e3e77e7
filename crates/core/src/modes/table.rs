//! Every state against every input, in each mode: the whole table stands in `table.txt`, and a
//! missing or differing row fails.

use super::scenarios::{branch, fact, row_seen, step};
use crate::branch::{Answer, Kept, Op, Refusal, Resolution};
use crate::ids::{Body, BranchIndex, Digest, Text};
use crate::limits::Limits;
use crate::plan::{self, PlanLimits};
use crate::record::{Begun, Cause, Fact, Record, Start};
use crate::time::Timestamp;
use crate::transaction::{Event, Touched, Transaction};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// A mode's states: a name, and the inputs that lead there.
const OPEN: [(&str, &str); 16] = [
    ("registered", ""),
    ("done", "first:done"),
    ("refused", "first:refused"),
    ("refused-kept", "first:refused-kept"),
    ("committing", "first:done commit:tried"),
    ("committing-stuck", "first:done commit:tried second:refused"),
    ("committing-out", "first:refused commit:refused"),
    ("aborting", "first:done abort"),
    ("aborting-stuck", "first:done abort second:refused"),
    ("committed", "first:done commit:tried second:done"),
    ("aborted", "first:done abort second:done"),
    ("mixed", "first:done abort second:refused resolve"),
    ("restored", "restore"),
    ("restored-done", "first:done restore"),
    ("restored-tried", "restore row:tried"),
    ("restored-stale", "restore row:stale"),
];

const PLAN: [(&str, &str); 12] = [
    ("forward", ""),
    ("parked", "park"),
    ("forward-only", "first:done"),
    ("forward-only-stuck", "first:done last:refused"),
    ("turning", "abort"),
    ("turning-stuck", "abort second:refused"),
    ("turned", "abort second:done"),
    ("committed", "first:done last:done"),
    ("mixed", "abort second:refused resolve"),
    ("restored", "restore"),
    ("restored-tried", "restore row:tried"),
    ("restored-parked", "restore row:tried row:none"),
];

const INPUTS: [&str; 33] = [
    "register:new",
    "register:same",
    "register:other",
    "commit:tried",
    "commit:refused",
    "commit:silent",
    "commit:both",
    "commit:stranger",
    "abort",
    "deadline",
    "operator-abort",
    "first:done",
    "first:refused",
    "first:refused-kept",
    "first:working",
    "first:unknown",
    "second:done",
    "second:refused",
    "second:unknown",
    "last:done",
    "last:refused",
    "retry",
    "park",
    "resolve",
    "resolve:unknown",
    "operator-commit",
    "row:none",
    "row:stale",
    "row:tried",
    "row:confirmed",
    "row:cancelled",
    "row:null_cancelled",
    "row:refused",
];

/// One transaction under test: `a` is its branch, `z` the forward-only step of a plan.
struct Case {
    transaction: Transaction,
    mode: &'static str,
}

impl Case {
    fn new(mode: &'static str) -> Case {
        let deadline = Timestamp(60_000);
        let start = match mode {
            "plan" => Start::Plan {
                deadline: Some(deadline),
                digest: Digest([0; 32]),
                steps: plan::check(
                    &[step("a"), step("z<a!")],
                    PlanLimits { steps_max: 9, reads_max: 9, payload_bytes_max: 9 },
                )
                .unwrap(),
            },
            _ => {
                Start::Open { deadline, key: None, branches: [branch(&format!("a:{mode}"))].into() }
            }
        };
        let begun = Begun {
            gid: "g".parse().unwrap(),
            name: "test".parse().unwrap(),
            begun: Timestamp(1),
            principal: "tester".parse().unwrap(),
            start,
        };
        let record = Record { at: Timestamp(1), fact: Fact::Begun(begun) };
        Case { transaction: Transaction::begin(&record), mode }
    }

    /// The ops of `a` and `z`.
    fn op(&self, which: &str) -> (BranchIndex, Op) {
        let committing = self
            .transaction
            .verdict()
            .is_some_and(|verdict| verdict.decision == crate::record::Decision::Commit);
        let out = self.transaction.branches[0].share == crate::branch::Share::Out;
        match (self.mode, which) {
            (_, "last") if self.transaction.branches.len() > 1 => (BranchIndex(1), Op::Action),
            ("tcc", "first" | "last") => (BranchIndex(0), Op::Try),
            ("tcc", _) if committing && !out => (BranchIndex(0), Op::Confirm),
            ("tcc", _) => (BranchIndex(0), Op::Cancel),
            (_, "first" | "last") => (BranchIndex(0), Op::Action),
            _ => (BranchIndex(0), Op::Compensate),
        }
    }

    /// What an input leads to: facts, nothing, or a rejection.
    fn input(&mut self, input: &str) -> String {
        let (verb, how) = input.split_once(':').unwrap_or((input, ""));
        if verb == "restore" {
            return self.fold(Fact::Restored);
        }
        let row = (verb == "row").then(|| row_seen(how));
        let limits = Limits::default();
        let touched = |_| true;
        let by = "operator".parse().unwrap();
        let (a, stranger) = (["a".parse().unwrap()], ["x".parse().unwrap()]);
        let reason = Text::default();
        let spec = match (how, self.mode) {
            ("same", "tcc" | "saga") => branch(&format!("a:{}", self.mode)),
            ("same", _) => self.transaction.branches[0].spec.clone(),
            ("other", _) => branch("a:tcc::different"),
            _ => branch("b:tcc"),
        };
        let (index, op) = self.op(verb);
        let answer = answer(how);
        let event = match verb {
            "row" => Event::Inspected {
                branch: self.transaction.due().first().map_or(index, |(index, _)| *index),
                row: row.as_ref().expect("a row was named"),
            },
            "operator-commit" => Event::Account { reason: &reason },
            "register" => Event::Register(&spec),
            "commit" => Event::Commit {
                tried: match how {
                    "tried" | "both" => &a,
                    "stranger" => &stranger,
                    _ => &[],
                },
                refused: match how {
                    "refused" | "both" => &a,
                    _ => &[],
                },
            },
            "abort" => Event::Abort { cause: Cause::Initiator, reason: &reason, branch: None },
            "deadline" => Event::Abort { cause: Cause::Deadline, reason: &reason, branch: None },
            "operator-abort" => {
                Event::Abort { cause: Cause::Operator, reason: &reason, branch: None }
            }
            "retry" => Event::Retry { branch: None, by: &by, reason: &reason },
            "park" => Event::Park { by: &by, reason: &reason },
            "resolve" => Event::Resolve {
                branch: &a[0],
                resolution: match how {
                    "unknown" => Resolution::Unknown,
                    _ => Resolution::Applied,
                },
                by: &by,
                reason: &reason,
            },
            _ => Event::Answered { branch: index, op, answer: &answer, attempts: 1 },
        };
        match self.transaction.decide(event, &limits, Touched(&touched)) {
            Ok(None) => "nothing".into(),
            Err(rejection) => format!("rejected {}", rejection.code()),
            Ok(Some(fact)) => self.fold(fact),
        }
    }

    fn fold(&mut self, first: Fact) -> String {
        let touched = |_| true;
        let mut facts: Vec<String> = Vec::new();
        let mut next = Some(first);
        while let Some(found) = next {
            let record = Record { at: Timestamp(2), fact: found };
            facts.push(fact(&record));
            self.transaction.apply(&record);
            next = self.transaction.follow(Touched(&touched));
        }
        facts.join(" + ")
    }
}

fn answer(how: &str) -> Answer {
    let refusal = |kept| {
        Answer::Refused(Refusal { code: "no".parse().unwrap(), detail: Text::default(), kept })
    };
    match how {
        "done" => Answer::Done { reply: Body::default(), kept: Kept::Kept },
        "refused" => refusal(Kept::NotKept),
        "refused-kept" => refusal(Kept::Kept),
        "working" => Answer::Working,
        _ => Answer::Unknown { detail: Text::default() },
    }
}

#[test]
fn every_state_and_input_of_every_mode_has_its_row() {
    let mut table = String::new();
    let modes: [(&str, &[(&str, &str)]); 3] = [("tcc", &OPEN), ("saga", &OPEN), ("plan", &PLAN)];
    for (mode, states) in modes {
        for (state, way) in states {
            for input in INPUTS {
                let mut case = Case::new(mode);
                for earlier in way.split_whitespace() {
                    case.input(earlier);
                }
                let result = case.input(input);
                table += &format!("{mode:5} {state:18} {input:18} {result}\n");
            }
        }
    }
    assert!(table == include_str!("table.txt"), "the table differs; it is:\n{table}");
}
