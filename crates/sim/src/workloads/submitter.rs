//! Submitter: hands a plan over, perhaps twice, perhaps aborts it, and asks how it ended.

use crate::cells::Struck;
use crate::client::{Client, Desk, Heard, principal, retry};
use crate::tally::Fault;
use wholly_core::document::{Document, Response};
use wholly_core::ids::{Digest, Gid, Text};
use wholly_core::input::{Abort, GidSource, Request, Submit, Wait};
use wholly_core::plan::Step;
use wholly_core::record::PhaseName;
use wholly_core::rejection::Rejection;
use wholly_core::time::Timestamp;
use wholly_wire::problem::Retry;

const TRIES_MAX: u32 = 12;

/// What a submitter means to do.
#[derive(Clone, Debug)]
pub struct Script {
    /// The id; issued by the coordinator if none.
    pub gid: Option<Gid>,
    /// Who chose it.
    pub source: GidSource,
    /// The plan.
    pub steps: Vec<Step>,
    /// Its digest.
    pub digest: Digest,
    /// When it turns back.
    pub timeout_ms: Option<u64>,
    /// What its submission waits for.
    pub wait: Wait,
    /// When it aborts, if it does.
    pub abort_after_us: Option<u64>,
    /// What it asks about a plan that was accepted.
    pub asks: Asks,
    /// How often it submits the same.
    pub submits: u32,
    /// The trouble it makes by coming at all, if somebody was there before.
    pub rival: Option<Fault>,
}

/// What a submitter asks about a plan that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// How it ended.
    TheEnd,
    /// Nothing.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Submit,
    Abort,
    Look,
}

/// The machine.
#[derive(Debug)]
pub struct Submitter {
    script: Script,
    begun: Option<(Gid, Timestamp)>,
    submitted: u32,
    tries: u32,
    asked: Vec<(u32, Purpose)>,
    timers: Vec<(u32, Purpose)>,
}

impl Submitter {
    /// One that has done nothing yet.
    pub fn new(script: Script) -> Self {
        Submitter {
            script,
            begun: None,
            submitted: 0,
            tries: 0,
            asked: Vec::new(),
            timers: Vec::new(),
        }
    }

    fn act(&mut self, purpose: Purpose, desk: &mut Desk<'_>) {
        self.tries += 1;
        if self.tries > TRIES_MAX {
            return desk.leave();
        }
        let request = match (purpose, &self.begun) {
            (Purpose::Submit, _) => Request::Submit(self.submit()),
            (Purpose::Abort, Some((gid, begun))) => Request::Abort(Abort {
                gid: gid.clone(),
                begun: *begun,
                reason: Text::cut("thought better of it"),
                branch: None,
                wait: self.script.wait,
                principal: principal(),
            }),
            (Purpose::Look, Some((gid, _))) => {
                Request::Get { gid: gid.clone(), wait: self.script.wait }
            }
            (Purpose::Abort | Purpose::Look, None) => return desk.leave(),
        };
        let patience = desk.stage.limits.call_timeout_ms * 2_000 + 300_000;
        let ask = desk.ask(request, patience);
        self.asked.push((ask, purpose));
    }

    fn submit(&self) -> Submit {
        Submit {
            gid: match &self.script.gid {
                Some(gid) => gid.clone(),
                None => Gid::new("issued").expect("a name"),
            },
            source: self.script.source,
            name: super::name("plan"),
            timeout_ms: self.script.timeout_ms,
            steps: self.script.steps.clone(),
            digest: self.script.digest,
            principal: principal(),
            wait: self.script.wait,
        }
    }

    fn pause(&mut self, purpose: Purpose, desk: &mut Desk<'_>) {
        let wait = desk.stage.chance.within(200, 30_000);
        let token = desk.timer(wait);
        self.timers.push((token, purpose));
    }

    fn shown(&mut self, purpose: Purpose, document: &Document, desk: &mut Desk<'_>) {
        if self.begun.is_none() {
            self.begun = Some((document.gid.clone(), document.begun));
            if self.script.gid.is_none() {
                desk.stage.gids.push(document.gid.clone());
            }
        }
        self.submitted += u32::from(purpose == Purpose::Submit);
        if self.submitted < self.script.submits && self.script.source == GidSource::Client {
            desk.stage.counts(Fault::Resubmitted, Struck::One(&document.gid));
            return self.pause(Purpose::Submit, desk);
        }
        match document.state {
            PhaseName::Ended => desk.leave(),
            // It was handed over, which is enough for many.
            PhaseName::Open | PhaseName::Forward | PhaseName::Finishing
                if self.script.asks == Asks::Nothing =>
            {
                desk.leave();
            }
            PhaseName::Open | PhaseName::Forward | PhaseName::Finishing => {
                self.pause(Purpose::Look, desk);
            }
        }
    }

    fn rejected(&mut self, purpose: Purpose, rejection: &Rejection, desk: &mut Desk<'_>) {
        if let Rejection::Decided { .. } = rejection {
            return self.pause(Purpose::Look, desk);
        }
        // A plan is accepted by its submission alone.
        if let Rejection::GidUnknown { .. } = rejection {
            return desk.leave();
        }
        match retry(rejection) {
            Retry::Later | Retry::Now => self.pause(purpose, desk),
            Retry::Never => desk.leave(),
        }
    }
}

fn take(list: &mut Vec<(u32, Purpose)>, number: u32) -> Option<Purpose> {
    let at = list.iter().position(|(known, _)| *known == number)?;
    Some(list.swap_remove(at).1)
}

impl Client for Submitter {
    fn hear(&mut self, heard: Heard, desk: &mut Desk<'_>) {
        match heard {
            Heard::Go => {
                if let Some(fault) = self.script.rival {
                    desk.stage.counts(fault, Struck::of(self.script.gid.as_ref()));
                }
                if let Some(wait) = self.script.abort_after_us {
                    let token = desk.timer(wait);
                    self.timers.push((token, Purpose::Abort));
                }
                self.act(Purpose::Submit, desk);
            }
            Heard::Reply { ask, reply } => {
                let Some(purpose) = take(&mut self.asked, ask) else { return };
                if desk.dies(self.begun.as_ref().map(|(gid, _)| gid).or(self.script.gid.as_ref())) {
                    return desk.leave();
                }
                match reply {
                    Ok(
                        Response::Submitted { document, .. }
                        | Response::Transaction { document, .. },
                    ) => self.shown(purpose, &document, desk),
                    Ok(
                        Response::Begun { .. } | Response::Registered { .. } | Response::Calls(_),
                    ) => desk.leave(),
                    Err(rejection) => self.rejected(purpose, &rejection, desk),
                }
            }
            Heard::Silence { ask } => {
                if let Some(purpose) = take(&mut self.asked, ask) {
                    self.act(purpose, desk);
                }
            }
            Heard::Timer { token } => match take(&mut self.timers, token) {
                Some(Purpose::Abort) if self.begun.is_none() => self.pause(Purpose::Abort, desk),
                Some(Purpose::Abort) => {
                    let gid = self.begun.as_ref().map(|(gid, _)| gid);
                    desk.stage.counts(Fault::AbortRaced, Struck::of(gid));
                    self.act(Purpose::Abort, desk);
                }
                Some(purpose) => self.act(purpose, desk),
                None => {}
            },
            Heard::Answer { .. } | Heard::Quiet { .. } => {}
        }
    }
}
