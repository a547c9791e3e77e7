//! One run of the business act, with what befell it, and everything that can be said of it
//! afterwards.

use crate::answered::Told;
use crate::fault::Strike;
use crate::network::Entry;
use crate::world::{Shown, World};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;
use wholly::{Document, Gid};
use wholly_core::branch::Mode;
use wholly_wire::v1::answer::{Branch, BranchState, Record};
use wholly_wire::v1::call::RowState;
use wholly_wire::words::Spelled;

use crate::answered::{Act, Check};

/// How long an end is awaited before somebody looks whether a branch is stuck.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The user's closures.
pub(crate) struct Play<'a> {
    pub(crate) act: Act<'a>,
    pub(crate) check: Check<'a>,
    pub(crate) before: Option<Check<'a>>,
    /// How long anything may take to end.
    pub(crate) patience: Duration,
}

/// What a run showed.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// What is wrong, in words; nothing if all is well.
    pub(crate) problems: Vec<String>,
    pub(crate) books: Books,
    pub(crate) documents: Vec<Document>,
    pub(crate) journal: Vec<Entry>,
    /// Branches whose participant keeps no row, by its own word: their ends are the check's alone.
    pub(crate) rowless: BTreeSet<String>,
    /// Faults that never met their call.
    pub(crate) missed: Vec<Strike>,
    /// What happened, in words, where something is wrong.
    pub(crate) story: String,
}

/// What the check said of the books.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Books {
    #[default]
    Balance,
    Wrong,
}

impl Run {
    /// Plays the act once, under these faults.
    pub(crate) async fn play(world: &World, play: &Play<'_>, strikes: Vec<Strike>) -> Run {
        let mut run = Run::default();
        if let Some(before) = &play.before {
            run.hear("before the run", before().await);
        }
        // What was begun outside the runs is none of theirs.
        world.unseen().await;
        world.network().begin(strikes);
        let told = tokio::time::timeout(play.patience, (play.act)(world.wholly().clone())).await;
        let told = told.unwrap_or_else(|_| {
            Told::Panicked(format!("it did not come back within {:?}", play.patience))
        });
        run.end(world, play).await;
        run.missed = world.network().heal();
        world.network().deliver_late().await;
        if tokio::time::timeout(play.patience, world.network().quiet()).await.is_err() {
            run.problems.push(format!("a call still runs after {:?}", play.patience));
        }
        run.journal = world.network().journal();
        run.judge(&told);
        run.ask_barriers(world, play.patience).await;
        match (play.check)().await {
            Told::Well => {}
            Told::Error(wrong) | Told::Panicked(wrong) => {
                run.books = Books::Wrong;
                run.problems.push(wrong);
            }
        }
        if !run.problems.is_empty() {
            run.story = run.tell(world, &told).await;
        }
        run
    }

    fn hear(&mut self, of: &str, told: Told) {
        match told {
            Told::Well => {}
            Told::Error(text) => self.problems.push(format!("{of}: {text}")),
            Told::Panicked(text) => self.problems.push(format!("{of}: panicked: {text}")),
        }
    }

    /// Waits for the end of every transaction of this run.
    async fn end(&mut self, world: &World, play: &Play<'_>) {
        let mut gids: BTreeSet<Gid> = world.unseen().await.into_iter().collect();
        let journal = world.network().journal();
        gids.extend(journal.iter().filter_map(|entry| entry.gid.parse().ok()));
        for gid in gids {
            match tokio::time::timeout(play.patience, ended(world, &gid)).await {
                Ok(Ok(document)) => self.documents.push(document),
                Ok(Err(why)) => self.problems.push(format!("{gid}: {why}")),
                Err(_) => {
                    let why = format!("{gid} has not ended after {:?}", play.patience);
                    self.problems.push(why);
                    self.documents.extend(world.wholly().find(gid.as_str()).get().await);
                }
            }
        }
    }

    /// What can be known without the user: all has ended, and as decided.
    fn judge(&mut self, told: &Told) {
        if let Told::Panicked(text) = told {
            self.problems.push(format!("the act panicked: {text}"));
        }
        for document in &self.documents {
            let gid = &document.gid;
            if let Some(stuck) = document.branches.iter().find(|branch| branch.stuck.is_some()) {
                self.problems.push(format!("{gid}: {} is stuck", stuck.branch));
            }
            if let Some(outcome) = &document.outcome
                && outcome.as_str() != "as_decided"
            {
                self.problems.push(format!("{gid} ended {outcome}, not as decided"));
            }
        }
        if self.documents.is_empty() && self.problems.is_empty() {
            let why = match told {
                Told::Error(text) => format!("; the act said: {text}"),
                Told::Well | Told::Panicked(_) => String::new(),
            };
            self.problems.push(format!(
                "no transaction was begun in this run: does each run use gids of its own?{why}"
            ));
        }
    }

    /// Each participant's barrier row is what the coordinator believes. One that is not shown
    /// proves nothing.
    async fn ask_barriers(&mut self, world: &World, patience: Duration) {
        let mut problems = Vec::new();
        for document in self.documents.iter().filter(|document| document.ended().is_some()) {
            let mark = self.journal.iter().find(|entry| entry.gid == document.gid);
            let Some(mark) = mark.map(|entry| &entry.mark) else { continue };
            for branch in &document.branches {
                let inspected = world.inspect(document, branch, mark);
                let shown = tokio::time::timeout(patience, inspected).await;
                let unshown = |why: &str| {
                    let (gid, branch) = (&document.gid, &branch.branch);
                    format!("{gid}: the participant does not show its row of {branch}: {why}")
                };
                match shown {
                    Ok(Shown::Row(row)) if agrees(branch, row) => {}
                    Ok(Shown::Row(row)) => problems.push(format!(
                        "{}: the coordinator has {} as {}, its participant as {}",
                        document.gid,
                        branch.branch,
                        branch.state,
                        row.spell()
                    )),
                    Ok(Shown::NoneKept) => {
                        self.rowless.insert(branch.branch.to_string());
                    }
                    Ok(Shown::Nothing(why)) => problems.push(unshown(&why)),
                    Err(_) => problems.push(unshown("it stays at work")),
                }
            }
        }
        self.problems.extend(problems);
    }

    async fn tell(&self, world: &World, told: &Told) -> String {
        let mut story = String::new();
        let mut line = |text: String| {
            story.push_str(&text);
            story.push('\n');
        };
        match told {
            Told::Well => line("the act said: Ok".to_owned()),
            Told::Error(text) => line(format!("the act said: {text}")),
            Told::Panicked(text) => line(format!("the act panicked: {text}")),
        }
        line("calls, as they came:".to_owned());
        for entry in &self.journal {
            let fault = entry.struck.map(|fault| format!("  <- {fault}")).unwrap_or_default();
            line(format!("  {:<28} {}{fault}", entry.call, entry.came));
        }
        for document in &self.documents {
            line(format!("{} ({}), what the coordinator wrote down:", document.gid, document.name));
            if let Ok(gid) = document.gid.parse() {
                for record in world.history(&gid).await.records {
                    line(format!("  {:>2} {}", record.version, words(&record)));
                }
            }
        }
        story
    }

    /// How its transactions were decided: `commit`, `abort`, or `mixed` where they differ.
    pub(crate) fn decided(&self) -> &'static str {
        let mut decisions = self.documents.iter().map(|document| document.decided());
        let first = decisions.next().flatten();
        match first {
            Some(first) if decisions.all(|other| other == Some(first)) => first.spell(),
            Some(_) => "both",
            None => "open",
        }
    }
}

/// Waits for the end, or until a branch is stuck, which no waiting ends.
async fn ended(world: &World, gid: &Gid) -> Result<Document, wholly::Error> {
    let found = world.wholly().find(gid.as_str());
    loop {
        let waited = tokio::time::timeout(LOOK_EVERY, found.ended()).await;
        let document = found.get().await?;
        match waited {
            Ok(ended) => {
                ended?;
                return Ok(document);
            }
            Err(_) if document.stuck > 0 => return Ok(document),
            Err(_) => {}
        }
    }
}

/// Whether a barrier row is one that this state may leave behind.
fn agrees(branch: &Branch<'_>, row: RowState) -> bool {
    let Some(state) = branch.state.known() else { return true };
    match state {
        BranchState::Done => match branch.mode.known() {
            Some(Mode::Saga) => row == RowState::Tried,
            Some(Mode::Tcc) | None => false,
        },
        BranchState::Confirmed => row == RowState::Confirmed,
        BranchState::Cancelled | BranchState::Compensated => {
            matches!(row, RowState::Cancelled | RowState::NullCancelled | RowState::Refused)
        }
        BranchState::Refused => !matches!(row, RowState::Tried | RowState::Confirmed),
        BranchState::Untouched => row == RowState::None,
        BranchState::Unknown | BranchState::Resolved => true,
    }
}

/// A record in one line.
fn words(record: &Record<'_>) -> String {
    let mut text = record.what.to_string();
    if let Some(branch) = &record.branch {
        let _infallible = write!(text, " {branch}");
    }
    for branch in &record.branches {
        let _infallible = write!(text, " {branch}");
    }
    let said = [
        record.op.as_ref().map(ToString::to_string),
        record.answer.as_ref().map(ToString::to_string),
        record.refusal.as_ref().map(|refusal| format!("{}: {}", refusal.code, refusal.detail)),
        record.attempts.map(|attempts| format!("at attempt {attempts}")),
        record.decision.as_ref().map(ToString::to_string),
        record.cause.as_ref().map(|cause| format!("by {cause}")),
        record.outcome.as_ref().map(ToString::to_string),
        record.reason.as_ref().map(|reason| format!("({reason})")),
    ];
    for word in said.into_iter().flatten() {
        let _infallible = write!(text, " {word}");
    }
    text
}
