//! World: virtual time, one agenda of events, and everybody in it; one seed decides everything.

use crate::agenda::{Agenda, Event, Place};
use crate::cells::{Census, Struck};
use crate::chance::Chance;
use crate::checkers::{Court, Violation};
use crate::client::{Asked, Client, Desk, Heard, Presence};
use crate::clock::Clock;
use crate::coordinator::{Coordinator, outlives_a_restore};
use crate::evidence::{Evidence, Remains};
use crate::log::Space;
use crate::model::Fates;
use crate::network::Network;
use crate::odds::{Luck, Odds, TICK_US};
use crate::order::Order;
use crate::participant::{Keeps, Participant};
use crate::tally::{Fault, State, Tally};
use crate::trace::Trace;
use crate::weather;
use crate::workloads;
use std::rc::Rc;
use wholly_core::ids::Gid;
use wholly_core::input::{Request, Wait};
use wholly_core::limits::Limits;
use wholly_core::retry::mix;

/// Participants of every run.
pub const PARTICIPANTS: usize = 4;
/// The number under which the operator asks.
pub const OPERATOR: usize = 0;
/// The number under which the auditor asks.
pub const AUDITOR: usize = usize::MAX;

/// How far the mark may be behind: it is written every second, by the clock of the mark before.
const MARK_MS: u64 = 2_600;
/// Between two marks.
const MARK_APART_MS: u64 = 1_000;

/// The two phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Season {
    /// Things break, and what is promised must hold.
    Faults,
    /// Nothing breaks, and everything must end.
    Healed {
        /// Since when.
        since_us: u64,
        /// When nothing may be left.
        bound_us: u64,
    },
}

/// Who chooses gids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// Clients, where they like to.
    Free,
    /// The coordinator.
    Issued,
}

/// Whether the coordinator's disk is copied in a run, and the copy put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copies {
    /// Never.
    None,
    /// Once.
    One(Age),
    /// It was put back.
    PutBack {
        /// When.
        at_us: u64,
        /// The coordinator's first life on it.
        life: u32,
    },
}

/// How old a copy is when it is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Much of what was under way is so still.
    Young,
    /// What was under way ended long ago, and rows of it may be forgotten.
    Old,
}

/// What has a stream of draws of its own. Everything else draws from the stream of the event it
/// belongs to, which was drawn from the stream of the event that planned it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// The clients of a transaction.
    Cast,
    /// A sending of a call.
    Call,
    /// A reply.
    Reply,
    /// A setting of the alarm.
    Alarm,
    /// Work of the disk.
    Disk,
    /// Work of the archive.
    Archive,
    /// A start of the coordinator.
    Start,
    /// An end of the coordinator.
    Death,
    /// What strikes the coordinator's machine by the clock.
    Machine,
    /// What strikes others by the clock.
    Weather,
}

/// What everybody in the world shares.
pub struct Stage {
    /// Virtual time since the start of the run.
    pub now_us: u64,
    agenda: Agenda,
    seed: u64,
    /// The draws of what happens at this moment.
    pub chance: Chance,
    /// How likely each fault is.
    pub odds: Odds,
    /// What happened how often.
    pub tally: Tally,
    /// What happened.
    pub trace: Trace,
    /// Model and checkers.
    pub court: Court,
    /// The coordinator's clocks.
    pub clock: Clock,
    /// What lies between.
    pub network: Network,
    /// The coordinator's limits.
    pub limits: Limits,
    /// Every gid that anybody used.
    pub gids: Vec<Gid>,
    /// Whether anything still breaks.
    pub season: Season,
    /// Whether a copy of the coordinator's disk is put back.
    pub copies: Copies,
    /// Whether clients choose gids. Where what the coordinator knew of a gid may be lost, nobody
    /// can tell whether it was used.
    pub naming: Naming,
    /// How much the coordinator's log may take.
    pub space: Space,
    /// Branches that a workload gives one transaction at most.
    pub branches_max: u64,
}

impl Stage {
    /// Something happens after so long.
    pub fn after(&mut self, wait_us: u64, event: Event) {
        let stream = self.chance.bits();
        self.agenda.plan(self.now_us + wait_us, event, stream);
    }

    /// Lets something draw from a stream that is known by these numbers, whatever was drawn before,
    /// and however much it draws.
    pub fn apart<T>(&mut self, stream: [u64; 3], act: impl FnOnce(&mut Stage) -> T) -> T {
        let stream = stream.iter().fold(self.seed, |stream, number| mix(stream ^ number));
        let before = std::mem::replace(&mut self.chance, Chance::new(stream));
        let done = act(self);
        self.chance = before;
        done
    }

    /// Within how long everything must have ended, if nothing breaks and nobody begins.
    fn ends_within_us(&self) -> u64 {
        let Limits { call_timeout_ms, backoff_ms_max, ramp_ms, .. } = self.limits;
        let Limits { clock_jump_grace_ms, wait_ms_max, .. } = self.limits;
        let chain = 2 * self.branches_max;
        let bound_ms = 2 * backoff_ms_max + chain * call_timeout_ms + 1_000;
        let before_ms = ramp_ms + clock_jump_grace_ms + wait_ms_max;
        let wall = self.clock.read(self.now_us).wall;
        let deadline = self.court.ledger.last_deadline();
        let open_ms = deadline.map_or(0, |deadline| deadline.since_ms(wall));
        (open_ms + bound_ms + before_ms) * 1_000
    }

    /// Whether a fault strikes; counts it, for whom it strikes.
    pub fn strikes(&mut self, fault: Fault, struck: Struck<'_>) -> bool {
        let strikes = self.draws(fault);
        if strikes {
            self.counts(fault, struck);
        }
        strikes
    }

    /// Whether a fault strikes; whom is seen later, and counted then.
    pub fn draws(&mut self, fault: Fault) -> bool {
        self.odds.draws(fault, &mut self.chance)
    }

    /// Counts a fault that was drawn, for whom it strikes.
    pub fn counts(&mut self, fault: Fault, struck: Struck<'_>) {
        let ledger = &self.court.ledger;
        let census = match struck {
            // What was begun after a copy that was put back is not what a fault is counted for.
            Struck::One(gid) if ledger.is_gone(gid) => Census::default(),
            // Nor what belongs to an earlier begin of a gid that was begun again, and lost.
            Struck::One(gid) if ledger.is_lost_again(gid) => Census::default(),
            Struck::One(gid) => Census::of_one(ledger.state(gid)),
            Struck::Everybody => ledger.census().or_none(),
            Struck::Nobody => Census::of_one(State::None),
        };
        self.tally.fault(fault, &census);
        let strike = self.odds.last_strike();
        self.trace.note(self.now_us, [21, fault as u64, strike], || {
            let whom = match struck {
                Struck::One(gid) => format!("{gid} ({})", ledger.state(gid).words()),
                Struck::Everybody => "everybody".into(),
                Struck::Nobody => "nobody known".into(),
            };
            format!("world strike {strike}: {}, for {whom}", fault.words())
        });
    }

    /// What a part of the world that knows no transactions draws its faults with.
    pub fn luck(&mut self) -> Luck<'_> {
        let census = self.court.ledger.census().or_none();
        let Stage { odds, chance, tally, trace, now_us, .. } = self;
        Luck { odds, chance, tally, census, trace, now_us: *now_us }
    }

    /// Takes a note.
    pub fn note(&mut self, numbers: [u64; 3], words: impl FnOnce() -> String) {
        self.trace.note(self.now_us, numbers, words);
    }

    /// Puts evidence before the checkers.
    pub fn hear(&mut self, evidence: &Evidence<'_>) {
        self.court.hear(evidence);
    }

    fn next(&mut self) -> Option<Event> {
        let (at_us, event, stream) = self.agenda.pop()?;
        self.now_us = at_us;
        self.chance = Chance::new(stream);
        Some(event)
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What it was asked for.
    pub order: Order,
    /// How its transactions were decided and ended.
    pub fates: Fates,
    /// What happened how often.
    pub tally: Tally,
    /// The names of the strikes, in order.
    pub strikes: Vec<u64>,
    /// The hash of everything that happened.
    pub hash: u64,
    /// Events.
    pub events: u64,
    /// Virtual time.
    pub lasted_us: u64,
    /// The first promise that was broken.
    pub violation: Option<Violation>,
    /// The workload whose transaction broke it, where one is named.
    pub workload: &'static str,
}

impl Verdict {
    /// Of a run that panicked.
    pub fn panicked(order: &Order, what: String) -> Self {
        Verdict {
            order: order.clone(),
            fates: Fates::default(),
            tally: Tally::default(),
            strikes: Vec::new(),
            hash: 0,
            events: 0,
            lasted_us: 0,
            violation: Some(Violation { promise: "no panic", what }),
            workload: "unknown",
        }
    }
}

struct Seat {
    client: Box<dyn Client>,
    presence: Presence,
    next: u32,
}

/// Everybody.
pub struct World {
    order: Order,
    stage: Stage,
    coordinator: Coordinator,
    participants: Vec<Participant>,
    seats: Vec<Seat>,
}

/// Limits small enough that everything happens within seconds.
fn limits(chance: &mut Chance) -> Limits {
    let call_timeout_ms = chance.within(20, 100);
    Limits {
        call_timeout_ms,
        breaker_silent_max: [1, 2, 8, 8][(call_timeout_ms % 4) as usize],
        open_bytes_max: [512, 1 << 30, 1 << 30, 1 << 30, 1 << 30][(call_timeout_ms % 5) as usize],
        backoff_ms: chance.within(2, 20),
        backoff_ms_max: chance.within(50, 200),
        open_timeout_ms: chance.within(200, 1_500),
        lazy_ms_max: chance.within(1, 50),
        clock_jump_ms_max: chance.within(200, 1_000),
        clock_jump_grace_ms: chance.within(100, 500),
        ramp_ms: chance.within(1, 100),
        wait_ms_max: 400,
        calls_max: *chance.pick(&[4, 64, 1_024]),
        destination_calls_max: *chance.pick(&[2, 16, 256]),
        transaction_waiters_max: *chance.pick(&[2, 16]),
        open_max: *chance.pick(&[16, 1_000_000, 1_000_000, 1_000_000]),
        retention_ms: match chance.below(3) {
            0 => chance.within(100, 1_500),
            _ => Limits::default().retention_ms,
        },
        destinations_max: *chance.pick(&[3, 4_096, 4_096, 4_096, 4_096, 4_096]),
        ..Limits::default()
    }
}

impl World {
    /// The world of a seed, with everything about to happen.
    pub fn new(order: &Order) -> Self {
        // Each part from a stream of its own, so that a part that draws more changes no other.
        let part = |number: u64| Chance::new(mix(order.seed ^ mix(number)));
        let odds = Odds::draw(order);
        let mut limits = limits(&mut part(1));
        let mut chance = part(2);
        let keeps = |chance: &mut Chance| match chance.below(3) {
            0 => Keeps::Nothing,
            _ => Keeps::Replies,
        };
        let participants: Vec<Participant> =
            (0..PARTICIPANTS).map(|number| Participant::new(number, keeps(&mut chance))).collect();
        let mut chance = part(4);
        let space = match chance.below(8) {
            0 => Space::Tight { bytes_max: chance.within(6_000, 24_000) },
            _ => Space::Ample { segment_bytes: chance.within(2_000, 48_000) },
        };
        let copies = match chance.below(4) {
            0 => Copies::One(*chance.pick(&[Age::Young, Age::Young, Age::Old])),
            _ => Copies::None,
        };
        if copies == Copies::One(Age::Old) {
            limits.retention_ms = chance.within(50, 300);
        }
        let coordinator = Coordinator::new(limits.clone(), &mut part(3));
        let naming = match (space, copies) {
            (Space::Ample { .. }, Copies::None) => Naming::Free,
            (Space::Tight { .. }, _) | (_, Copies::One(_) | Copies::PutBack { .. }) => {
                Naming::Issued
            }
        };
        let branches_max = *chance.pick(&[2, 5, 5, 5, 12]);
        let mut stage = Stage {
            now_us: 0,
            agenda: Agenda::default(),
            seed: order.seed,
            chance: part(5),
            odds,
            tally: Tally::default(),
            trace: Trace::new(order.lines),
            court: Court::default(),
            clock: Clock::new(),
            network: Network::new(PARTICIPANTS),
            limits,
            gids: Vec::new(),
            season: Season::Faults,
            branches_max,
            space,
            copies,
            naming,
        };
        stage.court.ledger.limits = stage.limits.clone();
        let (seats, last_start_us) = seat(order, &mut stage);
        stage.after(0, Event::CoordinatorStarts);
        stage.after(TICK_US, Event::Tick);
        let heal_us = last_start_us + stage.chance.within(200_000, 1_500_000);
        stage.after(heal_us, Event::Heal);
        World { order: order.clone(), stage, coordinator, participants, seats }
    }

    /// Lets everything happen, to the end or to the first violation.
    pub fn run(mut self) -> Verdict {
        while let Some(event) = self.stage.next() {
            if matches!(event, Event::Close) {
                break;
            }
            self.happen(event);
            if self.stage.court.violation.is_some() {
                break;
            }
        }
        let World { order, stage, .. } = self;
        let words = || format!("world the run is over: {:?}", stage.court.violation);
        let mut trace = stage.trace;
        trace.note(stage.now_us, [9, 0, 0], words);
        Verdict {
            order,
            fates: stage.court.ledger.fates(),
            tally: stage.tally,
            strikes: stage.odds.strikes().to_vec(),
            hash: trace.hash(),
            events: trace.events(),
            lasted_us: stage.now_us,
            workload: stage.court.workload(),
            violation: stage.court.violation,
        }
    }

    fn happen(&mut self, event: Event) {
        let stage = &mut self.stage;
        let paused_until_us = match event.place() {
            Place::Coordinator => self.coordinator.paused_until_us(),
            Place::Participant(number) => self.participants[number].paused_until_us(),
            Place::Elsewhere => 0,
        };
        if stage.now_us < paused_until_us {
            return stage.after(paused_until_us - stage.now_us, event);
        }
        match event {
            Event::CallArrives(letter) | Event::Works { letter, .. }
                if outlives_a_restore(&letter, stage) => {}
            Event::CallArrives(letter) => self.participants[letter.to].meet(&letter, stage),
            Event::Works { participant, life, letter, work } => {
                self.participants[participant].work(life, &letter, work, stage);
            }
            Event::Answered { life, call, answer } => {
                self.coordinator.answered((life, call), *answer, stage);
            }
            Event::CallTimesOut { life, call } => self.coordinator.times_out((life, call), stage),
            Event::RequestArrives(asked) => self.coordinator.asked(&asked, stage),
            Event::RequestGone { client, ask } => self.coordinator.gone((client, ask), stage),
            Event::ReplyArrives { client, ask, asked_us, reply } => {
                let heard_us = stage.now_us;
                stage.hear(&Evidence::Heard { asked_us, heard_us, reply: &reply });
                self.hear(client, Heard::Reply { ask, reply: *reply });
            }
            Event::ClientGoes(client) => self.hear(client, Heard::Go),
            Event::ClientSilence { client, ask } => {
                if stage.chance.below(2) == 0 {
                    stage.after(100, Event::RequestGone { client, ask });
                }
                self.hear(client, Heard::Silence { ask });
            }
            Event::ClientAnswered { client, token, answer } => {
                self.hear(client, Heard::Answer { token, answer: *answer });
            }
            Event::ClientQuiet { client, token } => self.hear(client, Heard::Quiet { token }),
            Event::ClientTimer { client, token } => self.hear(client, Heard::Timer { token }),
            Event::LookedUp { life, input } => self.coordinator.looked_up(life, *input, stage),
            Event::Alarm { life, setting } => self.coordinator.alarm((life, setting), stage),
            Event::DiskDone { life } => self.coordinator.disk_done(life, stage),
            Event::ArchiveDone { life } => self.coordinator.archive_done(life, stage),
            Event::Operated(act) => self.coordinator.operated(act, stage),
            Event::CoordinatorStops { life } => self.coordinator.stop(life, stage),
            Event::CoordinatorStarts => self.coordinator.start(stage),
            Event::ParticipantStarts(number) => self.participants[number].restart(),
            Event::Tick => self.tick(),
            Event::Heal => self.heal(),
            Event::Bound => self.bound(),
            Event::Close => {}
        }
    }

    fn hear(&mut self, client: usize, heard: Heard) {
        let Some(seat) = self.seats.get_mut(client) else { return };
        if seat.presence == Presence::Gone {
            return;
        }
        let stage = &mut self.stage;
        stage.note([7, client as u64, 0], || {
            let words = match &heard {
                Heard::Reply { ask, reply } => {
                    format!("#{ask} {}", crate::client::words_of_reply(reply))
                }
                Heard::Go
                | Heard::Silence { .. }
                | Heard::Answer { .. }
                | Heard::Quiet { .. }
                | Heard::Timer { .. } => format!("{heard:?}"),
            };
            format!("client {client} < {words}")
        });
        let mut desk = Desk { stage, client, next: &mut seat.next, presence: Presence::Here };
        seat.client.hear(heard, &mut desk);
        seat.presence = desk.presence;
    }

    /// Draws what strikes by the clock.
    fn tick(&mut self) {
        if self.stage.season != Season::Faults {
            return;
        }
        let (coordinator, stage) = (&mut self.coordinator, &mut self.stage);
        stage.after(TICK_US, Event::Tick);
        let tick = stage.now_us;
        stage.apart([Stream::Machine as u64, tick, 0], |stage| coordinator.tick(stage));
        for participant in &mut self.participants {
            participant.clear_rows(stage);
            let stream = [Stream::Weather as u64, tick, participant.number() as u64 + 1];
            stage.apart(stream, |stage| weather::at(participant, stage));
        }
        stage.apart([Stream::Weather as u64, tick, 0], weather::around_the_coordinator);
    }

    /// Nothing breaks from here on, nobody asks for more, and the bound begins to run.
    fn heal(&mut self) {
        let stage = &mut self.stage;
        stage.note([8, 6, 0], || "world is healed".into());
        stage.odds.calm_down();
        stage.network.heal();
        stage.clock.heal(stage.now_us);
        let within_us = stage.ends_within_us();
        let bound_us = stage.now_us + within_us;
        stage.season = Season::Healed { since_us: stage.now_us, bound_us };
        self.participants.iter_mut().for_each(Participant::heal);
        for seat in self.seats.iter_mut().skip(1) {
            seat.presence = Presence::Gone;
        }
        self.coordinator.heal(stage);
        stage.after(within_us, Event::Bound);
    }

    /// What is still there.
    fn remains(&mut self) -> Remains {
        let stage = &self.stage;
        let origin = self.coordinator.origin();
        let rows = self.participants.iter_mut().map(|one| one.rows_left(origin)).collect();
        let limit = stage.court.ledger.marks.last().map(|(_, mark)| mark.limit);
        let jumped_ms = stage.court.ledger.marks_apart_ms().saturating_sub(MARK_APART_MS);
        let behind_ms = stage.limits.retention_ms + MARK_MS + jumped_ms;
        let said = limit.unwrap_or_default().plus_ms(behind_ms);
        let wall = stage.clock.read(stage.now_us).wall;
        Remains { rows, mark_late_ms: wall.since_ms(said), ..self.coordinator.remains() }
    }

    /// Everything must have ended; the auditor asks how.
    fn bound(&mut self) {
        let remains = self.remains();
        self.stage.note([8, 7, remains.open], || format!("world bound is over: {remains:?}"));
        self.stage.hear(&Evidence::Over(remains));
        for gid in std::mem::take(&mut self.stage.gids) {
            let request = Request::Get { gid, wait: Wait::No };
            let asked_us = self.stage.now_us;
            let asked = Asked { client: AUDITOR, ask: 0, asked_us, request, shown: None };
            self.stage.after(0, Event::RequestArrives(Rc::new(asked)));
        }
        self.stage.after(2_000_000, Event::Close);
    }
}

/// Casts the clients and says when the last of them begins.
fn seat(order: &Order, stage: &mut Stage) -> (Vec<Seat>, u64) {
    let mut seats = vec![Seat {
        client: Box::new(workloads::operator::Operator::default()),
        presence: Presence::Here,
        next: 0,
    }];
    stage.after(1_000, Event::ClientGoes(0));
    let gap_us = match (stage.copies, stage.chance.below(8)) {
        (Copies::One(Age::Young), _) => stage.chance.within(100, 8_000),
        (Copies::One(Age::Old), _) => stage.chance.within(50_000, 120_000),
        (Copies::None | Copies::PutBack { .. }, 0) => stage.chance.within(0, 200),
        (Copies::None | Copies::PutBack { .. }, _) => stage.chance.within(500, 40_000),
    };
    let mut start_us = 1_000;
    let mut last_us = start_us;
    for number in 0..order.transactions {
        start_us += stage.chance.below(2 * gap_us + 1);
        // Those left out are drawn all the same: so the others stay as they are.
        stage.apart([Stream::Cast as u64, number, 0], |stage| {
            let cast = workloads::cast(number, stage);
            for (wait_us, client) in cast.into_iter().filter(|_| order.seats(number)) {
                last_us = last_us.max(start_us + wait_us);
                stage.after(start_us + wait_us, Event::ClientGoes(seats.len()));
                seats.push(Seat { client, presence: Presence::Here, next: 0 });
            }
        });
    }
    (seats, last_us)
}
