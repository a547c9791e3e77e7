//! The plays: what calls a participant is sent in which order, and what it must answer.

use super::asking::{Came, Hand};
use wholly_core::branch::{Mode, Op};
use wholly_wire::headers::AnswerWord;

/// A call by its part in a branch's life, whatever the mode calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Try or action.
    First,
    /// Confirm; a saga has none.
    Confirm,
    /// Cancel or compensate.
    Undo,
    /// How does it stand?
    Inspect,
}

impl Part {
    /// The op in this mode.
    pub(crate) fn op(self, mode: Mode) -> Op {
        match (self, mode) {
            (Part::First, Mode::Tcc) => Op::Try,
            (Part::First, Mode::Saga) => Op::Action,
            (Part::Confirm, Mode::Tcc | Mode::Saga) => Op::Confirm,
            (Part::Undo, Mode::Tcc) => Op::Cancel,
            (Part::Undo, Mode::Saga) => Op::Compensate,
            (Part::Inspect, Mode::Tcc | Mode::Saga) => Op::Inspect,
        }
    }
}

/// How a call is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Once; again while the answer is working or unknown.
    Plain,
    /// So many copies at once, each again while working or unknown.
    AtOnce(usize),
    /// Sent, and the connection closed before any answer; then nothing is looked at.
    Abandoned,
    /// Of a transaction begun below the limit that it brings along.
    Stale,
    /// Under the same names, of a transaction begun after everything before it ended long ago.
    NextLife,
    /// Under the same names, of a transaction begun before the one that is played.
    LifeBefore,
    /// Without the mark.
    WithoutMark,
    /// Of an operation that nobody has.
    UnknownOperation,
    /// Signed in another way than the coordinator's.
    Forged(Hand),
}

/// What must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    /// Done, with the reply of every earlier done of this part if it was kept.
    Done,
    /// Refused with this code.
    Refuse(&'static str),
    /// Refused for whatever reason, or unknown: not done.
    NotDone,
    /// Neither done nor refused: who does not believe the caller says nothing.
    NoAnswer,
    /// Done, and the row is in this state.
    Stand(&'static str),
    /// Anything.
    Whatever,
}

/// One call of a play.
pub(crate) struct Step {
    pub(crate) part: Part,
    pub(crate) manner: Manner,
    pub(crate) must: Must,
}

/// What a play takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// The participant's credential.
    Credential,
}

/// Calls of one branch.
pub(crate) struct Play {
    /// What is played.
    pub(crate) name: &'static str,
    /// Why it matters.
    pub(crate) why: &'static str,
    /// Only in this mode, where it makes sense in one.
    pub(crate) only: Option<Mode>,
    /// Whether it takes a participant that believes signed calls only.
    pub(crate) needs: Needs,
    pub(crate) steps: &'static [Step],
}

const fn step(part: Part, must: Must) -> Step {
    Step { part, manner: Manner::Plain, must }
}

const fn sent(part: Part, manner: Manner, must: Must) -> Step {
    Step { part, manner, must }
}

use Manner::{
    Abandoned, AtOnce, Forged, LifeBefore, NextLife, Stale, UnknownOperation, WithoutMark,
};
use Must::{Done, NoAnswer, NotDone, Refuse, Stand, Whatever};
use Part::{Confirm, First, Inspect, Undo};

/// Every play ends with the branch undone, but for those that confirm.
pub(crate) const PLAYS: &[Play] = &[
    Play {
        name: "done and undone",
        why: "the plain path",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(Inspect, Stand("none")),
            step(First, Done),
            step(Inspect, Stand("tried")),
            step(Undo, Done),
            step(Inspect, Stand("cancelled")),
        ],
    },
    Play {
        name: "duplicates",
        why: "the network repeats calls; each may take effect once",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            step(First, Done),
            step(First, Done),
            step(Undo, Done),
            step(Undo, Done),
        ],
    },
    Play {
        name: "copies at once",
        why: "a repeated call may overtake the first one",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            sent(First, AtOnce(8), Done),
            step(Inspect, Stand("tried")),
            sent(Undo, AtOnce(8), Done),
            step(Inspect, Stand("cancelled")),
        ],
    },
    Play {
        name: "undo first",
        why: "a cancel may arrive before its try: it has no effect, and the try is refused then",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(Undo, Done),
            step(Inspect, Stand("null_cancelled")),
            step(First, Refuse("hanging")),
            step(Undo, Done),
            step(First, Refuse("hanging")),
        ],
    },
    Play {
        name: "late copy",
        why: "a copy of the first call may arrive after everything was undone",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            step(Undo, Done),
            step(First, Refuse("hanging")),
            step(Inspect, Stand("cancelled")),
        ],
    },
    Play {
        name: "confirmed",
        why: "what is confirmed stays so, whatever comes late; this leaves its effect behind",
        only: Some(Mode::Tcc),
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            step(Confirm, Done),
            step(Confirm, Done),
            step(First, Done),
            step(Undo, Refuse("illegal_order")),
            step(Inspect, Stand("confirmed")),
        ],
    },
    Play {
        name: "confirm without try",
        why: "no order of ours can have sent it: something is wrong, and a person must look",
        only: Some(Mode::Tcc),
        needs: Needs::Nothing,
        steps: &[
            step(Confirm, Refuse("illegal_order")),
            step(Undo, Done),
            step(Confirm, Refuse("illegal_order")),
        ],
    },
    Play {
        name: "caller gone",
        why: "a broken connection does not take back what was begun, or takes it back whole",
        only: None,
        needs: Needs::Nothing,
        steps: &[sent(First, Abandoned, Whatever), step(First, Done), step(Undo, Done)],
    },
    Play {
        name: "stale",
        why: "a call of a transaction that ended long ago has no effect",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            sent(First, Stale, Refuse("stale")),
            sent(Undo, Stale, Refuse("stale")),
            sent(Inspect, Stale, NotDone),
        ],
    },
    Play {
        name: "names used again",
        why: "after the retention time a gid is free again, and meets no old row",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            step(Undo, Done),
            sent(First, NextLife, Done),
            sent(Undo, NextLife, Done),
        ],
    },
    Play {
        name: "an earlier use of the names",
        why: "a late call of a gid's first use has no part in what the second one does",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            sent(First, LifeBefore, Refuse("stale")),
            sent(Undo, LifeBefore, Refuse("stale")),
            sent(Inspect, LifeBefore, NotDone),
            step(Inspect, Stand("tried")),
            step(Undo, Done),
            sent(First, LifeBefore, Refuse("stale")),
            sent(Undo, LifeBefore, Refuse("stale")),
            step(Inspect, Stand("cancelled")),
        ],
    },
    Play {
        name: "an earlier confirm",
        why: "a late confirm of a gid's first use does not confirm what the second one tried",
        only: Some(Mode::Tcc),
        needs: Needs::Nothing,
        steps: &[
            step(First, Done),
            sent(Confirm, LifeBefore, Refuse("stale")),
            step(Inspect, Stand("tried")),
            step(Undo, Done),
            sent(Confirm, LifeBefore, Refuse("stale")),
        ],
    },
    Play {
        name: "without a mark",
        why: "a call that does not say when its transaction began cannot be told from an old one",
        only: None,
        needs: Needs::Nothing,
        steps: &[sent(First, WithoutMark, NotDone), step(Inspect, Stand("none"))],
    },
    Play {
        name: "unknown operation",
        why: "a first call of it is refused; anything else may concern another release",
        only: None,
        needs: Needs::Nothing,
        steps: &[
            sent(First, UnknownOperation, Refuse("operation_unknown")),
            sent(Undo, UnknownOperation, NotDone),
        ],
    },
    Play {
        name: "forged",
        why: "a call that the coordinator did not sign, or not so, has no effect and no answer",
        only: None,
        needs: Needs::Credential,
        steps: &[
            sent(First, Forged(Hand::Unsigned), NoAnswer),
            sent(First, Forged(Hand::Stranger), NoAnswer),
            sent(First, Forged(Hand::Elsewhere), NoAnswer),
            sent(First, Forged(Hand::Expired), NoAnswer),
            sent(First, Forged(Hand::Early), NoAnswer),
            sent(First, Forged(Hand::OtherOp), NoAnswer),
            sent(First, Forged(Hand::OtherGid), NoAnswer),
            sent(First, Forged(Hand::OtherBody), NoAnswer),
            step(Inspect, Stand("none")),
            step(First, Done),
            sent(Undo, Forged(Hand::Unsigned), NoAnswer),
            sent(Undo, Forged(Hand::OtherOp), NoAnswer),
            sent(Inspect, Forged(Hand::Unsigned), NoAnswer),
            step(Inspect, Stand("tried")),
            step(Undo, Done),
        ],
    },
];

impl Must {
    /// What is wrong with what came, if anything.
    pub(crate) fn judge(self, came: &Came) -> Result<(), String> {
        let right = match self {
            Must::Whatever => true,
            Must::Done => came.word == Some(AnswerWord::Done),
            Must::NotDone => came.word != Some(AnswerWord::Done),
            Must::NoAnswer => came.word.is_none(),
            Must::Refuse(code) => {
                came.word == Some(AnswerWord::Refused) && came.text("code") == Some(code)
            }
            Must::Stand(state) => {
                came.word == Some(AnswerWord::Done) && came.text("state") == Some(state)
            }
        };
        match right {
            true => Ok(()),
            false => Err(format!("expected {}, came {}", self.words(), came.words())),
        }
    }

    fn words(self) -> String {
        match self {
            Must::Whatever => "anything".into(),
            Must::Done => "done".into(),
            Must::NotDone => "refused or no answer".into(),
            Must::NoAnswer => "no answer".into(),
            Must::Refuse(code) => format!("refused {code}"),
            Must::Stand(state) => format!("done with state {state}"),
        }
    }
}
