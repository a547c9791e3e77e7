//! The barrier: one row per branch in the participant's own database, which lets each operation
//! take effect at most once, in whatever order and however often its calls arrive.
//!
//! [`State::meet`] is the table of rules, [`Row::meet`] what a call finds in a row that may be of
//! another use of its gid; [`Barrier`] is a whole table of rows in memory, which is what a
//! participant's SQL must equal.

use crate::branch::{Answer, Kept, Op, Refusal};
use crate::effect::Mark;
use crate::ids::{Body, BranchId, Code, Gid, Origin, Text};
use crate::time::Timestamp;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// What a branch's row says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row {
    /// How the branch stands here.
    pub state: State,
    /// The coordinator's log that the transaction was begun in.
    pub origin: Origin,
    /// When it was begun, on that log's clock.
    pub begun: Timestamp,
}

/// How a branch stands at its participant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// The try or action took effect.
    Tried {
        /// What it replied.
        reply: Body,
    },
    /// It was confirmed.
    Confirmed {
        /// What the try had replied.
        reply: Body,
    },
    /// It was cancelled or compensated.
    Cancelled {
        /// What the try or action had replied.
        reply: Body,
    },
    /// A cancel or compensate came first: nothing took effect, and nothing will.
    NullCancelled,
    /// The business refused.
    Refused {
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        detail: Text,
    },
}

/// What an arriving call is to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Do the work of a try or action; its reply is kept in the same local transaction.
    Run,
    /// Do the work of a confirm, cancel or compensate.
    Follow {
        /// What the try or action had replied.
        reply: Body,
        /// The row as it stands once the work is done.
        next: State,
    },
    /// Nothing is there to undo: remember that, so that a late try is refused. Answer done.
    Remember,
    /// Do nothing and answer so.
    Answer(Answer),
    /// Do nothing and say how it stands.
    Inspected(Inspection),
}

/// How a branch stands, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Inspection {
    /// No row, or one so old that it counts as absent.
    None,
    /// As the row says.
    Found(State),
}

impl Row {
    /// The rules: what a call with this mark is to do that meets this row. A row begun after the
    /// call, by the clock of the same log, is of a later use of the gid, and none of the call's
    /// business: it may have waited for the row's lock, with a limit that it had read before.
    pub fn meet(&self, op: Op, mark: &Mark) -> Verdict {
        match self.origin == mark.origin && mark.begun < self.begun {
            true => Verdict::Answer(stale()),
            false => self.state.meet(op),
        }
    }
}

impl State {
    /// The number that stands for it in a database.
    pub fn code(&self) -> i16 {
        match self {
            State::Tried { .. } => 1,
            State::Confirmed { .. } => 2,
            State::Cancelled { .. } => 3,
            State::NullCancelled => 4,
            State::Refused { .. } => 5,
        }
    }

    /// The word an inspection answers with.
    pub fn word(&self) -> &'static str {
        match self {
            State::Tried { .. } => "tried",
            State::Confirmed { .. } => "confirmed",
            State::Cancelled { .. } => "cancelled",
            State::NullCancelled => "null_cancelled",
            State::Refused { .. } => "refused",
        }
    }

    /// The rules: what a call is to do that meets this state.
    pub fn meet(&self, op: Op) -> Verdict {
        match op {
            Op::Try | Op::Action => Verdict::Answer(match self {
                State::Tried { reply } | State::Confirmed { reply } => done(reply.clone()),
                State::Cancelled { .. } | State::NullCancelled => hanging(),
                State::Refused { code, detail } => refused(code.clone(), detail.clone()),
            }),
            Op::Confirm => match self {
                State::Tried { reply } => Verdict::Follow {
                    reply: reply.clone(),
                    next: State::Confirmed { reply: reply.clone() },
                },
                State::Confirmed { .. } => Verdict::Answer(done(Body::default())),
                State::Cancelled { .. } | State::NullCancelled | State::Refused { .. } => {
                    Verdict::Answer(illegal_order(op, self.word()))
                }
            },
            Op::Cancel | Op::Compensate => match self {
                State::Tried { reply } => Verdict::Follow {
                    reply: reply.clone(),
                    next: State::Cancelled { reply: reply.clone() },
                },
                State::Confirmed { .. } => Verdict::Answer(illegal_order(op, self.word())),
                State::Cancelled { .. } | State::NullCancelled | State::Refused { .. } => {
                    Verdict::Answer(done(Body::default()))
                }
            },
            Op::Inspect => Verdict::Inspected(Inspection::Found(self.clone())),
        }
    }
}

/// The rules for a call that meets no row.
pub fn meet_none(op: Op) -> Verdict {
    match op {
        Op::Try | Op::Action => Verdict::Run,
        Op::Confirm => Verdict::Answer(illegal_order(op, "not tried")),
        Op::Cancel | Op::Compensate => Verdict::Remember,
        Op::Inspect => Verdict::Inspected(Inspection::None),
    }
}

/// Done, and the same will be said again.
pub fn done(reply: Body) -> Answer {
    Answer::Done { reply, kept: Kept::Kept }
}

/// A refusal of the business, which its row keeps.
pub fn refused(code: Code, detail: Text) -> Answer {
    Answer::Refused(Refusal { code, detail, kept: Kept::Kept })
}

/// The answer to a try that comes after its cancel. Its row stays, so it is kept.
pub fn hanging() -> Answer {
    let detail = "it was cancelled before; this call came too late and had no effect";
    refused(code("hanging"), Text::cut(detail))
}

/// The answer to a call that no order of ours can have sent. Nothing keeps it.
pub fn illegal_order(op: Op, state: &str) -> Answer {
    let detail = alloc::format!("{op:?} cannot follow: the branch is {state}").to_lowercase();
    Answer::Refused(Refusal {
        code: code("illegal_order"),
        detail: Text::cut(&detail),
        kept: Kept::NotKept,
    })
}

/// The answer to a call of a transaction that ended longer ago than anything is kept, or whose gid
/// a later one has been given since.
pub fn stale() -> Answer {
    let detail = "its transaction ended before what is remembered here began";
    Answer::Refused(Refusal { code: code("stale"), detail: Text::cut(detail), kept: Kept::NotKept })
}

fn code(text: &str) -> Code {
    Code::new(text).expect("codes of ours are names")
}

/// A participant's rows and, per coordinator's log, the highest limit it has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Barrier {
    rows: BTreeMap<(Gid, BranchId), Row>,
    limits: BTreeMap<Origin, Timestamp>,
}

impl Barrier {
    /// What an arriving call is to do. Raises the limit, and remembers a null compensation;
    /// otherwise changes nothing: what came of the work is told by [`keep`](Self::keep),
    /// [`follow`](Self::follow) or [`refuse`](Self::refuse).
    pub fn meet(&mut self, gid: &Gid, branch: &BranchId, op: Op, mark: &Mark) -> Verdict {
        let limit = self.limit(&mark.origin).max(mark.limit);
        if op != Op::Inspect {
            self.limits.insert(mark.origin.clone(), limit);
        }
        if mark.begun < limit {
            return Verdict::Answer(stale());
        }
        let verdict = match self.row(gid, branch, mark) {
            Some(row) => row.meet(op, mark),
            None => meet_none(op),
        };
        if verdict == Verdict::Remember {
            self.put(gid, branch, mark, State::NullCancelled);
        }
        verdict
    }

    /// The work of a try or action was done, in one local transaction with the `meet` that said
    /// run.
    pub fn keep(&mut self, gid: &Gid, branch: &BranchId, mark: &Mark, reply: Body) -> Answer {
        self.put(gid, branch, mark, State::Tried { reply: reply.clone() });
        done(reply)
    }

    /// The work of a confirm, cancel or compensate was done, in one local transaction with the
    /// `meet` that said follow.
    pub fn follow(&mut self, gid: &Gid, branch: &BranchId, next: State) -> Answer {
        if let Some(row) = self.rows.get_mut(&(gid.clone(), branch.clone())) {
            row.state = next;
        }
        done(Body::default())
    }

    /// The business refused a try or action, and its local transaction was rolled back. This is
    /// a transaction of its own: whatever came between rules.
    pub fn refuse(
        &mut self,
        gid: &Gid,
        branch: &BranchId,
        mark: &Mark,
        (code, detail): (Code, Text),
    ) -> Answer {
        match self.meet(gid, branch, Op::Try, mark) {
            Verdict::Run => {
                let state = State::Refused { code: code.clone(), detail: detail.clone() };
                self.put(gid, branch, mark, state);
                refused(code, detail)
            }
            Verdict::Answer(answer) => answer,
            Verdict::Follow { .. } | Verdict::Remember | Verdict::Inspected(_) => {
                unreachable!("a try is run or answered")
            }
        }
    }

    /// Drops rows below their limit, at most so many; says how many it was.
    pub fn clear(&mut self, rows_max: usize) -> usize {
        let old = |row: &Row| row.begun < self.limit(&row.origin);
        let keys = self.rows.iter().filter(|(_, row)| old(row)).map(|(key, _)| key.clone());
        let keys: Vec<_> = keys.take(rows_max).collect();
        for key in &keys {
            self.rows.remove(key);
        }
        keys.len()
    }

    /// The row of a branch as a call with this mark sees it: one below its limit is absent.
    pub fn row(&self, gid: &Gid, branch: &BranchId, mark: &Mark) -> Option<&Row> {
        let row = self.rows.get(&(gid.clone(), branch.clone()))?;
        let stored = self.limit(&row.origin);
        let limit = if row.origin == mark.origin { stored.max(mark.limit) } else { stored };
        (row.begun >= limit).then_some(row)
    }

    /// The highest limit seen of a coordinator's log.
    pub fn limit(&self, origin: &Origin) -> Timestamp {
        self.limits.get(origin).copied().unwrap_or_default()
    }

    /// How many rows there are, those below their limit included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn put(&mut self, gid: &Gid, branch: &BranchId, mark: &Mark, state: State) {
        let row = Row { state, origin: mark.origin.clone(), begun: mark.begun };
        self.rows.insert((gid.clone(), branch.clone()), row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    fn gid() -> (Gid, BranchId) {
        (Gid::new("g").unwrap(), BranchId::new("stock").unwrap())
    }

    fn mark(origin: &str, begun: u64, limit: u64) -> Mark {
        Mark {
            origin: Origin::new(origin).unwrap(),
            begun: Timestamp(begun),
            limit: Timestamp(limit),
        }
    }

    fn op(word: &str) -> Op {
        match word {
            "try" | "refusing" => Op::Try,
            "action" => Op::Action,
            "confirm" => Op::Confirm,
            "cancel" => Op::Cancel,
            "compensate" => Op::Compensate,
            "inspect" => Op::Inspect,
            other => panic!("no op {other}"),
        }
    }

    /// One call from arrival to answer: how it ran, in a word.
    fn call(barrier: &mut Barrier, word: &str, mark: &Mark) -> String {
        let (gid, branch) = gid();
        match barrier.meet(&gid, &branch, op(word), mark) {
            Verdict::Run if word == "refusing" => {
                let why = (Code::new("out_of_stock").unwrap(), Text::cut("none left"));
                barrier.refuse(&gid, &branch, mark, why);
                "refuse".into()
            }
            Verdict::Run => {
                barrier.keep(&gid, &branch, mark, Body::new(b"7"));
                "run".into()
            }
            Verdict::Follow { reply, next } => {
                assert_eq!(reply.as_bytes(), b"7");
                barrier.follow(&gid, &branch, next);
                "run".into()
            }
            Verdict::Remember => "null".into(),
            Verdict::Answer(Answer::Done { reply, kept: Kept::Kept }) => match reply.as_bytes() {
                b"" => "done".into(),
                b"7" => "kept".into(),
                other => panic!("replied {other:?}"),
            },
            Verdict::Answer(Answer::Refused(refusal)) => {
                let kept = matches!(refusal.code.as_str(), "hanging" | "out_of_stock");
                assert_eq!(refusal.kept, if kept { Kept::Kept } else { Kept::NotKept });
                refusal.code.to_string()
            }
            Verdict::Answer(other) => panic!("answered {other:?}"),
            Verdict::Inspected(Inspection::None) => "none".into(),
            Verdict::Inspected(Inspection::Found(state)) => state.word().into(),
        }
    }

    fn check(calls: &[&str], expected: &[&str]) {
        let mut barrier = Barrier::default();
        let came: Vec<_> =
            calls.iter().map(|word| call(&mut barrier, word, &mark("a", 100, 0))).collect();
        assert_eq!(came, expected, "{calls:?}");
    }

    #[test]
    fn every_op_meets_every_state() {
        let none: &[&str] = &[];
        let rows = [
            // stored by      try            confirm          cancel           inspect
            (none, ["run", "illegal_order", "null", "none"]),
            (&["try"], ["kept", "run", "run", "tried"]),
            (&["try", "confirm"], ["kept", "done", "illegal_order", "confirmed"]),
            (&["try", "cancel"], ["hanging", "illegal_order", "done", "cancelled"]),
            (&["cancel"], ["hanging", "illegal_order", "done", "null_cancelled"]),
            (&["refusing"], ["out_of_stock", "illegal_order", "done", "refused"]),
        ];
        let words = [
            ["try", "confirm", "cancel", "inspect"],
            ["action", "confirm", "compensate", "inspect"],
        ];
        for ((before, expected), words) in rows.iter().flat_map(|row| words.map(|w| (*row, w))) {
            for (arriving, expected) in words.into_iter().zip(expected) {
                let mut barrier = Barrier::default();
                for word in before {
                    call(&mut barrier, word, &mark("a", 100, 0));
                }
                let came = call(&mut barrier, arriving, &mark("a", 100, 0));
                assert_eq!(came, expected, "{arriving} after {before:?}");
            }
        }
    }

    #[test]
    fn duplicates_and_orders() {
        check(&["try", "try", "confirm", "confirm"], &["run", "kept", "run", "done"]);
        check(&["cancel", "try", "cancel", "try"], &["null", "hanging", "done", "hanging"]);
        check(&["try", "cancel", "confirm"], &["run", "run", "illegal_order"]);
        check(&["try", "confirm", "cancel"], &["run", "run", "illegal_order"]);
        check(&["confirm", "try"], &["illegal_order", "run"]);
        check(
            &["refusing", "try", "cancel", "try"],
            &["refuse", "out_of_stock", "done", "out_of_stock"],
        );
    }

    #[test]
    fn what_came_between_a_refusal_and_its_row_rules() {
        let why = || (Code::new("out_of_stock").unwrap(), Text::cut("none left"));
        let ((gid, branch), mark) = (gid(), mark("a", 100, 0));
        let between = |word: &str| {
            let mut barrier = Barrier::default();
            call(&mut barrier, word, &mark);
            barrier.refuse(&gid, &branch, &mark, why())
        };
        assert_eq!(between("try"), done(Body::new(b"7")));
        assert_eq!(between("cancel"), hanging());
        assert_eq!(between("confirm"), refused(why().0, why().1));
    }

    #[test]
    fn a_row_below_the_limit_is_absent_and_a_call_below_it_is_stale() {
        let mut barrier = Barrier::default();
        assert_eq!(call(&mut barrier, "try", &mark("a", 100, 0)), "run");
        assert_eq!(call(&mut barrier, "try", &mark("a", 200, 100)), "kept", "100 is not below");
        assert_eq!(call(&mut barrier, "inspect", &mark("a", 200, 101)), "none");
        assert_eq!(call(&mut barrier, "inspect", &mark("a", 100, 0)), "tried", "no effect");
        assert_eq!(call(&mut barrier, "try", &mark("a", 200, 101)), "run", "used again");
        assert_eq!(call(&mut barrier, "cancel", &mark("a", 100, 0)), "stale");
        assert_eq!(call(&mut barrier, "inspect", &mark("a", 200, 0)), "tried");
    }

    #[test]
    fn a_call_begun_before_its_row_is_stale_and_one_begun_after_it_follows() {
        let words = ["try", "action", "confirm", "cancel", "compensate", "refusing", "inspect"];
        let rows: [&[&str]; 5] =
            [&["try"], &["try", "confirm"], &["try", "cancel"], &["cancel"], &["refusing"]];
        for (before, late) in rows.iter().flat_map(|row| words.map(|late| (row, late))) {
            let mut barrier = Barrier::default();
            for word in *before {
                call(&mut barrier, word, &mark("a", 100, 0));
            }
            let left = barrier.clone();
            assert_eq!(call(&mut barrier, late, &mark("a", 99, 0)), "stale", "{late} {before:?}");
            assert_eq!(barrier, left, "{late} after {before:?} has no effect");
            let met = call(&mut barrier.clone(), late, &mark("a", 100, 0));
            assert_eq!(call(&mut barrier.clone(), late, &mark("b", 99, 0)), met, "another clock");
            assert_eq!(call(&mut barrier, late, &mark("a", 101, 0)), met, "as after a restore");
        }
    }

    #[test]
    fn each_origin_has_a_limit_of_its_own() {
        let mut barrier = Barrier::default();
        call(&mut barrier, "try", &mark("a", 100, 0));
        assert_eq!(call(&mut barrier, "try", &mark("b", 900, 800)), "kept");
        assert_eq!(barrier.clear(10), 0);
        call(&mut barrier, "confirm", &mark("a", 500, 101));
        assert_eq!((barrier.clear(10), barrier.len()), (1, 0));
        assert_eq!(call(&mut barrier, "try", &mark("a", 100, 0)), "stale");
    }

    #[test]
    fn clears_no_more_than_asked() {
        let mut barrier = Barrier::default();
        for n in 0..5 {
            let branch = BranchId::new(&n.to_string()).unwrap();
            barrier.meet(&gid().0, &branch, Op::Cancel, &mark("a", 100, 0));
        }
        call(&mut barrier, "cancel", &mark("a", 300, 200));
        assert_eq!((barrier.clear(3), barrier.clear(3), barrier.clear(3)), (3, 2, 0));
        assert_eq!(barrier.len(), 1);
    }
}
