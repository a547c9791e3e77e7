//! Sets: one act, with one reason, on every transaction that matches; each is accounted for.

use super::operate::stands;
use super::outlook;
use super::retry::matching;
use crate::arguments::{Filter, Many, Reading, State};
use crate::complaint::{Complaint, Kind};
use crate::coordinator::{Coordinator, parse};
use crate::progress::Progress;
use serde_json::{Value, json};
use std::io::{BufRead, IsTerminal, Write};
use wholly_core::branch::Resolution;
use wholly_wire::v1::answer::Transaction;
use wholly_wire::v1::path::{self, Part};
use wholly_wire::v1::request;
use wholly_wire::words::Spelled;

/// Gids that are shown before an operator is asked whether to go on.
const SHOWN_MAX: usize = 5;

/// What is done to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// Stuck branches are called again.
    Retry,
    /// What is not decided is aborted.
    Abort,
    /// What a restore left undecided is committed.
    Commit,
    /// Every unfinished branch waits.
    Park,
    /// The stuck branches at one destination stand so.
    Resolve(Resolution),
}

impl Verb {
    /// What is done, and what was.
    pub(super) fn words(self) -> (&'static str, &'static str) {
        match self {
            Verb::Retry => ("retry", "retried"),
            Verb::Abort => ("abort", "aborted"),
            Verb::Commit => ("commit", "committed"),
            Verb::Park => ("park", "parked"),
            Verb::Resolve(_) => ("resolve", "resolved"),
        }
    }

    fn part(self) -> Part {
        match self {
            Verb::Retry => Part::Retry,
            Verb::Abort => Part::OperatorAbort,
            Verb::Commit => Part::OperatorCommit,
            Verb::Park => Part::Park,
            Verb::Resolve(_) => Part::Resolve,
        }
    }

    /// The filters that find what it can be done to: what is decided is not decided again.
    fn filters(self, filter: &Filter) -> Vec<Filter> {
        let narrow = |state| Filter { state: Some(state), ..filter.clone() };
        match (self, filter.state) {
            (Verb::Abort | Verb::Commit, None) => {
                vec![narrow(State::Open), narrow(State::Forward)]
            }
            (Verb::Resolve(_), _) => vec![Filter { stuck: true, ..filter.clone() }],
            (Verb::Abort | Verb::Commit, Some(_)) | (Verb::Retry | Verb::Park, _) => {
                vec![filter.clone()]
            }
        }
    }

    fn body(self, target: &Target, reason: &str) -> Value {
        let body = match self {
            Verb::Retry => {
                serde_json::to_value(request::Retry { reason: reason.into(), branch: None })
            }
            Verb::Abort | Verb::Commit | Verb::Park => {
                serde_json::to_value(request::Reasoned { reason: reason.into() })
            }
            Verb::Resolve(resolution) => serde_json::to_value(request::Resolve {
                reason: reason.into(),
                branch: target.branch.as_deref().expect("a resolve is of a branch").into(),
                resolution: resolution.spell().into(),
            }),
        };
        body.expect("request bodies are JSON")
    }
}

/// A transaction, or one branch of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) gid: String,
    pub(super) branch: Option<String>,
}

impl Target {
    pub(super) fn of(gid: String) -> Target {
        Target { gid, branch: None }
    }

    pub(super) fn label(&self) -> String {
        match &self.branch {
            None => self.gid.clone(),
            Some(branch) => format!("{} {branch}", self.gid),
        }
    }
}

/// Whether people read what becomes of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Each,
    Nothing,
}

/// Does it to all that match, once the operator is sure.
pub(super) async fn run(
    verb: Verb,
    many: &Many,
    reading: &Reading,
    reason: &str,
) -> Result<(), Complaint> {
    let coordinator = Coordinator::of(reading)?;
    let targets = find(&coordinator, verb, many).await?;
    let (_, done) = verb.words();
    if many.dry_run {
        return rehearse(&coordinator, verb, &targets, reading).await;
    }
    let labels: Vec<String> = targets.iter().map(Target::label).collect();
    if !many.yes {
        sure(verb, &labels, reason)?;
    }
    let told = if reading.json { Told::Nothing } else { Told::Each };
    let (tally, broken) = all(&coordinator, verb, reason, targets, told).await?;
    match reading.json {
        true => say!("{}", tally.document(done)),
        false => say!("{done} {}", tally.done.len()),
    }
    tally.verdict(verb, broken)
}

/// Says of each whether it would be done: what matches a filter may stand so that it is refused.
async fn rehearse(
    coordinator: &Coordinator,
    verb: Verb,
    targets: &[Target],
    reading: &Reading,
) -> Result<(), Complaint> {
    let word = verb.words().0;
    let (mut would, mut would_not) = (Vec::new(), Vec::new());
    let progress = Progress::over(targets.len(), "look at");
    for target in targets {
        match outlook::look(coordinator, verb, target).await?.obstacle {
            None => would.push(target.label()),
            Some(why) => would_not.push((target.label(), why)),
        }
        progress.step();
    }
    drop(progress);
    if reading.json {
        let would_not = would_not.iter().map(|(label, why)| json!({ "what": label, "why": why }));
        let would_not: Vec<Value> = would_not.collect();
        say!("{}", json!({ (format!("would_{word}")): would, "would_not": would_not }));
        return Ok(());
    }
    say!("would {word} {}; do it with --reason … --yes", would.len());
    would.iter().for_each(|label| say!("{label}"));
    for (label, why) in would_not {
        say!("would not {word} {label}: {why}");
    }
    Ok(())
}

/// All that match, not more than the operator allows.
async fn find(
    coordinator: &Coordinator,
    verb: Verb,
    many: &Many,
) -> Result<Vec<Target>, Complaint> {
    let mut gids = Vec::new();
    for filter in verb.filters(&many.filter) {
        gids.extend(matching(coordinator, &filter).await?);
    }
    gids.sort_unstable();
    gids.dedup();
    let targets = match (verb, &many.filter.waits_for) {
        (Verb::Resolve(_), Some(destination)) => {
            let mut targets = Vec::new();
            for gid in gids {
                targets.extend(stuck_at(coordinator, gid, destination).await?);
            }
            targets
        }
        (Verb::Resolve(_), None) => unreachable!("clap asks for the destination"),
        (Verb::Retry | Verb::Abort | Verb::Commit | Verb::Park, _) => {
            gids.into_iter().map(Target::of).collect()
        }
    };
    if targets.len() <= many.at_most {
        return Ok(targets);
    }
    let happened = format!("{} match, and --at-most is {}", targets.len(), many.at_most);
    Err(Complaint::new(Kind::Usage, happened)
        .means("nothing was changed")
        .advice("say more closely which (--name, --older-than), or allow more with --at-most N"))
}

/// The branches of a transaction that are stuck at a destination, and of which nobody has said how
/// they stand.
async fn stuck_at(
    coordinator: &Coordinator,
    gid: String,
    destination: &str,
) -> Result<Vec<Target>, Complaint> {
    let path = path::transaction(&super::gid(&gid)?);
    let document: Transaction<'static> = parse(coordinator.read(&path).await?)?;
    let is_stuck = document.branches.iter().filter(|branch| {
        branch.stuck.is_some() && branch.resolution.is_none() && branch.to == destination
    });
    let name = |branch: &str| Target { gid: gid.clone(), branch: Some(branch.to_owned()) };
    Ok(is_stuck.map(|branch| name(&branch.branch)).collect())
}

/// Asks the operator once; whoever cannot be asked has to have said --yes.
fn sure(verb: Verb, labels: &[String], reason: &str) -> Result<(), Complaint> {
    let (word, count) = (verb.words().0, labels.len());
    let not_done = |happened: String| {
        Complaint::new(Kind::Usage, happened).means("nothing was changed").advice(format!(
            "repeat it with --yes to {word} them all, or with --dry-run to see them"
        ))
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(not_done(format!("{count} match, and nobody is here to be asked")));
    }
    if labels.is_empty() {
        return Ok(());
    }
    let shown: Vec<&str> = labels.iter().take(SHOWN_MAX).map(String::as_str).collect();
    let more = if count > SHOWN_MAX { ", …" } else { "" };
    eprint!("{word} {count} ({}{more}), reason “{reason}”? [y/N] ", shown.join(", "));
    let mut answer = String::new();
    // Whoever says nothing has not said yes.
    let read =
        std::io::stderr().flush().and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    match (read, answer.trim()) {
        (Ok(_), "y" | "Y" | "yes") => Ok(()),
        (Ok(_) | Err(_), _) => Err(not_done(format!("{count} match, and the answer was no yes"))),
    }
}

/// What became of each.
#[derive(Debug, Default)]
struct Tally {
    done: Vec<String>,
    refused: Vec<String>,
    /// Asked, and it is not known whether it was done.
    unknown: Vec<String>,
    not_asked: Vec<String>,
}

impl Tally {
    fn document(&self, done: &str) -> Value {
        json!({
            (done): self.done, "refused": self.refused, "unknown": self.unknown,
            "not_asked": self.not_asked,
        })
    }

    /// How the command ends, given what broke it off.
    fn verdict(&self, verb: Verb, broken: Option<Complaint>) -> Result<(), Complaint> {
        let (count, done) = (self.done.len(), verb.words().1);
        if let Some(complaint) = broken {
            let (unknown, left) = (self.unknown.join(", "), self.not_asked.len());
            return Err(complaint.means(format!(
                "{count} were {done}, of {unknown} it is not known, {left} were not asked for"
            )));
        }
        if self.refused.is_empty() {
            return Ok(());
        }
        let refused = self.refused.len();
        let happened = format!("{refused} of {} were refused", refused + count);
        Err(Complaint::new(Kind::Refused, happened)
            .means(format!("{count} were {done}, nothing was changed on the others"))
            .advice("look at them with `wholly tx show`: they stand otherwise than when listed"))
    }
}

/// Asks for each in turn, until nobody answers.
async fn all(
    coordinator: &Coordinator,
    verb: Verb,
    reason: &str,
    targets: Vec<Target>,
    told: Told,
) -> Result<(Tally, Option<Complaint>), Complaint> {
    let mut tally = Tally::default();
    let progress = Progress::over(targets.len(), verb.words().0);
    let mut targets = targets.into_iter();
    while let Some(target) = targets.next() {
        let path = path::part(&super::gid(&target.gid)?, verb.part());
        match coordinator.change(&path, &verb.body(&target, reason)).await {
            Ok(answer) => {
                tally.done.push(target.label());
                if told == Told::Each {
                    progress.tell(|| match parse(answer) {
                        Ok(document) => say!("{}", stands(&document)),
                        // It is done all the same; `wholly tx show` may understand more.
                        Err(complaint) => eprintln!("{}: {complaint}", target.label()),
                    });
                }
            }
            // It may have moved on since it was listed.
            Err(complaint) if complaint.kind() == Kind::Refused => {
                progress.tell(|| eprintln!("{}: {complaint}", target.label()));
                tally.refused.push(target.label());
            }
            Err(complaint) => {
                tally.unknown.push(target.label());
                tally.not_asked.extend(targets.map(|target| target.label()));
                return Ok((tally, Some(complaint)));
            }
        }
        progress.step();
    }
    Ok((tally, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Acts on one transaction per answer of the peer; an empty answer breaks the connection.
    async fn check(
        answers: &'static [&'static str],
        code: Option<u8>,
        said: &str,
        counts: [usize; 4],
    ) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let peer = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut heard = [0; 1_024];
                assert!(stream.read(&mut heard).await.unwrap() > 0);
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let gids = (0..4).map(|at| Target::of(format!("order-{at}"))).collect();
        let coordinator = Coordinator::at(&url);
        let (tally, broken) =
            all(&coordinator, Verb::Retry, "again", gids, Told::Nothing).await.unwrap();
        peer.await.unwrap();
        let seen = [&tally.done, &tally.refused, &tally.unknown, &tally.not_asked];
        assert_eq!(seen.map(Vec::len), counts);
        let ended = tally.verdict(Verb::Retry, broken).err();
        assert_eq!(ended.as_ref().map(|complaint| complaint.kind().code()), code);
        let shown = ended.map(|complaint| complaint.to_string()).unwrap_or_default();
        assert!(shown.contains(said), "{shown}");
    }

    const DONE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    const ENDED: &str = "HTTP/1.1 409 Conflict\r\n\r\n\
                         {\"code\":\"already_ended\",\"detail\":\"over\"}";
    const STOPPED: &str = "HTTP/1.1 503 Unavailable\r\n\r\n\
                           {\"code\":\"unavailable\",\"detail\":\"off\"}";

    #[tokio::test]
    async fn each_of_many_is_accounted_for() {
        check(&[DONE, DONE, DONE, DONE], None, "", [4, 0, 0, 0]).await;
        let some = "3 were retried, nothing was changed on the others";
        check(&[DONE, ENDED, DONE, DONE], Some(4), some, [3, 1, 0, 0]).await;
        let all = "4 of 4 were refused";
        check(&[ENDED, ENDED, ENDED, ENDED], Some(4), all, [0, 4, 0, 0]).await;
        let broken = "2 were retried, of order-2 it is not known, 1 were not asked for";
        check(&[DONE, DONE, ""], Some(3), broken, [2, 0, 1, 1]).await;
        check(&[DONE, DONE, STOPPED], Some(3), broken, [2, 0, 1, 1]).await;
    }

    #[test]
    fn what_is_decided_is_not_looked_for_to_be_decided() {
        let check = |verb: Verb, state: Option<State>, expected: &[(Option<State>, bool)]| {
            let filters = verb.filters(&Filter { state, ..Filter::default() });
            let seen: Vec<_> = filters.iter().map(|filter| (filter.state, filter.stuck)).collect();
            assert_eq!(seen, expected, "{verb:?}");
        };
        let undecided = [(Some(State::Open), false), (Some(State::Forward), false)];
        check(Verb::Abort, None, &undecided);
        check(Verb::Commit, None, &undecided);
        check(Verb::Abort, Some(State::Open), &undecided[..1]);
        check(Verb::Retry, None, &[(None, false)]);
        check(Verb::Park, Some(State::Finishing), &[(Some(State::Finishing), false)]);
        check(Verb::Resolve(Resolution::Applied), None, &[(None, true)]);
    }
}
