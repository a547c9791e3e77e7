//! The report: a table of calls and faults, and the story of whatever failed.

use crate::fault::{CallName, Fault};
use crate::run::{Books, Run};
use std::collections::BTreeSet;
use std::fmt;

/// What one cell of the matrix showed: a call under a fault.
#[derive(Clone, Debug)]
pub struct Cell {
    call: String,
    fault: Fault,
    after: Option<String>,
    verdict: Verdict,
    problems: Vec<String>,
    story: String,
    books: Books,
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well; the transaction was decided so: `commit`, `abort`, or `both` where the act has
    /// several.
    Passed(&'static str),
    /// Something is wrong.
    Failed,
    /// An earlier cell left the books wrong, so this one could show nothing.
    NotRun,
}

impl Cell {
    pub(crate) fn of(call: &CallName, fault: Fault, after: Option<&CallName>, run: Run) -> Cell {
        let verdict = match run.problems.is_empty() {
            true => Verdict::Passed(run.decided()),
            false => Verdict::Failed,
        };
        let Run { problems, story, books, .. } = run;
        Cell { verdict, problems, story, books, ..Cell::not_run(call, fault, after) }
    }

    pub(crate) fn not_run(call: &CallName, fault: Fault, after: Option<&CallName>) -> Cell {
        Cell {
            call: call.to_string(),
            fault,
            after: after.map(CallName::to_string),
            verdict: Verdict::NotRun,
            problems: Vec::new(),
            story: String::new(),
            books: Books::Balance,
        }
    }

    /// The call: branch and op, as `stock.lock try`.
    pub fn call(&self) -> &str {
        &self.call
    }

    /// What befell its first sending.
    pub fn fault(&self) -> Fault {
        self.fault
    }

    /// The call that was refused besides, so that this one came: an undoing.
    pub fn after_refused(&self) -> Option<&str> {
        self.after.as_deref()
    }

    /// How it ended.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What is wrong, in words; empty unless it failed.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

/// What a matrix showed. Printed, it is a table with the story of each failure.
#[derive(Clone, Debug, Default)]
#[must_use = "a report that nobody reads proves nothing; say .assert()"]
pub struct Report {
    /// What is wrong already without any fault.
    plain: Vec<String>,
    plain_story: String,
    /// The calls, in the order in which they are shown.
    calls: Vec<String>,
    cells: Vec<Cell>,
    rowless: BTreeSet<String>,
}

impl Report {
    /// Every cell, in order of calls and faults.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| cell.verdict == Verdict::Failed)
    }

    /// What is wrong already without any fault.
    pub fn without_fault(&self) -> &[String] {
        &self.plain
    }

    /// Branches whose participant keeps no row and says so: of their ends a cell knows what your
    /// check says, and nothing besides.
    pub fn without_row(&self) -> impl Iterator<Item = &str> {
        self.rowless.iter().map(String::as_str)
    }

    /// Whether every cell was run and passed.
    pub fn passes(&self) -> bool {
        let passed = |cell: &Cell| matches!(cell.verdict, Verdict::Passed(_));
        self.plain.is_empty() && self.cells.iter().all(passed)
    }

    /// Does nothing if every cell passed.
    ///
    /// # Panics
    /// With the whole report, if one did not.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.passes(), "{self}");
    }

    pub(crate) fn take_plain(&mut self, run: Run) {
        self.note(&run);
        self.plain = run.problems;
        self.plain_story = run.story;
    }

    /// Remembers whose rows could not be looked at.
    pub(crate) fn note(&mut self, run: &Run) {
        self.rowless.extend(run.rowless.iter().cloned());
    }

    pub(crate) fn fail_plain(&mut self, problem: String) {
        self.plain.push(problem);
    }

    pub(crate) fn add(&mut self, cell: Cell) {
        self.cells.push(cell);
    }

    pub(crate) fn has(&self, call: &CallName, fault: Fault) -> bool {
        let call = call.to_string();
        self.cells.iter().any(|cell| cell.call == call && cell.fault == fault)
    }

    /// Whether any cell has left the books wrong.
    pub(crate) fn books(&self) -> Books {
        match self.cells.iter().any(|cell| cell.books == Books::Wrong) {
            true => Books::Wrong,
            false => Books::Balance,
        }
    }

    /// Puts the cells in order of these calls.
    pub(crate) fn sort(&mut self, calls: Vec<String>) {
        let place = |cell: &Cell| calls.iter().position(|call| *call == cell.call);
        self.cells.sort_by_key(|cell| (place(cell), cell.fault));
        self.calls = calls;
    }

    fn count(&self, verdict: impl Fn(Verdict) -> bool) -> usize {
        self.cells.iter().filter(|cell| verdict(cell.verdict)).count()
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.calls.iter().map(|call| call.chars().count()).max();
        let width = longest.unwrap_or_default().max("call".len());
        let mut line = |first: &str, words: [&'static str; Fault::ALL.len()]| {
            let words = words.map(|word| format!("  {word:<WORD$}")).concat();
            writeln!(f, "{}", format!("{first:<width$}{words}").trim_end())
        };
        line("call", Fault::ALL.map(Fault::words))?;
        for call in &self.calls {
            line(call, Fault::ALL.map(|fault| self.word(call, fault)))?;
        }
        Ok(())
    }

    fn word(&self, call: &str, fault: Fault) -> &'static str {
        let cell = self.cells.iter().find(|cell| cell.call == call && cell.fault == fault);
        match cell.map(|cell| cell.verdict) {
            Some(Verdict::Passed(decided)) => decided,
            Some(Verdict::Failed) => "FAILED",
            Some(Verdict::NotRun) => "not run",
            None => "-",
        }
    }
}

/// Width of a column.
const WORD: usize = 12;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.plain.is_empty() {
            writeln!(f, "something is wrong without any fault:")?;
            write_indented(f, &self.plain, &self.plain_story)?;
        }
        if self.cells.is_empty() {
            return Ok(());
        }
        let passed = self.count(|verdict| matches!(verdict, Verdict::Passed(_)));
        let failed = self.count(|verdict| verdict == Verdict::Failed);
        let not_run = self.count(|verdict| verdict == Verdict::NotRun);
        write!(f, "{passed} cells passed, {failed} failed")?;
        match not_run {
            0 => writeln!(f)?,
            _ => writeln!(
                f,
                ", {not_run} were not run, for the books were wrong already; .before(..) can set \
                 them right for each run"
            )?,
        }
        self.write_table(f)?;
        if !self.rowless.is_empty() {
            let branches: Vec<&str> = self.without_row().collect();
            let branches = branches.join(", ");
            writeln!(f, "no row is kept of {branches}: only the check says how they ended")?;
        }
        for cell in self.failed() {
            write!(f, "\nFAILED: {} × {}", cell.call, cell.fault)?;
            if let Some(after) = &cell.after {
                write!(f, ", after a copy of {after} was refused")?;
            }
            writeln!(f)?;
            write_indented(f, &cell.problems, &cell.story)?;
            let (call, fault) = (&cell.call, cell.fault);
            writeln!(f, "  run only this: .only({call:?}, testkit::Fault::{fault:?})")?;
        }
        Ok(())
    }
}

fn write_indented(f: &mut fmt::Formatter<'_>, problems: &[String], story: &str) -> fmt::Result {
    for problem in problems {
        writeln!(f, "  wrong: {problem}")?;
    }
    for line in story.lines() {
        writeln!(f, "  {line}")?;
    }
    Ok(())
}
