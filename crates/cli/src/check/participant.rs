//! `wholly check participant URL`: plays duplicate, late, reordered and stale calls against it.

use super::asking::{Call, Came, Hand, Participant, Pen};
use super::plays::{Manner, Must, Needs, PLAYS, Part, Play, Step};
use crate::arguments::{CheckMode, CheckParticipant};
use crate::complaint::{Complaint, Kind};
use crate::http_client::Ask;
use crate::identity;
use crate::table;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;
use wholly_core::branch::{Kept, Mode};
use wholly_core::effect::Mark;
use wholly_core::ids::{Operation, Origin};
use wholly_core::time::Timestamp;
use wholly_wire::headers::BodyKind;

/// The limit that a play's later life brings along, above the begin of the first.
const RETENTION_MS: u64 = 1_000;

/// How one play went.
#[derive(Debug, Serialize)]
struct Verdict {
    play: &'static str,
    passed: bool,
    why: &'static str,
    /// What was asked and what came, call by call.
    calls: Vec<String>,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    wrong: Option<String>,
}

/// Everything that all plays share.
struct Stage {
    participant: Participant,
    operation: Operation,
    mode: Mode,
    payload: Value,
    origin: Origin,
    begun: Timestamp,
    run: String,
    books: Option<String>,
}

/// Plays every play, prints how each went, and complains if one failed.
pub(crate) async fn run(check: CheckParticipant) -> Result<(), Complaint> {
    let json = check.json;
    let stage = Stage::of(check)?;
    let (mut verdicts, mut not_played) = (Vec::new(), Vec::new());
    let of_mode = |play: &Play| play.only.is_none_or(|mode| mode == stage.mode);
    for (number, play) in PLAYS.iter().enumerate().filter(|(_, play)| of_mode(play)) {
        match (play.needs, &stage.participant.pen) {
            (Needs::Credential, None) => not_played.push(play.name),
            (Needs::Credential, Some(_)) | (Needs::Nothing, _) => {
                verdicts.push(stage.play(number, play).await);
            }
        }
    }
    match json {
        true => {
            say!("{}", serde_json::json!({ "plays": verdicts, "not_played": not_played }));
        }
        false => {
            print(&verdicts);
            for name in not_played {
                say!(
                    "\n{name}: not played, for want of a credential; give --id and --secret-file \
                     of the service that it is"
                );
            }
        }
    }
    let failed = verdicts.iter().filter(|verdict| !verdict.passed).count();
    match failed {
        0 => Ok(()),
        _ => Err(Complaint::new(
            Kind::NotDone,
            format!("{failed} of {} plays failed", verdicts.len()),
        )
        .means("branches of the check may be left behind in the participant's database")
        .advice("see docs/participants/contract.md for what each call must be answered")),
    }
}

fn print(verdicts: &[Verdict]) {
    let mut rows = table::table(&["PLAY", "VERDICT", "WHY"]);
    for verdict in verdicts {
        let word = if verdict.passed { "passed" } else { "FAILED" };
        rows.add_row([verdict.play, word, verdict.why]);
    }
    say!("{}", table::print(&mut rows));
    for verdict in verdicts.iter().filter(|verdict| !verdict.passed) {
        say!("\n{}: {}", verdict.play, verdict.wrong.as_deref().unwrap_or_default());
        for call in &verdict.calls {
            say!("  {call}");
        }
    }
}

/// Nobody can guess which of its operations a participant may be played with.
fn unsaid(url: &str) -> Complaint {
    Complaint::new(Kind::Usage, "--operation and --mode are to say what is played")
        .means("nothing was sent")
        .advice(format!(
            "name one of its operations, the mode, and a payload that it does not refuse: wholly \
             check participant {url} --operation stock.lock --mode tcc --payload \
             '{{\"sku\":\"tea\",\"quantity\":1}}'"
        ))
}

impl Stage {
    fn of(check: CheckParticipant) -> Result<Stage, Complaint> {
        let usage = |what: String| {
            Complaint::new(Kind::Usage, what).means("nothing was sent").advice("mend it")
        };
        let (Some(operation), Some(mode)) = (&check.operation, check.mode) else {
            return Err(unsaid(&check.url));
        };
        let operation = operation.parse::<Operation>();
        let pen = identity::credential(&check.identity)?.map(|credential| {
            let audience = check.audience.unwrap_or_else(|| credential.id().to_string());
            Pen { credential, audience }
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = format!("{:x}", now.as_nanos());
        Ok(Stage {
            participant: Participant {
                url: check.url,
                timeout: Duration::from_millis(check.timeout_ms),
                patience: Duration::from_millis(check.timeout_ms),
                trust: identity::trust(&check.certificates),
                pen,
                body: match check.envelope {
                    true => BodyKind::Envelope,
                    false => BodyKind::Payload,
                },
            },
            operation: operation.map_err(|error| usage(format!("the operation {error}")))?,
            mode: match mode {
                CheckMode::Tcc => Mode::Tcc,
                CheckMode::Saga => Mode::Saga,
            },
            payload: serde_json::from_str(&check.payload)
                .map_err(|error| usage(format!("the payload is no JSON: {error}")))?,
            // An origin of its own: the limits that plays bring along concern nobody else's rows.
            origin: format!("check-{run}").parse().expect("letters, digits and a dash"),
            begun: Timestamp(u64::try_from(now.as_millis()).unwrap_or(u64::MAX / 2)),
            run,
            books: check.books,
        })
    }

    async fn play(&self, number: usize, play: &Play) -> Verdict {
        let mut calls = Vec::new();
        let wrong = self.perform(number, play, &mut calls).await.err();
        Verdict { play: play.name, passed: wrong.is_none(), why: play.why, calls, wrong }
    }

    async fn perform(
        &self,
        number: usize,
        play: &Play,
        calls: &mut Vec<String>,
    ) -> Result<(), String> {
        let before = self.books().await?;
        let mut replies: BTreeMap<&'static str, Value> = BTreeMap::new();
        for step in play.steps {
            let call = self.call(number, step);
            for came in self.send(step, &call).await? {
                calls.push(format!("{:?} {:?} > {}", call.op, step.manner, came.words()));
                step.must.judge(&came)?;
                is_the_same_again(step, &came, &mut replies)?;
            }
        }
        let is_confirmed = |step: &Step| step.part == Part::Confirm && step.must == Must::Done;
        let confirms = play.steps.iter().any(is_confirmed);
        let after = self.books().await?;
        match confirms || before == after {
            true => Ok(()),
            false => Err("everything was undone, and yet the books differ".into()),
        }
    }

    async fn send(&self, step: &Step, call: &Call) -> Result<Vec<Came>, String> {
        match step.manner {
            Manner::Plain | Manner::Stale | Manner::NextLife | Manner::LifeBefore => {
                Ok(vec![self.participant.ask(call).await])
            }
            Manner::WithoutMark | Manner::UnknownOperation | Manner::Forged(_) => {
                Ok(vec![self.participant.ask_once(call).await])
            }
            Manner::AtOnce(copies) => {
                let mut sent = JoinSet::new();
                for _ in 0..copies {
                    let (participant, call) = (self.participant.clone(), call.clone());
                    sent.spawn(async move { participant.ask(&call).await });
                }
                Ok(sent.join_all().await)
            }
            Manner::Abandoned => {
                self.participant.abandon(call).await.map_err(|error| error.to_string())?;
                Ok(Vec::new())
            }
        }
    }

    fn call(&self, number: usize, step: &Step) -> Call {
        let begun = self.begun;
        let mark = |begun: u64, limit: u64| {
            let (begun, limit) = (Timestamp(begun), Timestamp(limit));
            Some(Mark { origin: self.origin_of(number), begun, limit })
        };
        let mark = match step.manner {
            Manner::Plain
            | Manner::AtOnce(_)
            | Manner::Abandoned
            | Manner::UnknownOperation
            | Manner::Forged(_) => mark(begun.0, 0),
            Manner::Stale => mark(begun.0, begun.0 + 1),
            Manner::NextLife => mark(begun.0 + 2 * RETENTION_MS, begun.0 + RETENTION_MS),
            Manner::LifeBefore => mark(begun.0 - 1, 0),
            Manner::WithoutMark => None,
        };
        let operation = match step.manner {
            Manner::UnknownOperation => format!("{}.nobody-has-this", self.operation),
            Manner::Plain
            | Manner::AtOnce(_)
            | Manner::Abandoned
            | Manner::Stale
            | Manner::NextLife
            | Manner::LifeBefore
            | Manner::WithoutMark
            | Manner::Forged(_) => self.operation.to_string(),
        };
        let hand = match step.manner {
            Manner::Forged(hand) => hand,
            Manner::Plain
            | Manner::AtOnce(_)
            | Manner::Abandoned
            | Manner::Stale
            | Manner::NextLife
            | Manner::LifeBefore
            | Manner::WithoutMark
            | Manner::UnknownOperation => Hand::Right,
        };
        Call {
            gid: format!("check-{}-{number}", self.run).parse().expect("letters, digits, dashes"),
            branch: "check".parse().expect("a name"),
            operation: operation.parse().unwrap_or_else(|_| self.operation.clone()),
            op: step.part.op(self.mode),
            mark,
            payload: self.payload.clone(),
            hand,
        }
    }

    /// Each play has a log of its own: the limit that one brings along must not end another.
    fn origin_of(&self, number: usize) -> Origin {
        format!("{}-{number}", self.origin).parse().expect("as long as an origin may be")
    }

    /// What the participant's books say, where there is a page that shows them.
    async fn books(&self) -> Result<Option<Value>, String> {
        let Some(url) = &self.books else { return Ok(None) };
        let Participant { timeout, trust, .. } = &self.participant;
        let reply = Ask::read(url).within(*timeout).trusting(trust).send().await;
        match reply {
            Ok(reply) if reply.status.is_success() => Ok(Some(reply.body)),
            Ok(reply) => Err(format!("the books at {url} cannot be read: {}", reply.status)),
            Err(error) => Err(format!("the books at {url} cannot be read: {error}")),
        }
    }
}

/// Who says that a reply is kept must give the same one again.
fn is_the_same_again(
    step: &Step,
    came: &Came,
    replies: &mut BTreeMap<&'static str, Value>,
) -> Result<(), String> {
    if step.part != Part::First || step.must != Must::Done || came.kept == Kept::NotKept {
        return Ok(());
    }
    let life = match step.manner {
        Manner::NextLife => "next",
        Manner::Plain
        | Manner::AtOnce(_)
        | Manner::Abandoned
        | Manner::Stale
        | Manner::LifeBefore
        | Manner::WithoutMark
        | Manner::UnknownOperation
        | Manner::Forged(_) => "first",
    };
    let before = replies.entry(life).or_insert_with(|| came.body.clone());
    match *before == came.body {
        true => Ok(()),
        false => Err(format!("a kept reply was {before}, and then {}", came.body)),
    }
}
