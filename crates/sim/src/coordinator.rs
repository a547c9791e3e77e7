//! Coordinator: the shipped driver over the shipped committer, in a process that can die anywhere.

mod archive;
mod copy;

use crate::agenda::Event;
use crate::cells::Struck;
use crate::chance::Chance;
use crate::client::{Asked, words_of, words_of_reply};
use crate::disk::{Flawed, Room, Rot, SimDisk};
use crate::edge::{at_the_edge, is_forged, is_too_late};
use crate::evidence::{Evidence, Ready, Remains};
use crate::log::{Log, Space};
use crate::mutants::{self, Mutant};
use crate::network::{Letter, Sender};
use crate::sights;
use crate::tally::{Fault, Sight};
use crate::trace::number_of;
use crate::watch::{Flight, Watch};
use crate::world::{AUDITOR, Season, Stage};
use copy::{Folder, input_of};
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
    /// A bit on its disk that nobody has noticed.
    rot: Option<Rot>,
    key: CapabilityKey,
    requests: u64,
    /// The last position of which a write was carried out.
    written: Position,
    /// A copy of its disk as it was once.
    copy: Option<(SimDisk, Option<Twin>)>,
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
    asked: BTreeMap<RequestId, Rc<Asked>>,
    in_flight: BTreeMap<CallId, Flight>,
    watch: Watch,
    setting: u64,
    alarm: Option<Instant>,
    under_way: Option<DiskOp>,
    archiving: Option<ArchiveOp>,
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
        self.rot = None;
        stage.note([10, u64::from(self.life), 0], || format!("core starts, life {}", self.life));
        self.process = Some(Process {
            log,
            driver: None,
            effects: Vec::new(),
            asked: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            watch: Watch::default(),
            setting: 0,
            alarm: None,
            under_way: None,
            archiving: None,
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
        let Some(process) = &mut self.process else { return };
        let (loaded, reports) = process.log.take_up();
        let position = loaded.position;
        let worst = match self.disk.is_settled() {
            true => Ok(position),
            false => Log::position_on(
                (self.disk.at_worst(), self.twin.as_ref().map(Twin::copy)),
                stage.space,
            ),
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
                Effect::Wake(instant) => {
                    process.setting += 1;
                    process.alarm = Some(instant);
                    let mut at_us = stage.clock.when_us(instant).max(stage.now_us);
                    if stage.strikes(Fault::AlarmLate, Struck::Everybody) {
                        at_us += stage.chance.within(1_000, 50_000);
                    }
                    let (life, setting) = (self.life, process.setting);
                    stage.after(at_us - stage.now_us, Event::Alarm { life, setting });
                }
            }
        }
        self.pump(stage);
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
        stage.after(call.timeout_ms * 1_000, timeout);
        let (gid, branch) = (call.gid.clone(), call.branch.clone());
        let flight = Flight { gid, branch, to, op: call.op };
        if let Err(what) = flight.may_join(&process.in_flight, &self.limits) {
            stage.court.refuse("bounded", what);
        }
        process.in_flight.insert(call.id, flight);
        let Call { gid, branch, op, payload, replies, mark, .. } = call;
        stage.send_call(Letter { from, to, gid, branch, op, payload, replies, mark });
    }

    fn reply(
        &mut self,
        to: RequestId,
        reply: Result<Response, Rejection>,
        proof: Proof,
        stage: &mut Stage,
    ) {
        let Some(process) = &mut self.process else { return };
        let Some(asked) = process.asked.remove(&to) else { return };
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
            (_, _) => stage.send_reply(&asked, reply),
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
                let wait = duration_us(&op, stage);
                process.under_way = Some(op);
                stage.after(wait, Event::DiskDone { life: self.life });
            }
            None if process.driver.is_none() => self.take_up(stage),
            None => {}
        }
    }

    /// The disk is done with what it was asked.
    pub fn disk_done(&mut self, life: u32, stage: &mut Stage) {
        if life != self.life {
            return;
        }
        if stage.strikes(Fault::PowerLost, Struck::Everybody) {
            return self.die(Death::PowerLost, stage);
        }
        if stage.strikes(Fault::CoordinatorKilled, Struck::Everybody) {
            return self.die(Death::Killed, stage);
        }
        let Some(process) = &mut self.process else { return };
        let Some(op) = process.under_way.take() else { return };
        let through = process.log.appended();
        let room = if stage.now_us < self.full_until_us { Room::None } else { Room::Ample };
        let result = self.disk.carry_out_in(room, (&op, through), &mut stage.luck());
        stage.note([14, through.0, u64::from(result.is_ok())], || {
            format!("disk {op}: {result:?}, platter {}", self.disk.platter().0)
        });
        if let DiskOp::Write { .. } = op {
            self.written = self.written.max(through);
        }
        for completion in process.log.complete(result) {
            self.completed(completion, stage);
        }
        self.pump(stage);
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
            process.asked.insert(id, asked);
        }
        self.step(Input::Request { id, request }, stage);
    }

    /// A client that waited has closed its connection.
    pub fn gone(&mut self, (client, ask): (usize, u32), stage: &mut Stage) {
        let Some(process) = &mut self.process else { return };
        let by = |asked: &Rc<Asked>| asked.client == client && asked.ask == ask;
        let gone = process.asked.iter().filter(|(_, asked)| by(asked));
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
        let Some(Flight { gid, branch, op, .. }) = process.in_flight.remove(&call) else { return };
        stage.note([16, call.0, number_of(gid.as_str())], || {
            format!("core < answer to call {} of {gid} {branch} {answer:?}", call.0)
        });
        let input = input_of(call, op, answer);
        self.step(input, stage);
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
        let Some(Flight { gid, branch, .. }) = process.in_flight.remove(&call) else { return };
        stage.note([16, call.0, number_of(gid.as_str())], || {
            format!("core < nothing came of call {} of {gid} {branch}", call.0)
        });
        self.step(Input::Silent { call, detail: Text::cut("timeout") }, stage);
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

    /// Draws what strikes the machine by the clock.
    pub fn tick(&mut self, stage: &mut Stage) {
        self.tick_copy(stage);
        if self.process.is_none() {
            return;
        }
        if stage.strikes(Fault::PowerLost, Struck::Everybody) {
            self.die(Death::PowerLost, stage);
        } else if stage.strikes(Fault::CoordinatorKilled, Struck::Everybody) {
            self.die(Death::Killed, stage);
        } else if stage.strikes(Fault::CoordinatorDrained, Struck::Everybody) {
            stage.note([20, 0, 0], || "world core is asked to stop".into());
            self.step(Input::Drain, stage);
            let wait = stage.chance.within(1_000, 200_000);
            stage.after(wait, Event::CoordinatorStops { life: self.life });
        } else if stage.strikes(Fault::DiskFull, Struck::Everybody) {
            let wait = stage.chance.within(5_000, 400_000);
            stage.note([23, wait, 0], || format!("world disk is full for {wait} us"));
            self.full_until_us = stage.now_us + wait;
        } else if stage.strikes(Fault::CoordinatorPaused, Struck::Everybody) {
            let pause = stage.chance.within(1_000, 300_000);
            stage.note([17, pause, 0], || format!("world core stands still for {pause} us"));
            self.paused_until_us = stage.now_us + pause;
        }
    }

    /// It was asked to stop a while ago.
    pub fn stop(&mut self, life: u32, stage: &mut Stage) {
        if life == self.life {
            self.die(Death::Stopped, stage);
        }
    }

    fn die(&mut self, death: Death, stage: &mut Stage) {
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
        sights::of_draft(&draft, &self.in_flight, &stage.court.ledger, &mut stage.tally);
        stage.hear(&Evidence::Appended(&draft));
        self.log.append(draft);
    }
}

fn participant_of(call: &Call) -> usize {
    let number = call.destination.as_str().strip_prefix('p').and_then(|n| n.parse().ok());
    number.expect("destinations of the simulator are numbered")
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

fn duration_us(op: &DiskOp, stage: &mut Stage) -> u64 {
    match op {
        DiskOp::Sync { .. } | DiskOp::SyncFolder => {
            match stage.strikes(Fault::SyncSlow, Struck::Everybody) {
                true => stage.chance.within(2_000, 120_000),
                false => stage.chance.within(80, 600) + stall_us(stage),
            }
        }
        DiskOp::Create { .. } | DiskOp::Write { .. } | DiskOp::Unlink { .. } => {
            stage.chance.within(10, 60)
        }
    }
}

fn stall_us(stage: &mut Stage) -> u64 {
    match stage.strikes(Fault::DiskStalled, Struck::Everybody) {
        true => stage.chance.within(200_000, 1_000_000),
        false => 0,
    }
}
