//! Edge: what the coordinator does with a request before the driver sees it.

use crate::client::Asked;
use crate::model::issued;
use crate::world::{Copies, OPERATOR, Season, Stage};
use std::rc::Rc;
use wholly_core::input::{GidSource, Request};
use wholly_wire::capability::CapabilityKey;

/// What the edge does: it issues gids.
pub(crate) fn at_the_edge(asked: &Rc<Asked>, stage: &mut Stage) -> Rc<Asked> {
    let source = match &asked.request {
        Request::Begin(begin) => begin.source,
        Request::Submit(submit) => submit.source,
        Request::Register(_)
        | Request::Commit(_)
        | Request::Abort(_)
        | Request::Get { .. }
        | Request::Calls { .. }
        | Request::Operate(_) => GidSource::Client,
    };
    if source == GidSource::Client {
        return asked.clone();
    }
    let mut asked = Asked::clone(asked);
    match &mut asked.request {
        Request::Begin(begin) => begin.gid = issued(stage.chance.bits()),
        Request::Submit(submit) => submit.gid = issued(stage.chance.bits()),
        Request::Register(_)
        | Request::Commit(_)
        | Request::Abort(_)
        | Request::Get { .. }
        | Request::Calls { .. }
        | Request::Operate(_) => {}
    }
    Rc::new(asked)
}

/// How long after the healing requests from before it still arrive.
const LATE_US: u64 = 1_000_000;

/// Once the world is healed, nothing begins, and after a while nothing old arrives. What an
/// operator said of a log that is lost, he does not say of the copy that was put back.
pub(crate) fn is_too_late(asked: &Asked, stage: &Stage) -> bool {
    if let (OPERATOR, Copies::PutBack { at_us, .. }) = (asked.client, stage.copies)
        && asked.asked_us < at_us
    {
        return true;
    }
    let since_us = match stage.season {
        Season::Faults => return false,
        Season::Healed { since_us, .. } => since_us,
    };
    match &asked.request {
        Request::Begin(_) | Request::Submit(_) => true,
        Request::Register(_)
        | Request::Commit(_)
        | Request::Abort(_)
        | Request::Get { .. }
        | Request::Calls { .. }
        | Request::Operate(_) => asked.asked_us < since_us && stage.now_us > since_us + LATE_US,
    }
}

/// Whether it shows a capability that was never given, as the edge sees.
pub(crate) fn is_forged(asked: &Asked, key: &CapabilityKey) -> bool {
    match (&asked.shown, asked.request.gid()) {
        (Some(shown), Some(gid)) => key.verify(gid, shown).is_err(),
        (Some(_), None) | (None, _) => false,
    }
}
