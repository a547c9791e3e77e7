//! An answer was lost, and the repeat hears a final no: what the first sending did is not known.

use crate::double::{Act, Double, problem};
use crate::{Lock, LockNow};
use std::slice::from_ref;
use wholly::{Error, Loss, Unsettled};
use wholly_wire::problem::{Retry, TABLE};

/// What is asked of the coordinator.
#[derive(Clone, Copy, Debug)]
enum Verb {
    Begin,
    Register,
    Commit,
    Submit,
    Abort,
}

impl Verb {
    const ALL: [Verb; 5] = [Verb::Begin, Verb::Register, Verb::Commit, Verb::Submit, Verb::Abort];

    fn kind(self) -> &'static str {
        match self {
            Verb::Begin => "begin",
            Verb::Register => "register",
            Verb::Commit => "commit",
            Verb::Submit => "submit",
            Verb::Abort => "abort",
        }
    }

    /// What its asker hears where nothing may be concluded.
    fn open(self) -> &'static str {
        match self {
            Verb::Begin => "unreachable",
            Verb::Register => "unsettled, not committed",
            Verb::Commit | Verb::Submit | Verb::Abort => "unknown g-1",
        }
    }
}

/// Asks, against this script of its answers. A registration's error is survived, on purpose.
async fn ask(verb: Verb, acts: &[Act]) -> String {
    let double = Double::start(&[(verb.kind(), acts)]).await;
    let stock = double.wholly.participant("stock");
    let said = match verb {
        Verb::Begin | Verb::Register | Verb::Commit => {
            let begin = double.wholly.transaction("n").gid("g-1").timeout(double.patience);
            let run = begin.run(async |tx| {
                let _survived = tx.call(&stock, Lock { sku: 1 }).await;
                Ok(())
            });
            run.await
        }
        Verb::Submit | Verb::Abort => {
            let plan = double.wholly.saga("n").gid("g-1").step("a", &stock, LockNow { sku: 1 });
            match plan.submit().await {
                Ok(saga) => saga.abort("not wanted").await.map(drop),
                Err(error) => Err(error),
            }
        }
    };
    let kinds = double.kinds();
    match said {
        Ok(()) => "good".to_owned(),
        Err(Error::Unknown { gid, .. }) => {
            assert!(!kinds.contains("commit") || !kinds.contains("abort"), "{kinds}");
            format!("unknown {gid}")
        }
        Err(Error::Unreachable { .. }) => "unreachable".to_owned(),
        Err(Error::Rejected { code, .. }) => format!("rejected {code}"),
        Err(Error::AlreadyUsed { gid }) => format!("already used {gid}"),
        Err(error) => match error.reason::<Unsettled>() {
            Some(unsettled) if unsettled.how == Loss::Unanswered && !kinds.contains("commit") => {
                "unsettled, not committed".to_owned()
            }
            _ => format!("{error:?}"),
        },
    }
}

async fn check(verb: Verb, acts: &[Act], expected: &str) {
    assert_eq!(ask(verb, acts).await, expected, "{verb:?}: {acts:?}");
}

#[tokio::test]
async fn a_final_no_after_a_lost_answer_is_unknown() {
    let mut codes = 0;
    for row in TABLE.iter().filter(|row| row.retry == Retry::Never) {
        codes += 1;
        let no = problem(row.status, row.code, "never", "");
        for verb in Verb::ALL {
            check(verb, &[Act::HangUp, no.clone()], verb.open()).await;
        }
    }
    assert!(codes > 20, "{codes} codes are final");
    let no = problem(401, "credential_wrong", "never", "");
    for verb in Verb::ALL {
        // Lost twice, so that not only a kept connection was closed.
        check(verb, &[Act::HangUp, Act::HangUp, no.clone()], verb.open()).await;
    }
}

#[tokio::test]
async fn what_is_out_of_sight_is_unknown_at_once() {
    for code in ["unknown", "unreadable"] {
        let no = [problem(500, code, "never", "")];
        for verb in [Verb::Register, Verb::Commit, Verb::Submit, Verb::Abort] {
            check(verb, &no, verb.open()).await;
        }
        // It is about whatever had the gid before: this begin began nothing.
        check(Verb::Begin, &no, &format!("rejected {code}")).await;
    }
}

#[tokio::test]
async fn a_no_is_believed_where_nothing_was_lost() {
    let no = problem(401, "credential_wrong", "never", "");
    for verb in [Verb::Begin, Verb::Commit, Verb::Submit, Verb::Abort] {
        check(verb, from_ref(&no), "rejected credential_wrong").await;
        let starting = problem(503, "starting", "later", "");
        check(verb, &[starting, no.clone()], "rejected credential_wrong").await;
    }
    check(Verb::Register, &[no], "good").await;
}

#[tokio::test]
async fn a_coordinator_that_broke_off_may_have_taken_it() {
    for code in ["unavailable", "internal", "of_a_later_release"] {
        let broke_off = problem(503, code, "later", "");
        let no = problem(401, "credential_wrong", "never", "");
        for verb in Verb::ALL {
            check(verb, &[broke_off.clone(), no.clone()], verb.open()).await;
        }
    }
}
