//! Coordinator: the shipped driver over the shipped committer, in a process that can die anywhere.

mod archive;
mod copy;
mod machine;
mod operating;

pub use operating::Act;

use crate::agenda::Event;
use crate::cells::Struck;
use crate::chance::Chance;
use crate::client::{Asked, words_of, words_of_reply};
use crate::disk::{Flawed, Rot, SimDisk};
use crate::edge::{at_the_edge, is_forged, is_too_late};
use crate::evidence::{Evidence, Ready, Remains};
use crate::log::{Log, Space};
use crate::mutants::{self, Mutant};
use crate::network::{Letter, Sender};
use crate::sights;
use crate::tally::{Fault, Sight};
use crate::trace::number_of;
use crate::watch::{self, Flight, Silences, Watch};
use crate::world::{AUDITOR, Season, Stage, Stream};
pub(crate) use copy::outlives_a_restore;
use copy::{Copy, Folder, input_of};
use machine::duration_us;
use std::collections::BTreeMap;
use std::rc::Rc;
use wholly_core::barrier;
use wholly_core::branch::Answer;
use wholly_core::document::Response;
use wholly_core::driver::Driver;
use wholly_core::effect::{Call, Content, Draft, Effect, Proof};
use wholly_core::ids::{Body, CallId, Origin, Position, RequestId, Text};
use wholly_core::input::{Input, Request};
use wholly_core::limits::Limits;
use wholly_core::rejection::Rejection;
use wholly_core::time::Instant;
use wholly_store::archive::ArchiveOp;
use wholly_store::archive::twin::Twin;
use wholly_store::contract::Completion;
use wholly_store::disk::DiskOp;
use wholly_store::embedded::OpenError;
use wholly_wire::capability::{CapabilityKey, KEY_BYTES};

/// A machine with a disk, on which one process runs or does not.
pub struct Coordinator {
    limits: Limits,
    origin: Origin,
    seed: u64,
    disk: SimDisk,
    life: u32,
    process: Option<Process>,
    paused_until_us: u64,
    /// Its disk has no room.
    full_until_us: u64,
    /// A bit on its disk that nobody has noticed, or that did no harm yet.
    rot: Option<Rot>,
    key: CapabilityKey,
    requests: u64,
    /// The last position of which a write was carried out.
    written: Position,
    /// A copy of its disk as it was once.
    copy: Option<Copy>,
    /// Beside the disk; the log of some machines has none.
    twin: Option<Twin>,
    folder: Folder,
}

/// Everything that is lost when the process dies.
struct Process {
    log: Log,
    /// None while the log is being read back.
    driver: Option<Driver>,
    effects: Vec<Effect>,
    /// With the stream of draws that its reply has.
    asked: BTreeMap<RequestId, (Rc<Asked>, u64)>,
    in_flight: BTreeMap<CallId, Flight>,
    watch: Watch,
    silences: Silences,
    setting: u64,
    alarm: Option<Instant>,
    under_way: Option<DiskOp>,
    archiving: Option<ArchiveOp>,
    /// How many operations the disk was asked for.
    ops: u64,
    /// How many the archive was asked for.
    archive_ops: u64,
}

/// How a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Death {
    /// Its page cache survives.
    Killed,
    /// It does not.
    PowerLost,
    /// It stopped by itself: its disk failed it, or it was asked to.
    Stopped,
}

impl Coordinator {
    /// A machine with an empty disk.
    pub fn new(limits: Limits, chance: &mut Chance) -> Self {
        let seed = chance.bits();
        Coordinator {
            limits,
            origin: Origin::new("origin").expect("a name"),
            seed,
            twin: seed.is_multiple_of(2).then(Twin::default),
            disk: SimDisk::new(),
            life: 0,
            process: None,
            paused_until_us: 0,
            full_until_us: 0,
            rot: None,
            key: CapabilityKey::new([7; KEY_BYTES]),
            requests: 0,
            written: Position(0),
            copy: None,
            folder: Folder::Own,
        }
    }

    /// Until when it stands still.
    pub fn paused_until_us(&self) -> u64 {
        self.paused_until_us
    }

    /// Its process is started: it reads its log back first.
    pub fn start(&mut self, stage: &mut Stage) {
        stage.apart([Stream::Start as u64, u64::from(self.life), 0], |stage| self.boot(stage));
    }

    fn boot(&mut self, stage: &mut Stage) {
        stage.clock.boot(stage.now_us);
        let salt = stage.chance.bits();
        if self.rot.is_none() && stage.draws(Fault::BitRotten) {
            self.rot = self.disk.rot(&mut stage.chance);
            if let Some(rot) = self.rot {
                stage.counts(Fault::BitRotten, Struck::Everybody);
                stage.note([21, 0, 0], || format!("world {rot:?}"));
            }
        }
        let restored = self.restored(stage);
        let space = stage.space;
        let disk = Flawed::new(&self.disk, stage.luck());
        let log = match Log::recover((&disk, self.twin.as_ref()), space, (salt, restored)) {
            Ok(log) => log,
            Err(error) => {
                let struck = disk.struck();
                return self.cannot_start(error, struck, stage);
            }
        };
        stage.note([10, u64::from(self.life), 0], || format!("core starts, life {}", self.life));
        self.process = Some(Process {
            log,
            driver: None,
            effects: Vec::new(),
            asked: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            watch: Watch::default(),
            silences: Silences::default(),
            setting: 0,
            alarm: None,
            under_way: None,
            archiving: None,
            ops: 0,
            archive_ops: 0,
        });
        self.pump(stage);
    }

    /// The log cannot be read: somebody mends the disk, and starts it again.
    fn cannot_start(&mut self, error: OpenError, struck: u64, stage: &mut Stage) {
        let rot = self.rot.take();
        match (&error, rot) {
            (OpenError::Damaged { .. } | OpenError::Missing { .. }, Some(rot)) => {
                self.disk.mend(rot);
            }
            (OpenError::Read { .. }, rot) if struck > 0 => self.rot = rot,
            (_, _) => {
                let what = format!("the log cannot be read: {error}");
                return stage.court.refuse("decided once", what);
            }
        }
        stage.tally.sight(Sight::StartRefused);
        stage.note([22, u64::from(self.life), 0], || format!("core refuses to start: {error}"));
        self.life += 1;
        let wait = stage.chance.within(500, 50_000);
        stage.after(wait, Event::CoordinatorStarts);
    }

    /// The log is read back and durable: the driver takes it up.
    fn take_up(&mut self, stage: &mut Stage) {
        let twin = self.twin_copy();
        let Some(process) = &mut self.process else { return };
        let (loaded, reports) = process.log.take_up();
        let position = loaded.position;
        let worst = match self.disk.is_settled() {
            true => Ok(position),
            false => Log::position_on((self.disk.at_worst(), twin), stage.space),
        };
        let worst = match worst {
            Ok(worst) => worst,
            Err(error) => {
                let what = format!("power lost here, the log cannot be read: {error}");
                return stage.court.refuse("decided once", what);
            }
        };
        stage.note([11, position.0, loaded.open.len() as u64], || {
            format!("core found {} records, {} open", position.0, loaded.open.len())
        });
        sights::of_start(position, &stage.court.ledger, &mut stage.tally);
        if position < stage.court.ledger.appended {
            stage.tally.sight(Sight::RecordsLost);
        }
        if position < self.written {
            stage.tally.sight(Sight::TailCut);
        }
        self.written = position;
        if !loaded.open.is_empty() {
            stage.tally.sight(Sight::RestartWithOpen);
        }
        self.disk.recovered(position);
        if self.folder == Folder::PutBack {
            self.folder = Folder::NotSaidYet;
            stage.hear(&Evidence::Restored { position });
        }
        let open = &loaded.open;
        stage.hear(&Evidence::Recovered { position, worst, open });
        let seed = self.seed ^ u64::from(self.life);
        let mut driver = Driver::new(self.limits.clone(), self.origin.clone(), seed, loaded);
        let clocks = stage.clock.read(stage.now_us);
        process.watch.sees_jump(clocks, &self.limits);
        driver.start(clocks, &mut process.effects);
        process.driver = Some(driver);
        self.carry_out(stage);
        for report in reports {
            self.completed(report, stage);
        }
    }

    /// Gives the driver an input and carries out what it asks for.
    fn step(&mut self, input: Input, stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        let Some(driver) = &mut process.driver else { return };
        let clocks = stage.clock.read(stage.now_us);
        if process.watch.sees_jump(clocks, &self.limits) {
            stage.tally.sight(Sight::JumpSeen);
        }
        driver.step(clocks, input, &mut process.effects);
        let named = || driver.lanes().filter_map(|(name, lane)| watch::named(name, &lane));
        process.silences.forget_unless(named);
        if driver.is_ready() {
            self.folder = Folder::Own;
        }
        self.carry_out(stage);
    }

    fn carry_out(&mut self, stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        let effects = std::mem::take(&mut process.effects);
        for effect in effects {
            let Some(process) = &mut self.process else { return };
            match effect {
                Effect::Append(draft) => {
                    process.append(draft, stage);
                }
                Effect::Flush(position) => process.log.flush(position),
                Effect::Call(call) => self.send(call, stage),
                Effect::Reply { to, reply, proof } => self.reply(to, reply, proof, stage),
                Effect::Lookup { gid } => self.look_up(gid, stage),
                Effect::Wake(instant) => self.set_alarm(instant, stage),
            }
        }
        self.pump(stage);
    }

    fn set_alarm(&mut self, instant: Instant, stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        process.setting += 1;
        process.alarm = Some(instant);
        let (life, setting) = (self.life, process.setting);
        stage.apart([Stream::Alarm as u64, u64::from(life), instant.0], |stage| {
            let mut at_us = stage.clock.when_us(instant).max(stage.now_us);
            if stage.strikes(Fault::AlarmLate, Struck::Everybody) {
                at_us += stage.chance.within(1_000, 50_000);
            }
            stage.after(at_us - stage.now_us, Event::Alarm { life, setting });
        });
    }

    fn send(&mut self, call: Call, stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        stage.note([12, number_of(call.gid.as_str()), call.op as u64], || {
            let Call { gid, branch, op, attempt, proof, .. } = &call;
            format!("core > {op:?} {gid} {branch} attempt {attempt} {proof:?}")
        });
        let platter = self.disk.platter();
        sights::of_call(&call, &stage.court.ledger, &mut stage.tally);
        stage.hear(&Evidence::Called { call: &call, platter });
        let from = Sender::Coordinator { life: self.life, call: call.id };
        let to = participant_of(&call);
        let timeout = Event::CallTimesOut { life: self.life, call: call.id };
        let (timeout_us, stream) = (call.timeout_ms * 1_000, stream_of(&call, self.life));
        let (gid, branch) = (call.gid.clone(), call.branch.clone());
        let appended = process.log.appended();
        let flight = Flight { gid, branch, to, op: call.op, appended };
        if let Err(what) = flight.may_join(&process.in_flight, &self.limits) {
            stage.court.refuse("bounded", what);
        }
        let left = process.silences.leaves((call.id, &flight), &process.in_flight, &self.limits);
        if let Err(what) = left {
            stage.court.refuse("bounded", what);
        }
        process.in_flight.insert(call.id, flight);
        let Call { gid, branch, op, payload, replies, mark, .. } = call;
        let letter = Letter { from, to, gid, branch, op, payload, replies, mark };
        stage.apart(stream, |stage| {
            stage.after(timeout_us, timeout);
            stage.send_call(letter);
        });
    }

    fn reply(
        &mut self,
        to: RequestId,
        reply: Result<Response, Rejection>,
        proof: Proof,
        stage: &mut Stage,
    ) {
        let Some(process) = &mut self.process else { return };
        let Some((asked, stream)) = process.asked.remove(&to) else { return };
        stage.note([13, to.0, proof.needed.0], || {
            format!("core > reply {} {} {proof:?}", to.0, words_of_reply(&reply))
        });
        sights::of_reply(&asked.request, &reply, &mut stage.tally);
        let request = &asked.request;
        if let Space::Tight { .. } = stage.space {
            stage.court.ledger.forgotten = process.log.forgotten();
        }
        let platter = self.disk.platter();
        stage.hear(&Evidence::Replied { request, reply: &reply, proof, platter });
        match (asked.client, request) {
            (AUDITOR, Request::Get { gid, .. }) => {
                stage.hear(&Evidence::Audited { gid, reply: &reply });
            }
            (_, _) => stage.apart([Stream::Reply as u64, stream, 0], |stage| {
                stage.send_reply(&asked, reply);
            }),
        }
    }

    /// Gives the disk its next work, if it has none.
    fn pump(&mut self, stage: &mut Stage) {
        self.pump_archive(stage);
        let Some(process) = &mut self.process else { return };
        if process.under_way.is_some() {
            return;
        }
        match process.log.next_op() {
            Some(op) => {
                process.ops += 1;
                let (life, number) = (self.life, process.ops);
                stage.apart([Stream::Disk as u64, u64::from(life), number], |stage| {
                    let wait = duration_us(&op, stage);
                    stage.after(wait, Event::DiskDone { life });
                });
                process.under_way = Some(op);
            }
            None if process.driver.is_none() => self.take_up(stage),
            None => {}
        }
    }

    fn completed(&mut self, completion: Completion, stage: &mut Stage) {
        match completion {
            Completion::Durable(position) => self.step(Input::Durable(position), stage),
            Completion::Room(room) => self.step(Input::Room(room), stage),
            Completion::Lost { .. } => stage.tally.sight(Sight::ForgottenEarly),
            Completion::Failed(_) => self.die(Death::Stopped, stage),
        }
    }

    /// A request arrives.
    pub fn asked(&mut self, asked: &Rc<Asked>, stage: &mut Stage) {
        let serves = self.process.as_ref().is_some_and(|process| process.driver.is_some());
        if !serves || is_too_late(asked, stage) {
            return;
        }
        if is_forged(asked, &self.key) {
            return stage.tally.sight(Sight::ForgeryRefused);
        }
        self.requests += 1;
        let id = RequestId(self.requests);
        let asked = at_the_edge(asked, stage);
        let request = asked.request.clone();
        stage.note([15, id.0, asked.client as u64], || {
            format!("core < request {} {}", id.0, words_of(&request))
        });
        stage.hear(&Evidence::Asked(&request));
        if let Some(process) = &mut self.process {
            process.asked.insert(id, (asked, stage.chance.bits()));
        }
        self.step(Input::Request { id, request }, stage);
    }

    /// A client that waited has closed its connection.
    pub fn gone(&mut self, (client, ask): (usize, u32), stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        let by = |asked: &Rc<Asked>| asked.client == client && asked.ask == ask;
        let gone = process.asked.iter().filter(|(_, (asked, _))| by(asked));
        let gone: Vec<RequestId> = gone.map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(process) = &mut self.process {
                process.asked.remove(&id);
            }
            self.step(Input::Gone { id }, stage);
        }
    }

    /// An answer to a call arrives.
    pub fn answered(&mut self, (life, call): (u32, CallId), answer: Answer, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let Some(flight) = process.in_flight.remove(&call) else { return };
        let Flight { gid, branch, op, .. } = &flight;
        stage.note([16, call.0, number_of(gid.as_str())], || {
            format!("core < answer to call {} of {gid} {branch} {answer:?}", call.0)
        });
        let input = input_of(call, *op, answer);
        self.came_back((call, &flight), input, stage);
    }

    /// Something came of a call, if only silence: whoever waits for it leaves in the same step.
    fn came_back(&mut self, (id, flight): (CallId, &Flight), input: Input, stage: &mut Stage) {
        let Flight { gid, branch, to, .. } = flight;
        let recorded = stage.court.ledger.recorded(gid);
        let Some(process) = &mut self.process else { return };
        process.silences.ends(id, flight, &input, &self.limits);
        let owed = process.silences.hears(flight, &input, recorded);
        self.step(input, stage);
        let Some(process) = &self.process else { return };
        let left = process.silences.left(*to);
        if left < owed && flight.has_room(&process.in_flight, &self.limits) {
            let late = owed - left;
            let what = format!("{gid} {branch}: participant {to} answered, {late} calls wait on");
            stage.court.refuse("woken at once", what);
        }
    }

    /// A call's time is over.
    pub fn times_out(&mut self, (life, call): (u32, CallId), stage: &mut Stage) {
        if mutants::is_on(Mutant::TimeoutIsRefusal) {
            return self.answered((life, call), barrier::hanging(), stage);
        }
        if mutants::is_on(Mutant::TimeoutIsDone) {
            return self.answered((life, call), barrier::done(Body::default()), stage);
        }
        if life != self.life {
            return;
        }
        let Some(process) = &mut self.process else { return };
        let Some(flight) = process.in_flight.remove(&call) else { return };
        let Flight { gid, branch, .. } = &flight;
        stage.note([16, call.0, number_of(gid.as_str())], || {
            format!("core < nothing came of call {} of {gid} {branch}", call.0)
        });
        let input = Input::Silent { call, detail: Text::cut("timeout") };
        self.came_back((call, &flight), input, stage);
    }

    /// What the store knew of a gid arrives.
    pub fn looked_up(&mut self, life: u32, input: Input, stage: &mut Stage) {
        if life == self.life {
            self.step(input, stage);
        }
    }

    /// The driver's alarm rings.
    pub fn alarm(&mut self, (life, setting): (u32, u64), stage: &mut Stage) {
        let set = self.process.as_ref().map(|process| process.setting);
        if life == self.life && set == Some(setting) {
            self.step(Input::Woken, stage);
            self.after_alarm(stage);
        }
    }

    fn after_alarm(&self, stage: &mut Stage) {
        let Some(process) = &self.process else { return };
        let now = stage.clock.read(stage.now_us);
        let (held_until, alarm) = (process.watch.held_until(), process.alarm);
        stage.hear(&Evidence::Woken { now, held_until, alarm });
    }

    fn die(&mut self, death: Death, stage: &mut Stage) {
        let stream = [Stream::Death as u64, u64::from(self.life), death as u64];
        stage.apart(stream, |stage| self.fall(death, stage));
    }

    fn fall(&mut self, death: Death, stage: &mut Stage) {
        stage.note([18, death as u64, u64::from(self.life)], || format!("world core {death:?}"));
        if self.process.as_ref().is_some_and(|process| process.driver.is_none()) {
            stage.tally.sight(Sight::DiedStarting);
        }
        let process = self.process.take();
        let under_way =
            process.map_or((None, None), |process| (process.under_way, process.archiving));
        self.cut_short(under_way, stage);
        if death == Death::PowerLost {
            self.disk.lose_power(&mut stage.luck());
        }
        self.life += 1;
        self.paused_until_us = 0;
        let wait = stage.chance.within(500, 150_000);
        stage.after(wait, Event::CoordinatorStarts);
    }

    /// Nothing stands still any longer.
    pub fn heal(&mut self, stage: &mut Stage) {
        debug_assert_ne!(stage.season, Season::Faults, "it is healed with the world");
        self.paused_until_us = 0;
        self.full_until_us = 0;
        if let Some(rot) = self.rot.take() {
            self.disk.mend(rot);
        }
        self.resume_all(stage);
    }

    /// What its log is called.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// What it still holds.
    pub fn remains(&self) -> Remains {
        let Some(process) = &self.process else { return Remains::default() };
        let Some(driver) = &process.driver else { return Remains::default() };
        let gauges = driver.gauges();
        Remains {
            ready: if driver.is_ready() { Ready::Yes } else { Ready::No },
            open: (gauges.open + gauges.forward + gauges.finishing + gauges.ending) as u64,
            in_flight: (gauges.calls + gauges.queued) as u64,
            waiters: (gauges.waiters + process.asked.len()) as u64,
            held: (gauges.held + gauges.lookups) as u64,
            timers: gauges.timers as u64,
            entries: gauges.entries as u64,
            ..Remains::default()
        }
    }
}

impl Process {
    fn append(&mut self, draft: Draft, stage: &mut Stage) {
        if let Err(what) = self.watch.judge(&draft) {
            stage.court.refuse("deadlines wait a jump out", what);
        }
        stage.note([19, draft.position.0, 0], || format!("core > {}", words_of_draft(&draft)));
        if let Content::Transaction { gid, .. } = &draft.content {
            self.silences.moves_on(gid);
        }
        sights::of_draft(&draft, &self.in_flight, &stage.court.ledger, &mut stage.tally);
        stage.hear(&Evidence::Appended(&draft));
        self.log.append(draft);
    }
}

/// The stream of draws of one sending.
fn stream_of(call: &Call, life: u32) -> [u64; 3] {
    let whom = number_of(call.gid.as_str()) ^ number_of(call.branch.as_str()).rotate_left(32);
    let which = u64::from(life) << 40 | u64::from(call.attempt) << 8 | call.op as u64;
    [Stream::Call as u64, whom, which]
}

pub(crate) fn participant_of(call: &Call) -> usize {
    watch::number_of(&call.destination)
}

fn words_of_draft(draft: &Draft) -> String {
    match &draft.content {
        Content::Mark(mark) => format!("append to {} {mark:?}", draft.position.0),
        Content::Transaction { gid, after, records, .. } => {
            let facts: Vec<_> = records.iter().map(|record| &record.fact).collect();
            format!("append to {} {gid} after {} {facts:?}", draft.position.0, after.0)
        }
    }
}
