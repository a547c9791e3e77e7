//! What an initiator has seen of its branches: what a commit names, and what forbids one.

use crate::outcome::{BoxError, JoinedFailed, Loss, Unsettled};
use wholly_core::ids::{BranchId, NameError};

/// The branches of one scope, in the order in which they were called.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    calls: Vec<(BranchId, Seen)>,
    body: Body,
    failed: Option<JoinedFailed>,
    /// What follows the operation in a default name. A scope that joined from elsewhere does not
    /// know the names that others took, and a name taken twice would make two calls one.
    suffix: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    InFlight,
    Done,
    Refused,
    Lost(Loss),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Body {
    #[default]
    Runs,
    Over,
}

/// How a call's branch gets its name.
#[derive(Clone, Debug)]
pub(crate) enum Naming {
    /// The operation, then `-2`, `-3`.
    ByOperation(&'static str),
    /// As the user said.
    Given(String),
}

/// Why a call does not begin.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// The body is over.
    Over,
    /// The name is none.
    Name(String, NameError),
}

/// How a call came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    Done,
    Refused,
    /// Nobody saw an answer.
    Lost(Loss),
    /// The coordinator did not take it: there is no such branch.
    Nothing,
}

/// What a scope asks for when its body is over and said Ok.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Everything is known.
    Commit { tried: Vec<BranchId>, refused: Vec<BranchId> },
    /// Something is not, or a joined function failed.
    Abort { why: BoxError },
}

impl Ledger {
    /// A ledger of a scope that joined a transaction begun elsewhere.
    pub(crate) fn joined(suffix: String) -> Ledger {
        Ledger { suffix: Some(suffix), ..Ledger::default() }
    }

    /// A call begins. The same name said again by the user is the same branch again.
    pub(crate) fn enter(&mut self, naming: Naming) -> Result<BranchId, Closed> {
        match self.body {
            Body::Runs => {}
            Body::Over => return Err(Closed::Over),
        }
        let branch = match naming {
            Naming::ByOperation(operation) => self.free_name(operation)?,
            Naming::Given(name) => parse(name)?,
        };
        match self.seen_mut(&branch) {
            None => self.calls.push((branch.clone(), Seen::InFlight)),
            Some(seen @ Seen::Lost(_)) => *seen = Seen::InFlight,
            Some(Seen::InFlight | Seen::Done | Seen::Refused) => {}
        }
        Ok(branch)
    }

    fn free_name(&self, operation: &'static str) -> Result<BranchId, Closed> {
        let stem = match &self.suffix {
            None => operation.to_owned(),
            Some(suffix) => format!("{operation}:{suffix}"),
        };
        let mut name = parse(stem.clone())?;
        let mut count = 1_u32;
        while self.calls.iter().any(|(taken, _)| *taken == name) {
            count += 1;
            name = parse(format!("{stem}-{count}"))?;
        }
        Ok(name)
    }

    /// A call came out. What was seen once stays seen.
    pub(crate) fn settle(&mut self, branch: &BranchId, came: Came) {
        let Some(at) = self.calls.iter().position(|(name, _)| name == branch) else { return };
        let seen = &mut self.calls[at].1;
        match (came, *seen) {
            (Came::Done, _) => *seen = Seen::Done,
            (Came::Refused, _) => *seen = Seen::Refused,
            (Came::Lost(loss), Seen::InFlight) => *seen = Seen::Lost(loss),
            (Came::Nothing, Seen::InFlight) => {
                self.calls.remove(at);
            }
            (Came::Lost(_) | Came::Nothing, Seen::Done | Seen::Refused | Seen::Lost(_)) => {}
        }
    }

    /// A joined function failed: no commit follows.
    pub(crate) fn fail(&mut self, why: String) {
        self.failed.get_or_insert(JoinedFailed { why });
    }

    /// The body is over: no call begins any more.
    pub(crate) fn close(&mut self) {
        self.body = Body::Over;
    }

    /// What follows from an Ok.
    pub(crate) fn verdict(&self) -> Verdict {
        if let Some(failed) = &self.failed {
            return Verdict::Abort { why: Box::new(failed.clone()) };
        }
        if let Some(unsettled) = self.unsettled() {
            return Verdict::Abort { why: Box::new(unsettled) };
        }
        let named = |wanted: Seen| {
            self.calls
                .iter()
                .filter(|(_, seen)| *seen == wanted)
                .map(|(branch, _)| branch.clone())
                .collect()
        };
        Verdict::Commit { tried: named(Seen::Done), refused: named(Seen::Refused) }
    }

    /// The first branch whose answer nobody saw. A call that still runs counts, for its answer
    /// would come too late.
    pub(crate) fn unsettled(&self) -> Option<Unsettled> {
        self.calls.iter().find_map(|(branch, seen)| {
            let how = match seen {
                Seen::InFlight => Loss::Dropped,
                Seen::Lost(loss) => *loss,
                Seen::Done | Seen::Refused => return None,
            };
            Some(Unsettled { branch: branch.clone(), how })
        })
    }

    /// The last branch that was refused: where the body fails afterwards, most likely why.
    pub(crate) fn refused_last(&self) -> Option<BranchId> {
        let (branch, seen) = self.calls.last()?;
        (*seen == Seen::Refused).then(|| branch.clone())
    }

    /// Whether the branch was refused.
    pub(crate) fn is_refused(&self, branch: &BranchId) -> bool {
        self.calls.iter().any(|(name, seen)| name == branch && *seen == Seen::Refused)
    }

    fn seen_mut(&mut self, branch: &BranchId) -> Option<&mut Seen> {
        self.calls.iter_mut().find(|(name, _)| name == branch).map(|(_, seen)| seen)
    }
}

fn parse(name: String) -> Result<BranchId, Closed> {
    BranchId::new(&name).map_err(|why| Closed::Name(name, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays `begin`, `name=done|refused|dropped|unknown|nothing`, and says what follows.
    fn play(mut ledger: Ledger, acts: &str) -> String {
        for act in acts.split_whitespace() {
            match act.split_once('=') {
                None if act == "close" => ledger.close(),
                None if act == "failed" => ledger.fail("no".into()),
                None => {
                    let naming = match act.strip_prefix('.') {
                        Some(name) => Naming::Given(name.into()),
                        None => Naming::ByOperation(Box::leak(act.to_owned().into_boxed_str())),
                    };
                    if ledger.enter(naming) == Err(Closed::Over) {
                        return "over".into();
                    }
                }
                Some((name, came)) => {
                    let came = match came {
                        "done" => Came::Done,
                        "refused" => Came::Refused,
                        "dropped" => Came::Lost(Loss::Dropped),
                        "unknown" => Came::Lost(Loss::Unanswered),
                        _ => Came::Nothing,
                    };
                    ledger.settle(&name.parse().unwrap(), came);
                }
            }
        }
        match ledger.verdict() {
            Verdict::Commit { tried, refused } => format!("commit {tried:?} {refused:?}"),
            Verdict::Abort { why } => format!("abort: {why}"),
        }
    }

    fn check(acts: &str, expected: &str) {
        let seen = play(Ledger::default(), acts);
        assert!(seen.starts_with(expected), "{acts}: {seen}");
    }

    #[test]
    fn a_commit_names_what_was_seen() {
        check("", "commit [] []");
        check("lock lock=done", "commit [lock] []");
        check("lock lock=refused", "commit [] [lock]");
        check(
            "lock lock lock lock=done lock-2=refused lock-3=done",
            "commit [lock, lock-3] [lock-2]",
        );
        check(
            "lock .lock-2 lock lock=done lock-2=done lock-3=done",
            "commit [lock, lock-2, lock-3]",
        );
        check("lock lock=nothing", "commit [] []");
    }

    #[test]
    fn what_nobody_saw_forbids_a_commit() {
        check("lock", "abort: the call of lock was dropped before its answer");
        check("lock lock=dropped", "abort: the call of lock was dropped");
        check("lock lock=unknown", "abort: the call of lock was not answered");
        check("lock lock points lock=done points=done", "abort: the call of lock-2 was dropped");
        check("lock lock=done failed", "abort: a function that joined the transaction failed: no");
    }

    #[test]
    fn the_same_name_is_the_same_branch() {
        check(".a a=dropped .a a=done", "commit [a] []");
        check(".a a=done .a a=dropped", "commit [a] []");
        check(".a a=done .a a=nothing", "commit [a] []");
        check(".a a=unknown .a", "abort: the call of a was dropped");
    }

    #[test]
    fn nothing_begins_after_the_body() {
        check("close lock", "over");
        check("lock close lock=done", "commit [lock] []");
    }

    #[test]
    fn a_scope_that_joined_takes_names_of_its_own() {
        let seen = play(Ledger::joined("7f".into()), "lock lock lock:7f=done lock:7f-2=done");
        assert_eq!(seen, "commit [lock:7f, lock:7f-2] []");
    }
}
