//! Every effect, held against what is durable and what was in flight when it left.

use super::world::{Life, World};
use wholly_core::branch::{Caller, Op};
use wholly_core::document::{Document, Response};
use wholly_core::effect::{Call, Content, Draft, Proof};
use wholly_core::ids::{Position, RequestId, Version};
use wholly_core::record::{ClockMark, Decision, Fact, PhaseName, Record};
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_core::transaction::Transaction;
use wholly_store::encoding::{decode_records, encode_record};

impl World {
    /// A draft follows the one before, and its fold is what it says of itself.
    pub(super) fn appended(&mut self, draft: Draft) -> Option<ClockMark> {
        let (gid, after, records, summary) = match draft.content {
            Content::Mark(mark) => {
                assert_eq!(draft.position.0, self.position.0 + 1, "no gap");
                self.position = draft.position;
                return Some(mark);
            }
            Content::Transaction { gid, after, records, summary } => (gid, after, records, summary),
        };
        assert!(!records.is_empty(), "a draft of {gid} has records");
        assert_eq!(draft.position.0, self.position.0 + records.len() as u64, "no gap");
        if after == Version(0) {
            self.begun(&records[0]);
        }
        let durable = self.durable;
        let life = self.lives.iter_mut().rev().find(|life| life.gid == gid);
        let life = life.expect("a transaction begins with its begin");
        assert_eq!(life.records.len() as u64, after.0, "{gid}: no record is left out");
        assert!(!life.has_ended(Position(u64::MAX)), "{gid}: nothing comes after the end");
        let mut bytes = Vec::new();
        for record in &records {
            encode_record(&gid, record, &mut bytes);
            self.position.0 += 1;
            life.records.push((self.position, record.clone()));
        }
        let read = decode_records(&gid, records.len() as u64, &bytes);
        assert_eq!(read.as_ref(), Ok(&records), "what the store writes it reads");
        let all = life.through(self.position);
        let decided = all.iter().filter(|r| matches!(r.fact, Fact::Decided { .. })).count();
        assert!(decided <= 1, "{gid} is decided once");
        let folded = Transaction::fold(&all).expect("there are records");
        assert_eq!(folded.summary(), summary, "{gid}: the fold is what was said");
        assert!(folded.branches.len() <= self.limits.branches_max, "{gid} is bounded");
        assert!(durable <= self.position, "durability follows");
        None
    }

    /// A gid is accepted once, and no begun is given twice or backwards.
    fn begun(&mut self, record: &Record) {
        let Fact::Begun(begun) = &record.fact else { panic!("the first record is the begin") };
        let taken = self.lives.iter().find(|life| life.gid == begun.gid && life.known);
        assert!(taken.is_none(), "{} is accepted once", begun.gid);
        let life =
            Life { gid: begun.gid.clone(), begun: begun.begun, records: Vec::new(), known: true };
        if !matches!(begun.start, wholly_core::record::Start::Lost) {
            assert!(begun.begun >= self.last_begun, "the clock never goes back");
            self.last_begun = begun.begun;
        }
        self.lives.push(life);
    }

    /// What is durable is decided for good.
    pub(super) fn note_decisions(&mut self) {
        for life in &self.lives {
            let folded = Transaction::fold(&life.through(self.durable));
            let Some(verdict) = folded.as_ref().and_then(Transaction::verdict) else { continue };
            let key = (life.gid.clone(), life.begun);
            let earlier = *self.decided.entry(key).or_insert(verdict.decision);
            assert_eq!(earlier, verdict.decision, "{} is decided once", life.gid);
        }
        for ((gid, begun), decision) in &self.decided {
            let same = |life: &&Life| life.gid == *gid && life.begun == *begun;
            let life = self.lives.iter().find(same);
            let life = life.unwrap_or_else(|| panic!("{gid}: a decision does not disappear"));
            let folded = Transaction::fold(&life.through(self.durable));
            let seen = folded.as_ref().and_then(Transaction::verdict).map(|v| v.decision);
            assert_eq!(seen, Some(*decision), "{gid}: a decision does not change");
        }
    }

    fn proven(&self, proof: Proof) {
        assert!(proof.needed <= proof.durable, "{proof:?}: no effect before its version");
        assert_eq!(proof.durable, self.durable, "what it says was durable was");
    }

    /// A call rests on what is durable, and is the only one of its branch.
    pub(super) fn called(&mut self, call: Call) {
        self.proven(call.proof);
        assert!(self.calls_made.insert(call.id), "a number is given once");
        for other in self.calls.values() {
            let same = other.gid == call.gid && other.branch == call.branch;
            assert!(!same, "{} {} is in flight already", call.gid, call.branch);
        }
        let named = |life: &&Life| life.gid == call.gid && life.begun == call.mark.begun;
        let life = self.lives.iter().rev().find(named).expect("of a transaction");
        let durable = Transaction::fold(&life.through(self.durable)).expect("its begin is durable");
        let index = durable.find(&call.branch).expect("its registration is durable");
        let branch = &durable.branches[index.at()];
        assert_eq!(
            (&branch.spec.payload, &branch.spec.operation),
            (&call.payload, &call.operation)
        );
        let decision = durable.verdict().map(|verdict| verdict.decision);
        let is_so = match call.op {
            Op::Confirm => decision == Some(Decision::Commit),
            Op::Cancel | Op::Compensate => decision.is_some(),
            Op::Try => decision.is_none() && branch.spec.caller == Caller::Coordinator,
            Op::Action => decision != Some(Decision::Abort),
            Op::Inspect => false,
        };
        assert!(is_so, "{:?} of {} after {decision:?}", call.op, call.gid);
        assert!(!durable.is_ended(), "{} has ended", call.gid);
        self.limit_holds(call.mark.limit);
        self.calls.insert(call.id, call);
        assert!(self.calls.len() <= self.limits.calls_max, "calls in flight are bounded");
        for call in self.calls.values() {
            let count = self.calls.values().filter(|c| c.destination == call.destination).count();
            assert!(count <= self.limits.destination_calls_max, "per destination too");
        }
    }

    /// Everything below the limit has ended for good.
    fn limit_holds(&self, limit: Timestamp) {
        for life in self.lives.iter().filter(|life| !life.is_lost()) {
            let below = life.begun < limit;
            assert!(!below || life.has_ended(self.durable), "{} is below the limit", life.gid);
        }
    }

    /// A reply goes to somebody who asked, once, and says nothing that may yet change.
    pub(super) fn replied(
        &mut self,
        to: RequestId,
        reply: &Result<Response, Rejection>,
        proof: Proof,
    ) {
        self.proven(proof);
        assert!(self.waiting.remove(&to) || self.gone.remove(&to), "{to:?} is answered once");
        match reply {
            Ok(Response::Submitted { document, .. }) => {
                self.told(document);
                let same = |life: &&Life| life.gid == document.gid && life.begun == document.begun;
                let durable = |life: &Life| life.records[0].0 <= self.durable;
                assert!(self.lives.iter().filter(same).any(durable), "its accept is durable");
            }
            Ok(Response::Transaction { document, .. }) => self.told(document),
            Err(Rejection::Decided { document }) => self.told(document),
            Ok(Response::Registered { mark, branch, .. }) => {
                let registered = |life: &Life| {
                    life.begun == mark.begun
                        && Transaction::fold(&life.through(self.durable))
                            .is_some_and(|transaction| transaction.find(branch).is_some())
                };
                assert!(self.lives.iter().any(registered), "{branch}: its record is durable");
                self.limit_holds(mark.limit);
            }
            Ok(Response::Begun { .. } | Response::Calls(_)) => {}
            Err(rejection) => assert!(!rejection.code().is_empty(), "it has a code"),
        }
    }

    /// A document is a fold of the log. Its decision and end are durable; what is stuck, or how a
    /// step was answered, is not final and may be shown before.
    fn told(&self, document: &Document) {
        let same = |life: &&Life| life.gid == document.gid && life.begun == document.begun;
        let is_fold = |life: &Life| {
            let mut folded: Option<Transaction> = None;
            for (_, record) in &life.records {
                match &mut folded {
                    None => folded = Some(Transaction::begin(record)),
                    Some(transaction) => transaction.apply(record),
                }
                if folded.as_ref().map(Transaction::document).as_ref() == Some(document) {
                    return true;
                }
            }
            false
        };
        let found = self.lives.iter().filter(same).any(is_fold);
        assert!(found, "{document:?} is no fold of the log");
        if let Some(decision) = document.decision {
            let durable = self.decided.get(&(document.gid.clone(), document.begun));
            assert_eq!(durable, Some(&decision), "{} was told early", document.gid);
        }
        if document.state == PhaseName::Ended {
            let ended = |life: &Life| life.has_ended(self.durable);
            assert!(self.lives.iter().filter(same).any(ended), "{} ended early", document.gid);
        }
    }

    pub(super) fn check_gauges(&self) {
        let gauges = self.driver.gauges();
        assert_eq!(gauges.calls, self.calls.len(), "calls in flight are counted");
        assert!(gauges.waiters <= self.limits.waiters_max, "waiters are bounded");
        let open = gauges.open + gauges.forward + gauges.finishing;
        assert!(open <= self.limits.open_max, "open transactions are bounded");
    }
}
