//! Participant: a service with a barrier and books of its own, which one local transaction changes
//! together; what is in hand is lost when it dies.

use crate::agenda::Event;
use crate::answers::unknown;
use crate::cells::Struck;
use crate::evidence::{Closed, Evidence, Rows, Took};
use crate::mutants::{self, Mutant};
use crate::network::Letter;
use crate::row;
use crate::tally::{Fault, Sight};
use crate::trace::number_of;
use crate::world::Stage;
use std::rc::Rc;
use wholly_core::barrier::{Barrier, Verdict, done, refused};
use wholly_core::branch::{Answer, Direction, Kept, Op, Refusal};
use wholly_core::effect::Mark;
use wholly_core::ids::{Body, Code, Origin, Text};
use wholly_core::time::Timestamp;

/// Whether a participant gives the same answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// It does, as the SDK does, and says so.
    Replies,
    /// Each reply is made anew, and it does not claim otherwise.
    Nothing,
}

/// A service.
#[derive(Debug)]
pub struct Participant {
    number: usize,
    keeps: Keeps,
    barrier: Barrier,
    /// Of its process and of its connections to its database: work of another one is lost.
    life: Life,
    up: bool,
    /// It stands still.
    paused_until_us: u64,
    /// It has no room.
    full_until_us: u64,
    /// It has no connection to its database.
    pool_gone_until_us: u64,
}

/// Which life of a process, and which of its database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    process: u32,
    database: u32,
}

/// What goes on inside a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The local transaction of a call commits.
    Commit,
    /// The same, of a call that was already told to come again.
    CommitUnheard,
    /// A refusal is written into its row, after its local transaction was rolled back.
    KeepRefusal,
    /// A row is written after its effect, which is a bug.
    LateRow,
    /// What was tried is cancelled without being told to, which is a bug.
    GiveUp,
}

impl Participant {
    /// A service with empty books.
    pub fn new(number: usize, keeps: Keeps) -> Self {
        Participant {
            number,
            keeps,
            barrier: Barrier::default(),
            life: Life::default(),
            up: true,
            paused_until_us: 0,
            full_until_us: 0,
            pool_gone_until_us: 0,
        }
    }

    /// Its process dies, with everything in hand.
    pub fn crash(&mut self) {
        self.life.process += 1;
        self.up = false;
        self.paused_until_us = 0;
    }

    /// It stands still until then.
    pub fn pause(&mut self, until_us: u64) {
        self.paused_until_us = until_us;
    }

    /// Until when it stands still.
    pub fn paused_until_us(&self) -> u64 {
        self.paused_until_us
    }

    /// It has no room for any call until then.
    pub fn fill(&mut self, until_us: u64) {
        self.full_until_us = until_us;
    }

    /// Its database is started again: transactions in hand are gone, and until then so are
    /// connections; rows stay.
    pub fn restart_database(&mut self, until_us: u64) {
        self.life.database += 1;
        self.pool_gone_until_us = until_us;
    }

    /// Nothing is wrong with it from here on; what was lost stays lost.
    pub fn heal(&mut self) {
        (self.paused_until_us, self.full_until_us, self.pool_gone_until_us) = (0, 0, 0);
    }

    /// Its process is back, its database as it was.
    pub fn restart(&mut self) {
        self.up = true;
    }

    /// Which it is.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Whether its process runs.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// A call arrives.
    pub fn meet(&mut self, letter: &Rc<Letter>, stage: &mut Stage) {
        let words = || {
            let Letter { gid, branch, op, .. } = &**letter;
            format!("part {} < {op:?} {gid} {branch}", self.number)
        };
        stage.note([3, self.number as u64, letter.op as u64], words);
        if !self.up {
            if !stage.strikes(Fault::HalfOpen, Struck::One(&letter.gid)) {
                stage.send_answer(letter, unknown("connection refused"));
            }
            return;
        }
        if let Some(answer) = self.waves_off(letter, stage) {
            stage.send_answer(letter, answer);
            return;
        }
        let mut work = Work::Commit;
        if stage.strikes(Fault::Working, Struck::One(&letter.gid)) {
            stage.send_answer(letter, Answer::Working);
            if stage.chance.below(2) == 0 {
                return;
            }
            work = Work::CommitUnheard;
        }
        let slow = stage.strikes(Fault::WorkSlow, Struck::One(&letter.gid));
        let timeout_us = stage.limits.call_timeout_ms * 1_000;
        let wait = match slow {
            true => stage.chance.within(timeout_us / 2, timeout_us * 3),
            false => stage.chance.within(80, 900),
        };
        self.later(wait, letter, work, stage);
    }

    fn later(&self, wait_us: u64, letter: &Rc<Letter>, work: Work, stage: &mut Stage) {
        let (participant, life) = (self.number, self.life);
        stage.after(wait_us, Event::Works { participant, life, letter: letter.clone(), work });
    }

    /// Answers given without touching the database.
    fn waves_off(&self, letter: &Letter, stage: &mut Stage) -> Option<Answer> {
        if stage.now_us < self.full_until_us {
            return Some(match stage.chance.below(2) {
                0 => Answer::Working,
                _ => unknown("status 503"),
            });
        }
        if stage.now_us < self.pool_gone_until_us {
            return Some(unknown("no connection to the database"));
        }
        if stage.strikes(Fault::FailedBefore, Struck::One(&letter.gid)) {
            return Some(unknown("internal error"));
        }
        match (letter.op, may_refuse(letter, stage)) {
            (Op::Inspect, _) => None,
            (_, true) => {
                let refuses = stage.strikes(Fault::RefusedNotKept, Struck::One(&letter.gid));
                refuses.then(|| not_kept("overloaded"))
            }
            (_, false) => {
                let refuses = stage.strikes(Fault::RefusedWrongly, Struck::One(&letter.gid));
                refuses.then(|| not_kept("broken_promise"))
            }
        }
    }

    /// Something in hand comes to its end.
    pub fn work(&mut self, life: Life, letter: &Rc<Letter>, work: Work, stage: &mut Stage) {
        if life.process != self.life.process {
            return;
        }
        if life.database != self.life.database
            || stage.strikes(Fault::RolledBack, Struck::One(&letter.gid))
        {
            if work != Work::CommitUnheard {
                stage.send_answer(letter, unknown("the local transaction is lost"));
            }
            return;
        }
        let answer = match work {
            Work::Commit | Work::CommitUnheard => self.commit(letter, stage),
            Work::KeepRefusal => Some(self.keep_refusal(letter, stage)),
            Work::LateRow => {
                self.barrier.keep(&letter.gid, &letter.branch, &letter.mark, Body::default());
                None
            }
            Work::GiveUp => {
                self.give_up(letter, stage);
                None
            }
        };
        let Some(answer) = answer else { return };
        let answer = self.as_it_tells(letter.op, answer, stage);
        let words = || {
            let Letter { gid, branch, op, .. } = &**letter;
            format!("part {} > {op:?} {gid} {branch} {answer:?}", self.number)
        };
        stage.note([4, self.number as u64, letter.op as u64], words);
        if work == Work::CommitUnheard {
            return;
        }
        match stage.strikes(Fault::FailedAfter, Struck::One(&letter.gid)) {
            true => stage.send_answer(letter, unknown("connection reset")),
            false => stage.send_answer(letter, answer),
        }
    }

    /// Clears away, in a small batch, rows that nobody will ask for again.
    pub fn clear_rows(&mut self, stage: &mut Stage) {
        if self.barrier.clear(8) > 0 {
            stage.tally.sight(Sight::RowsCleared);
        }
    }

    /// Clears away all that may be, and says what is left.
    pub fn rows_left(&mut self, origin: &Origin) -> Rows {
        while self.barrier.clear(64) > 0 {}
        let (limit, count) = (self.barrier.limit(origin), self.barrier.len());
        Rows { participant: self.number, limit, count }
    }

    /// One local transaction: the barrier row and the books together.
    fn commit(&mut self, letter: &Rc<Letter>, stage: &mut Stage) -> Option<Answer> {
        let Letter { gid, branch, op, mark, .. } = &**letter;
        if self.forgets_tombstone(letter) {
            return Some(done(Body::default()));
        }
        let mark = match mutants::is_on(Mutant::MarkIgnored) {
            true => &Mark { begun: Timestamp(u64::MAX), limit: Timestamp(0), ..mark.clone() },
            false => mark,
        };
        match self.barrier.meet(gid, branch, *op, mark) {
            Verdict::Run => self.run(letter, stage),
            Verdict::Follow { next, .. } => {
                self.take(letter, stage);
                Some(self.barrier.follow(gid, branch, next))
            }
            Verdict::Remember => {
                stage.tally.sight(Sight::NullCompensation);
                let why = Closed::NullCancelled;
                stage.hear(&Evidence::Closed { gid, branch, why });
                Some(done(Body::default()))
            }
            Verdict::Answer(answer) => {
                self.look_at(letter, &answer, stage);
                Some(answer)
            }
            Verdict::Inspected(found) => Some(row::told(&found)),
        }
    }

    fn run(&mut self, letter: &Rc<Letter>, stage: &mut Stage) -> Option<Answer> {
        let Letter { gid, branch, mark, .. } = &**letter;
        if may_refuse(letter, stage) && stage.strikes(Fault::Refused, Struck::One(&letter.gid)) {
            if mutants::is_on(Mutant::RefusalRolledBackWithItsRow) {
                return Some(refused(code("out_of_stock"), Text::default()));
            }
            let wait = stage.chance.within(20, 3_000);
            self.later(wait, letter, Work::KeepRefusal, stage);
            return None;
        }
        self.take(letter, stage);
        let reply = Body::new(&stage.chance.bits().to_le_bytes());
        if mutants::is_on(Mutant::RowAfterEffect) {
            let wait = stage.chance.within(20, 3_000);
            self.later(wait, letter, Work::LateRow, stage);
            return Some(done(reply));
        }
        if letter.op == Op::Try && mutants::is_on(Mutant::GivesUpInDoubt) {
            let wait = stage.chance.within(20_000, 200_000);
            self.later(wait, letter, Work::GiveUp, stage);
        }
        Some(self.barrier.keep(gid, branch, mark, reply))
    }

    /// Cancels what was tried, if nothing has been heard of it since.
    fn give_up(&mut self, letter: &Letter, stage: &mut Stage) {
        let Letter { gid, branch, mark, .. } = letter;
        let state = self.barrier.row(gid, branch, mark).map(|row| row.state.meet(Op::Cancel));
        if let Some(Verdict::Follow { next, .. }) = state {
            self.barrier.follow(gid, branch, next);
            self.take(&Letter { op: Op::Cancel, ..letter.clone() }, stage);
        }
    }

    /// The books change.
    fn take(&self, letter: &Letter, stage: &mut Stage) {
        let Letter { gid, branch, op, payload, replies, .. } = letter;
        stage.note([5, number_of(branch.as_str()), *op as u64], || {
            format!("part {} = {op:?} {gid} {branch}", self.number)
        });
        if !replies.is_empty() {
            stage.tally.sight(Sight::ReplyRead);
        }
        if !may_refuse(letter, stage) && *op == Op::Action {
            stage.tally.sight(Sight::ForwardOnly);
        }
        stage.hear(&Evidence::Took(&Took {
            gid: gid.clone(),
            begun: letter.mark.begun,
            branch: branch.clone(),
            op: *op,
            payload: payload.clone(),
            replies: replies.clone(),
            participant: self.number,
        }));
    }

    /// A transaction of its own: whatever came between rules.
    fn keep_refusal(&mut self, letter: &Letter, stage: &mut Stage) -> Answer {
        let Letter { gid, branch, mark, .. } = letter;
        let was_open = self.barrier.row(gid, branch, mark).is_none();
        let why = (code("out_of_stock"), Text::default());
        let answer = self.barrier.refuse(gid, branch, mark, why);
        match (&answer, was_open) {
            (Answer::Refused(_), true) => {
                stage.tally.sight(Sight::RefusalKept);
                stage.hear(&Evidence::Closed { gid, branch, why: Closed::Refused });
            }
            (Answer::Done { .. } | Answer::Refused(_), _) => {
                stage.tally.sight(Sight::RefusalOvertaken);
            }
            (Answer::Working | Answer::Unknown { .. }, _) => {}
        }
        answer
    }

    fn look_at(&self, letter: &Letter, answer: &Answer, stage: &mut Stage) {
        let Letter { gid, branch, op, .. } = letter;
        match answer {
            Answer::Done { .. } => stage.tally.sight(Sight::Duplicate),
            Answer::Refused(refusal) => match refusal.code.as_str() {
                "hanging" => stage.tally.sight(Sight::Hanging),
                "illegal_order" => stage.hear(&Evidence::Illegal { gid, branch, op: *op }),
                "stale" => {
                    stage.tally.sight(Sight::Stale);
                    stage.hear(&Evidence::Stale { gid, begun: letter.mark.begun });
                }
                _ => stage.tally.sight(Sight::Duplicate),
            },
            Answer::Working | Answer::Unknown { .. } => {}
        }
    }

    /// One that keeps nothing makes each reply anew, and does not claim otherwise.
    fn as_it_tells(&self, op: Op, answer: Answer, stage: &mut Stage) -> Answer {
        match (self.keeps, answer) {
            (Keeps::Nothing, Answer::Done { reply, .. }) if op != Op::Inspect => {
                let anew = Body::new(&stage.chance.bits().to_le_bytes());
                let reply = if reply.is_empty() { reply } else { anew };
                Answer::Done { reply, kept: Kept::NotKept }
            }
            (Keeps::Replies | Keeps::Nothing, answer) => answer,
        }
    }

    fn forgets_tombstone(&self, letter: &Letter) -> bool {
        let Letter { gid, branch, op, mark, .. } = letter;
        mutants::is_on(Mutant::BarrierWithoutTombstone)
            && matches!(op, Op::Cancel | Op::Compensate)
            && self.barrier.row(gid, branch, mark).is_none()
    }
}

/// A try or an action that can be taken back may be refused; nothing else.
fn may_refuse(letter: &Letter, stage: &Stage) -> bool {
    match letter.op {
        Op::Try => true,
        Op::Action => match stage.court.ledger.wanted(&letter.payload) {
            Some((_, wanted)) => wanted.direction == Direction::Reversible,
            None => true,
        },
        Op::Confirm | Op::Cancel | Op::Compensate | Op::Inspect => false,
    }
}

fn code(text: &str) -> Code {
    Code::new(text).expect("codes of ours are names")
}

fn not_kept(why: &str) -> Answer {
    Answer::Refused(Refusal { code: code(why), detail: Text::default(), kept: Kept::NotKept })
}
