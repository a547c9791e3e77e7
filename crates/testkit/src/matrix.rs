//! The matrix: which calls an act makes, and each of them under each fault.

use crate::answered::{Act, Balance, Check, check};
use crate::fault::{CallName, Fault, Strike};
use crate::report::{Cell, Report};
use crate::run::{Books, Play, Run};
use crate::world::World;
use std::pin::Pin;
use std::time::Duration;
use wholly_core::branch::Op;

/// Runs that a cell may take until its fault meets its call.
const RUNS_MAX: usize = 3;
/// How long anything in a run may take to end, unless said otherwise.
const PATIENCE: Duration = Duration::from_secs(10);

/// A business act under every fault, not yet run: await it for its [`Report`].
#[must_use = "nothing is run until it is awaited"]
pub struct Matrix<'a> {
    world: &'a World,
    play: Play<'a>,
    only: Vec<(String, Fault)>,
}

/// A call, and what is needed for it to come at all.
struct Row {
    call: CallName,
    /// It may not be refused: a step that is never undone.
    is_forward: bool,
    can_die_midway: bool,
    /// What is refused so that this undoing comes.
    after: Option<CallName>,
}

impl Row {
    fn takes(&self, fault: Fault) -> bool {
        let is_refusal = matches!(fault, Fault::Refuse | Fault::RefuseCopy);
        fault.may_strike(self.call.op)
            && !(is_refusal && self.is_forward)
            && (fault != Fault::CrashMidway || self.can_die_midway)
    }

    fn strikes(&self, fault: Fault) -> Vec<Strike> {
        let refused = self.after.iter();
        let refused = refused.map(|call| Strike { call: call.clone(), fault: Fault::RefuseCopy });
        refused.chain([Strike { call: self.call.clone(), fault }]).collect()
    }
}

impl<'a> Matrix<'a> {
    pub(crate) fn new(world: &'a World, act: Act<'a>, check: Check<'a>) -> Self {
        let play = Play { act, check, before: None, patience: PATIENCE };
        Matrix { world, play, only: Vec::new() }
    }

    /// Runs this cell alone, as a report names it: `.only("stock.lock try", Fault::CrashAfter)`.
    /// Said more than once, these cells.
    pub fn only(mut self, call: &str, fault: Fault) -> Self {
        self.only.push((call.to_owned(), fault));
        self
    }

    /// Prepares each run: fills the shelves anew, say. With this, a cell whose books do not
    /// balance does not end the matrix.
    pub fn before<C, B>(mut self, prepare: C) -> Self
    where
        C: AsyncFn() -> B + 'a,
        B: Balance,
    {
        self.play.before = Some(check(prepare));
        self
    }

    /// How long anything in a run may take to end; 10 seconds otherwise.
    pub fn within(mut self, patience: Duration) -> Self {
        self.play.patience = patience;
        self
    }

    async fn report(self) -> Report {
        let mut report = Report::default();
        if let Err(error) = self.world.migrate().await {
            report.fail_plain(error);
            return report;
        }
        let plain = Run::play(self.world, &self.play, Vec::new()).await;
        let mut rows = self.rows(&plain);
        report.take_plain(plain);
        if report.passes() && rows.is_empty() {
            report.fail_plain("no call reached a service that this world serves".to_owned());
        }
        if !report.passes() {
            return report;
        }
        self.scout(&mut rows, &mut report).await;
        self.check_wanted(&rows, &mut report);
        for row in &rows {
            for fault in Fault::ALL {
                if row.takes(fault) && self.wants(row, fault) && !report.has(&row.call, fault) {
                    self.cell(row, fault, &mut report).await;
                }
            }
        }
        report.sort(rows.iter().map(|row| row.call.to_string()).collect());
        report
    }

    /// The calls of a run, each once, in the order of their first coming.
    fn rows(&self, run: &Run) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for entry in &run.journal {
            if rows.iter().any(|row| row.call == entry.call) {
                continue;
            }
            let document = run.documents.iter().find(|document| document.gid == entry.gid);
            let branches = document.into_iter().flat_map(|document| &document.branches);
            let mut branches = branches.filter(|branch| branch.branch == entry.call.branch);
            rows.push(Row {
                call: entry.call.clone(),
                is_forward: branches.any(|branch| branch.forward),
                can_die_midway: self.can_die_midway(&entry.service),
                after: None,
            });
        }
        rows
    }

    fn can_die_midway(&self, service: &str) -> bool {
        self.world.door(service).is_some_and(|door| door.dying.is_some())
    }

    /// Learns which calls undo: refuses, from the last call to the first, one copy of what another
    /// copy did, so that all before it and it itself are taken back.
    async fn scout(&self, rows: &mut Vec<Row>, report: &mut Report) {
        let known = |call: &String| rows.iter().any(|row| row.call.to_string() == *call);
        if !self.only.is_empty() && self.only.iter().all(|(call, _)| known(call)) {
            return;
        }
        let refusable = rows.iter().filter(|row| row.takes(Fault::RefuseCopy));
        let refusable: Vec<CallName> = refusable.map(|row| row.call.clone()).collect();
        for call in refusable.iter().rev() {
            let strike = Strike { call: call.clone(), fault: Fault::RefuseCopy };
            let run = self.run(vec![strike], report).await;
            let Some(run) = run else { continue };
            report.note(&run);
            for row in self.rows(&run) {
                let undoes = match row.call.op {
                    Op::Cancel | Op::Compensate => true,
                    Op::Try | Op::Action | Op::Confirm | Op::Inspect => false,
                };
                if undoes && rows.iter().all(|known| known.call != row.call) {
                    rows.push(Row { after: Some(call.clone()), ..row });
                }
            }
            if self.wants_call(&call.to_string(), Fault::RefuseCopy) {
                report.add(Cell::of(call, Fault::RefuseCopy, None, run));
            }
        }
    }

    async fn cell(&self, row: &Row, fault: Fault, report: &mut Report) {
        let verdict = match self.run(row.strikes(fault), report).await {
            Some(run) => {
                report.note(&run);
                Cell::of(&row.call, fault, row.after.as_ref(), run)
            }
            None => Cell::not_run(&row.call, fault, row.after.as_ref()),
        };
        report.add(verdict);
    }

    /// Plays until every fault has met its call; nothing if the books are past trusting.
    async fn run(&self, strikes: Vec<Strike>, report: &Report) -> Option<Run> {
        if report.books() == Books::Wrong && self.play.before.is_none() {
            return None;
        }
        let mut run = Run::default();
        for _ in 0..RUNS_MAX {
            run = Run::play(self.world, &self.play, strikes.clone()).await;
            if run.missed.is_empty() || !run.problems.is_empty() {
                return Some(run);
            }
        }
        for missed in &run.missed {
            run.problems.push(format!(
                "in none of {RUNS_MAX} runs did {} come: does the act call the same each time?",
                missed.call
            ));
        }
        Some(run)
    }

    fn wants(&self, row: &Row, fault: Fault) -> bool {
        self.wants_call(&row.call.to_string(), fault)
    }

    fn wants_call(&self, call: &str, fault: Fault) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only.0 == call && only.1 == fault)
    }

    fn check_wanted(&self, rows: &[Row], report: &mut Report) {
        for (call, fault) in &self.only {
            let row = rows.iter().find(|row| row.call.to_string() == *call);
            if !row.is_some_and(|row| row.takes(*fault)) {
                let calls: Vec<String> = rows.iter().map(|row| row.call.to_string()).collect();
                let calls = calls.join(", ");
                report.fail_plain(format!("no cell {call:?} × {fault}; the calls are: {calls}"));
            }
        }
    }
}

impl<'a> IntoFuture for Matrix<'a> {
    type Output = Report;
    type IntoFuture = Pin<Box<dyn Future<Output = Report> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.report())
    }
}
