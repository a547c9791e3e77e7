//! Agenda: everything that will happen in a run.

use crate::client::Asked;
use crate::coordinator::Act;
use crate::network::Letter;
use crate::participant::{Life, Work};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::rc::Rc;
use wholly_core::branch::Answer;
use wholly_core::document::Response;
use wholly_core::ids::CallId;
use wholly_core::input::Input;
use wholly_core::rejection::Rejection;

/// Something that will happen.
#[derive(Debug)]
pub enum Event {
    /// A call arrives at its participant.
    CallArrives(Rc<Letter>),
    /// Something in hand at a participant comes to its end.
    Works {
        /// Which.
        participant: usize,
        /// In which of its lives.
        life: Life,
        /// What it was given.
        letter: Rc<Letter>,
        /// What ends.
        work: Work,
    },
    /// An answer arrives at the coordinator.
    Answered {
        /// In which of its lives the call was sent.
        life: u32,
        /// Which sending.
        call: CallId,
        /// What.
        answer: Box<Answer>,
    },
    /// A call's time is over.
    CallTimesOut {
        /// In which of its lives the call was sent.
        life: u32,
        /// Which sending.
        call: CallId,
    },
    /// A request arrives at the coordinator.
    RequestArrives(Rc<Asked>),
    /// A client that waited closes its connection.
    RequestGone {
        /// Which.
        client: usize,
        /// Which request of it.
        ask: u32,
    },
    /// A reply arrives at its client.
    ReplyArrives {
        /// Which.
        client: usize,
        /// To which request of it.
        ask: u32,
        /// When that was asked.
        asked_us: u64,
        /// What.
        reply: Box<Result<Response, Rejection>>,
    },
    /// A client's time comes.
    ClientGoes(usize),
    /// A client waited long enough for a reply.
    ClientSilence {
        /// Which.
        client: usize,
        /// For which request of it.
        ask: u32,
    },
    /// A participant's answer arrives at the client that called it.
    ClientAnswered {
        /// Which.
        client: usize,
        /// To which call of it.
        token: u32,
        /// What.
        answer: Box<Answer>,
    },
    /// A client waited long enough for a participant.
    ClientQuiet {
        /// Which.
        client: usize,
        /// For which call of it.
        token: u32,
    },
    /// A time that a client set is over.
    ClientTimer {
        /// Which.
        client: usize,
        /// Which of its timers.
        token: u32,
    },
    /// What the store knew of a gid arrives at the driver.
    LookedUp {
        /// In which of the coordinator's lives.
        life: u32,
        /// What.
        input: Box<Input>,
    },
    /// The driver's alarm.
    Alarm {
        /// In which of the coordinator's lives.
        life: u32,
        /// Which setting of it.
        setting: u64,
    },
    /// The disk is done with what it was asked.
    DiskDone {
        /// In which of the coordinator's lives.
        life: u32,
    },
    /// The archive is done with what it was asked.
    ArchiveDone {
        /// In which of the coordinator's lives.
        life: u32,
    },
    /// An operator's act reaches the coordinator.
    Operated(Act),
    /// The coordinator's process stops, as it was asked to.
    CoordinatorStops {
        /// In which of its lives.
        life: u32,
    },
    /// The coordinator's process is started again.
    CoordinatorStarts,
    /// A participant's process is started again.
    ParticipantStarts(usize),
    /// What strikes by the clock is drawn.
    Tick,
    /// Nothing breaks from here on.
    Heal,
    /// Everything must have ended.
    Bound,
    /// The auditor has heard everything.
    Close,
}

/// Whose process an event has to do with: one that stands still is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The coordinator's.
    Coordinator,
    /// A participant's.
    Participant(usize),
    /// Nobody's that stands still.
    Elsewhere,
}

impl Event {
    /// Where it happens.
    pub fn place(&self) -> Place {
        match self {
            Event::CallArrives(letter) => Place::Participant(letter.to),
            Event::Works { participant, .. } => Place::Participant(*participant),
            Event::Answered { .. }
            | Event::CallTimesOut { .. }
            | Event::RequestArrives(_)
            | Event::RequestGone { .. }
            | Event::LookedUp { .. }
            | Event::Alarm { .. }
            | Event::DiskDone { .. }
            | Event::ArchiveDone { .. }
            | Event::Operated(_) => Place::Coordinator,
            Event::ReplyArrives { .. }
            | Event::ClientGoes(_)
            | Event::ClientSilence { .. }
            | Event::ClientAnswered { .. }
            | Event::ClientQuiet { .. }
            | Event::ClientTimer { .. }
            | Event::CoordinatorStops { .. }
            | Event::CoordinatorStarts
            | Event::ParticipantStarts(_)
            | Event::Tick
            | Event::Heal
            | Event::Bound
            | Event::Close => Place::Elsewhere,
        }
    }
}

/// Everything that will happen, in order of time, then of planning. The order is kept apart from
/// the events, for it moves about a great deal: time, sequence and place as one number.
#[derive(Default)]
pub struct Agenda {
    /// The earliest is the greatest, for the heap gives that first.
    order: BinaryHeap<Reverse<u128>>,
    events: Vec<Option<(Event, u64)>>,
    free: Vec<u32>,
    sequence: u64,
}

/// Bits of a place in the agenda's order; a sequence has the 40 before them.
const PLACE_BITS: u32 = 24;

impl Agenda {
    /// Plans something for a time, with the stream of draws it will have.
    pub fn plan(&mut self, at_us: u64, event: Event, stream: u64) {
        self.sequence += 1;
        let planned = Some((event, stream));
        let place = match self.free.pop() {
            Some(place) => {
                self.events[place as usize] = planned;
                place
            }
            None => {
                self.events.push(planned);
                u32::try_from(self.events.len() - 1).expect("a run plans fewer at once")
            }
        };
        debug_assert!(place >> PLACE_BITS == 0 && self.sequence >> 40 == 0, "runs are small");
        let low = u128::from(self.sequence << PLACE_BITS | u64::from(place));
        self.order.push(Reverse(u128::from(at_us) << 64 | low));
    }

    /// What happens next, when, and with which draws.
    pub fn pop(&mut self) -> Option<(u64, Event, u64)> {
        let Reverse(next) = self.order.pop()?;
        let (at_us, place) = ((next >> 64) as u64, next as u32 & ((1 << PLACE_BITS) - 1));
        self.free.push(place);
        let planned = self.events[place as usize].take();
        let (event, stream) = planned.expect("what is in order is planned");
        Some((at_us, event, stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_planned_for_one_time_happens_in_the_order_of_planning() {
        let mut agenda = Agenda::default();
        for (at_us, client) in [(5, 1), (3, 2), (5, 3), (3, 4)] {
            agenda.plan(at_us, Event::ClientGoes(client), 0);
        }
        let mut popped = Vec::new();
        while let Some((at_us, event, _)) = agenda.pop() {
            if at_us == 3 {
                agenda.plan(4, Event::Tick, 0);
            }
            let client = if let Event::ClientGoes(client) = event { client } else { 0 };
            popped.push((at_us, client));
        }
        assert_eq!(popped, [(3, 2), (3, 4), (4, 0), (4, 0), (5, 1), (5, 3)]);
    }
}
